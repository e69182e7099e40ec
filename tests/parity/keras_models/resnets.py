"""ResNets: those that Keras has; the others from its layers, after the papers' tables and the notebooks' structure."""

import keras
from keras import layers, ops

STAGES = {18: [2, 2, 2, 2], 34: [3, 4, 6, 3], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3]}


def resnet50(**arguments):
    return keras.applications.ResNet50(weights=None, **arguments)


def resnet101(**arguments):
    return keras.applications.ResNet101(weights=None, **arguments)


def resnet152(**arguments):
    return keras.applications.ResNet152(weights=None, **arguments)


def resnet50v2(**arguments):
    return keras.applications.ResNet50V2(weights=None, **arguments)


def resnet101v2(**arguments):
    return keras.applications.ResNet101V2(weights=None, **arguments)


def resnet152v2(**arguments):
    return keras.applications.ResNet152V2(weights=None, **arguments)


class Builder:
    """Keeps the current tensor and the settings of every convolution and batch norm, and puts layers behind it."""

    def __init__(self, input_shape, bias, **norm):
        self.start = self.x = layers.Input(input_shape)
        self.bias, self.norm = bias, norm

    def put(self, kind, *arguments, **options):
        self.x = getattr(layers, kind)(*arguments, **options)(self.x)
        return self

    def conv(self, filters, size, stride=1, padding="valid", name=None, **options):
        return self.put("Conv2D", filters, size, stride, padding, use_bias=self.bias, name=name, **options)

    def bn(self, name=None):
        return self.put("BatchNormalization", name=name, **self.norm)

    def relu(self, name=None):
        return self.put("Activation", "relu", name=name)

    def at(self, x):
        """Goes on from another tensor; returns the one that was current."""
        before, self.x = self.x, x
        return before

    def merge(self, tensors, name=None):
        self.x = layers.Add(name=name)(tensors)
        return self

    def model(self, classes, pool="avg_pool", dense="predictions"):
        self.put("GlobalAveragePooling2D", name=pool).put("Dense", classes, activation="softmax", name=dense)
        return keras.Model(self.start, self.x)


# Keras's and torchvision's conventions --------------------------------------------------------------------------------


def stem(net, relu=True):
    net.put("ZeroPadding2D", 3, name="conv1_pad").conv(64, 7, 2, name="conv1_conv")
    if relu:
        net.bn("conv1_bn").relu("conv1_relu")
    return net.put("ZeroPadding2D", 1, name="pool1_pad").put("MaxPooling2D", 3, 2, name="pool1_pool")


def basics(net, depth, classes):
    stem(net)
    for stage, units in enumerate(STAGES[depth]):
        filters = 64 << stage
        for unit in range(units):
            name, halves = f"conv{stage + 2}_block{unit + 1}", stage > 0 and unit == 0
            skip = net.x
            if halves:
                skip = net.conv(filters, 1, 2, name=name + "_0_conv").bn(name + "_0_bn").at(skip)
                net.put("ZeroPadding2D", 1, name=name + "_1_pad").conv(filters, 3, 2, name=name + "_1_conv")
            else:
                net.conv(filters, 3, padding="same", name=name + "_1_conv")
            net.bn(name + "_1_bn").relu(name + "_1_relu")
            net.conv(filters, 3, padding="same", name=name + "_2_conv").bn(name + "_2_bn")
            net.merge([skip, net.x], name + "_add").relu(name + "_out")
    return net.model(classes)


def resnet18(input_shape, classes):
    return basics(Builder(input_shape, True, epsilon=1.001e-5), 18, classes)


def resnet34(input_shape, classes):
    return basics(Builder(input_shape, True, epsilon=1.001e-5), 34, classes)


def resnet18_torch(input_shape, classes):
    return basics(Builder(input_shape, False, epsilon=1e-5, momentum=0.9), 18, classes)


def resnet34_torch(input_shape, classes):
    return basics(Builder(input_shape, False, epsilon=1e-5, momentum=0.9), 34, classes)


def bottlenecks_torch(input_shape, classes, depth):
    """Version 1.5: the 3x3 halves."""
    net = stem(Builder(input_shape, False, epsilon=1e-5, momentum=0.9))
    for stage, units in enumerate(STAGES[depth]):
        filters = 64 << stage
        for unit in range(units):
            name, stride = f"conv{stage + 2}_block{unit + 1}", 2 if stage > 0 and unit == 0 else 1
            skip = net.x
            if unit == 0:
                skip = net.conv(4 * filters, 1, stride, name=name + "_0_conv").bn(name + "_0_bn").at(skip)
            net.conv(filters, 1, name=name + "_1_conv").bn(name + "_1_bn").relu(name + "_1_relu")
            if stride == 2:
                net.put("ZeroPadding2D", 1, name=name + "_2_pad").conv(filters, 3, 2, name=name + "_2_conv")
            else:
                net.conv(filters, 3, padding="same", name=name + "_2_conv")
            net.bn(name + "_2_bn").relu(name + "_2_relu")
            net.conv(4 * filters, 1, name=name + "_3_conv").bn(name + "_3_bn")
            net.merge([skip, net.x], name + "_add").relu(name + "_out")
    return net.model(classes)


def resnet50_torch(input_shape, classes):
    return bottlenecks_torch(input_shape, classes, 50)


def resnet101_torch(input_shape, classes):
    return bottlenecks_torch(input_shape, classes, 101)


def resnet152_torch(input_shape, classes):
    return bottlenecks_torch(input_shape, classes, 152)


# Notebook 003 ---------------------------------------------------------------------------------------------------------


def notebook003(input_shape, classes, depth):
    """No ReLU behind the stem and the 3x3; "same" everywhere; no names."""
    net = Builder(input_shape, True)
    net.conv(64, 7, 2, "same").bn().put("MaxPooling2D", 3, 2, "same")
    for stage, units in enumerate(STAGES[depth]):
        inner = 64 << stage
        outer = inner if depth < 50 else 4 * inner
        for unit in range(units):
            skip, stride = net.x, 2 if stage > 0 and unit == 0 else 1
            if depth < 50:
                net.conv(inner, 3, stride, "same").bn().conv(inner, 3, 1, "same").bn()
            else:
                net.conv(inner, 1, stride).bn().relu().conv(inner, 3, 1, "same").bn().conv(outer, 1).bn()
            if stride == 2 or (unit == 0 and depth >= 50):
                main = net.at(skip)
                skip = net.conv(outer, 1, stride).bn().at(main)
            net.merge([net.x, skip]).relu()
    return net.model(classes, pool=None, dense=None)


def resnet18_003(input_shape, classes):
    return notebook003(input_shape, classes, 18)


def resnet34_003(input_shape, classes):
    return notebook003(input_shape, classes, 34)


def resnet50_003(input_shape, classes):
    return notebook003(input_shape, classes, 50)


def resnet101_003(input_shape, classes):
    return notebook003(input_shape, classes, 101)


def resnet152_003(input_shape, classes):
    return notebook003(input_shape, classes, 152)


# Notebook 002 ---------------------------------------------------------------------------------------------------------


def resnet50_002(input_shape, classes):
    """Caffe's names; a max pool that pads nothing; the end from 2 x 2 averages, flattened."""
    net = Builder(input_shape, True)
    net.put("ZeroPadding2D", (3, 3), name="zero_padding").conv(64, 7, 2, name="conv1").bn("bn1").relu()
    net.put("MaxPooling2D", 3, 2)
    for stage, letters in ((2, "abc"), (3, "abcd"), (4, "abcdef"), (5, "abc")):
        filters = 16 * 2**stage
        for letter in letters:
            skip, stride = net.x, 2 if letter == "a" and stage > 2 else 1
            res, bn = f"res{stage}{letter}_branch", f"bn{stage}{letter}_branch"
            net.conv(filters, 1, stride, name=res + "2a").bn(bn + "2a").relu()
            net.conv(filters, 3, 1, "same", name=res + "2b").bn(bn + "2b").relu()
            net.conv(4 * filters, 1, name=res + "2c").bn(bn + "2c")
            if letter == "a":
                main = net.at(skip)
                skip = net.conv(4 * filters, 1, stride, name=res + "1").bn(bn + "1").at(main)
            net.merge([net.x, skip]).relu()
    net.put("AveragePooling2D", (2, 2), name="avg_pooling").put("Flatten")
    net.put("Dense", classes, activation="softmax", name="softmax")
    return keras.Model(net.start, net.x)


# Version 2 as the paper has it ----------------------------------------------------------------------------------------


def v2_paper(input_shape, classes, depth):
    net = stem(Builder(input_shape, False, epsilon=1.001e-5))
    for stage, units in enumerate(STAGES[depth]):
        filters = 64 << stage
        for unit in range(units):
            name, stride = f"conv{stage + 2}_block{unit + 1}", 2 if stage > 0 and unit == 0 else 1
            skip = net.x
            if stage + unit > 0:
                net.bn(name + "_preact_bn").relu(name + "_preact_relu")
            if unit == 0:
                branch = net.x
                skip = net.conv(4 * filters, 1, stride, name=name + "_0_conv").at(branch)
            net.conv(filters, 1, name=name + "_1_conv").bn(name + "_1_bn").relu(name + "_1_relu")
            net.put("ZeroPadding2D", 1, name=name + "_2_pad")
            net.conv(filters, 3, stride, name=name + "_2_conv").bn(name + "_2_bn").relu(name + "_2_relu")
            net.conv(4 * filters, 1, name=name + "_3_conv").merge([skip, net.x], name + "_out")
    return net.bn("post_bn").relu("post_relu").model(classes)


def resnet50v2_paper(input_shape, classes):
    return v2_paper(input_shape, classes, 50)


def resnet101v2_paper(input_shape, classes):
    return v2_paper(input_shape, classes, 101)


def resnet152v2_paper(input_shape, classes):
    return v2_paper(input_shape, classes, 152)


# ResNeXt --------------------------------------------------------------------------------------------------------------


class GroupedConv2D(layers.Layer):
    """Group by group, since TensorFlow has no gradient of a grouped convolution on CPUs. kernel: (3, 3, C/groups, F)"""

    def __init__(self, filters, groups, stride, name=None):
        super().__init__(name=name)
        self.filters, self.groups, self.stride = filters, groups, stride

    def build(self, shape):
        self.kernel = self.add_weight(name="kernel", shape=(3, 3, shape[-1] // self.groups, self.filters))

    def call(self, x):
        images, kernels = ops.split(x, self.groups, -1), ops.split(self.kernel, self.groups, -1)
        return ops.concatenate([ops.conv(i, k, self.stride, "valid") for i, k in zip(images, kernels, strict=True)], -1)


GroupedConv2D.__name__ = "Conv2D"  # in a table of layers


def resnext(input_shape, classes, depth, groups, width):
    net = stem(Builder(input_shape, False, epsilon=1.001e-5))
    for stage, units in enumerate(STAGES[depth]):
        inner, outer = groups * (width << stage), 256 << stage
        for unit in range(units):
            name, stride = f"conv{stage + 2}_block{unit + 1}", 2 if stage > 0 and unit == 0 else 1
            skip = net.x
            if unit == 0:
                skip = net.conv(outer, 1, stride, name=name + "_0_conv").bn(name + "_0_bn").at(skip)
            net.conv(inner, 1, name=name + "_1_conv").bn(name + "_1_bn").relu(name + "_1_relu")
            net.put("ZeroPadding2D", 1, name=name + "_2_pad")
            net.x = GroupedConv2D(inner, groups, stride, name=name + "_2_conv")(net.x)
            net.bn(name + "_2_bn").relu(name + "_2_relu")
            net.conv(outer, 1, name=name + "_3_conv").bn(name + "_3_bn")
            net.merge([skip, net.x], name + "_add").relu(name + "_out")
    return net.model(classes)


def resnext50_32x4d(input_shape, classes):
    return resnext(input_shape, classes, 50, 32, 4)


def resnext101_32x4d(input_shape, classes):
    return resnext(input_shape, classes, 101, 32, 4)


def resnext101_32x8d(input_shape, classes):
    return resnext(input_shape, classes, 101, 32, 8)


def resnext101_64x4d(input_shape, classes):
    return resnext(input_shape, classes, 101, 64, 4)


# CIFAR ----------------------------------------------------------------------------------------------------------------


class PadShortcut(layers.Layer):
    """Option A."""

    def __init__(self, filters, name=None):
        super().__init__(name=name)
        self.filters = filters

    def call(self, x):
        return ops.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], [0, self.filters - x.shape[3]]])


def cifar(input_shape, classes, depth, option):
    """option: "A", "B", or "" for the plain network."""
    net = Builder(input_shape, False, epsilon=1e-5, momentum=0.9)
    net.conv(16, 3, padding="same", name="conv1_conv").bn("conv1_bn").relu("conv1_relu")
    for stage, filters in enumerate((16, 32, 64)):
        for unit in range((depth - 2) // 6):
            name, skip = f"conv{stage + 2}_block{unit + 1}", net.x
            if stage > 0 and unit == 0:
                if option == "A":
                    skip = PadShortcut(filters, name=name + "_0_shortcut")(skip)
                elif option == "B":
                    skip = net.conv(filters, 1, 2, name=name + "_0_conv").bn(name + "_0_bn").at(skip)
                net.put("ZeroPadding2D", 1, name=name + "_1_pad").conv(filters, 3, 2, name=name + "_1_conv")
            else:
                net.conv(filters, 3, padding="same", name=name + "_1_conv")
            net.bn(name + "_1_bn").relu(name + "_1_relu")
            net.conv(filters, 3, padding="same", name=name + "_2_conv").bn(name + "_2_bn")
            if option:
                net.merge([skip, net.x], name + "_add")
            net.relu(name + "_out")
    return net.model(classes)


def cifar_preactivated(input_shape, classes, depth, option):
    """Basic units for 110, bottlenecks for 164."""
    net = Builder(input_shape, False, epsilon=1e-5, momentum=0.9)
    net.conv(16, 3, padding="same", name="conv1_conv").bn("conv1_bn").relu("conv1_relu")
    wide = 4 if depth == 164 else 1
    for stage, filters in enumerate((16, 32, 64)):
        for unit in range(18):
            name, skip, first = f"conv{stage + 2}_block{unit + 1}", net.x, unit == 0
            if stage + unit > 0:
                net.bn(name + "_preact_bn").relu(name + "_preact_relu")
            stride = 2 if stage > 0 and first else 1
            if first and (stage > 0 or wide == 4):
                if option == "B":
                    active = net.x
                    skip = net.conv(filters * wide, 1, stride, name=name + "_0_conv").at(active)
                else:
                    skip = PadShortcut(filters * wide, name=name + "_0_shortcut")(skip)
            sizes = [(3, stride, filters), (3, 1, filters)]
            if wide == 4:
                sizes = [(1, 1, filters), (3, stride, filters), (1, 1, 4 * filters)]
            for i, (size, step, channels) in enumerate(sizes, start=1):
                if i > 1:
                    net.bn(f"{name}_{i - 1}_bn").relu(f"{name}_{i - 1}_relu")
                if step == 2:
                    net.put("ZeroPadding2D", 1, name=f"{name}_{i}_pad").conv(channels, size, 2, name=f"{name}_{i}_conv")
                else:
                    net.conv(channels, size, padding="same", name=f"{name}_{i}_conv")
            net.merge([skip, net.x], name + "_out")
    return net.bn("post_bn").relu("post_relu").model(classes)


def resnet20_a(input_shape, classes):
    return cifar(input_shape, classes, 20, "A")


def resnet20_b(input_shape, classes):
    return cifar(input_shape, classes, 20, "B")


def resnet110_a(input_shape, classes):
    return cifar(input_shape, classes, 110, "A")


def plain20(input_shape, classes):
    return cifar(input_shape, classes, 20, "")


def preact110_a(input_shape, classes):
    return cifar_preactivated(input_shape, classes, 110, "A")


def preact110_b(input_shape, classes):
    return cifar_preactivated(input_shape, classes, 110, "B")


def preact164_b(input_shape, classes):
    return cifar_preactivated(input_shape, classes, 164, "B")

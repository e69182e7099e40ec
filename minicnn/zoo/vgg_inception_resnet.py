"""VGG16 with Inception-ResNet blocks in the places of its third and fifth block: notebook 000's own network.

No paper has it. Blocks A and B have the branches of Inception-ResNet-v2, block C has those of v1; every convolution
has a batch norm without gamma behind it, also the last one of a block, where the paper and Keras have a bias instead.
Block 3 keeps 128 channels (VGG: 256). The input has one channel, and without the top the pool is a maximum, as in the
notebook, whose names the layers have.
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.inception_resnet import V1, V2
from minicnn.zoo.top import check_pooling, images, pooled

BRANCHES: dict[str, list] = {"A": V2["A"], "B": V2["B"], "C": V1["C"]}
SCALE = 0.1


@register(paper="after arXiv:1409.1556, Table 1, and arXiv:1602.07261, Figs 16 and 17", variants=("notebook",))
def vgg16_inception_resnet(
    variant="notebook", input_shape=(224, 224, 1), classes=1000, include_top=True, pooling="max"
):
    """VGG16 with Inception-ResNet blocks: 131,624,248 parameters, 7,981,392 without the top."""
    check_pooling(pooling)
    x = inputs = images("vgg16_inception_resnet", input_shape, smallest=32)
    x = convolutions(x, 64, 2, name="block1")  # 112 x 112 x 64
    x = convolutions(x, 128, 2, name="block2")  # 56 x 56 x 128
    x = blocks(x, "A", 3, name="block3")  # 28 x 28 x 128
    x = convolutions(x, 512, 3, name="block4")  # 14 x 14 x 512
    x = blocks(x, "B", 3, name="block5")  # 7 x 7 x 512
    if include_top:
        x = layers.Flatten(name="flatten")(x)  # 25088
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    else:
        x = pooled(x, pooling)
    return Model(inputs, x, name="vgg16_inception_resnet")


def convolutions(x, filters, count, *, name):
    """VGG's block: 3x3 convolutions, and a pool that halves the image."""
    for i in range(1, count + 1):
        x = conv_bn(x, filters, 3, name=f"{name}_conv{i}")
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def blocks(x, kind, count, *, name):
    """Inception-ResNet blocks, and VGG's pool."""
    for _ in range(count):
        x = inception_resnet_block(x, SCALE, kind)
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)


def inception_resnet_block(x, scale, kind, activation="relu"):
    """x + scale * residual, then ReLU. kind: "A", "B" or "C".

    The notebook calls them 'Incpetion_Block-A', ..., and its error speaks of block35, block17 and block8.
    """
    if kind not in BRANCHES:
        raise ValueError(f"an Inception-ResNet block is of kind {', '.join(map(repr, BRANCHES))}, got {kind!r}")
    ends = []
    for branch in BRANCHES[kind]:
        end = x
        for filters, size in branch:
            end = conv_bn(end, filters, size)
        ends.append(end)
    mixed = layers.Concatenate()(ends)
    up = conv_bn(mixed, x.shape[-1], 1, activation=None)
    x = layers.ScaledAdd(scale)([x, up])
    return layers.Activation(activation)(x) if activation else x


def conv_bn(x, filters, size, normalizer=True, activation="relu", name=None):
    """A convolution without bias; batch norm without gamma, unless `normalizer` is False; the activation."""
    conv, bn, act = (None, None, None) if name is None else (f"{name}_conv", f"{name}_bn", f"{name}_act")
    x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=conv)(x)
    if normalizer:
        x = layers.BatchNormalization(scale=False, name=bn)(x)
    return layers.Activation(activation, name=act)(x) if activation else x

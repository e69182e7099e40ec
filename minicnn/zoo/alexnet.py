"""AlexNet. Krizhevsky, Sutskever, Hinton 2012: ImageNet Classification with Deep Convolutional Neural Networks, Fig. 2.

"2012" is the paper's: the second, fourth and fifth convolution in two groups, which ran on two GPUs; response
normalisation; 60,965,224 parameters, as in Caffe. The paper's 224 pixels give its 55 only with zeros around the image:
two on each side, as in torchvision; Caffe reads 227 pixels instead. torchvision's AlexNet is another one
(arXiv:1404.5997: 64, 192, 384, 256, 256 filters, no groups, no normalisation; 61,100,840).

"notebook" is notebook 003's: neither groups nor normalisation, the convolution to 384 that the paper has fourth is
missing, and nothing is padded in front of conv1 (54 x 54); 49,516,520 parameters. Its layers have automatic names.
"""

from functools import partial

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import images

PAPER = "Krizhevsky et al. 2012, NIPS 25, section 3 and Fig. 2"

conv = partial(layers.Conv2D, padding="same", activation="relu")
pool = partial(layers.MaxPooling2D, pool_size=3, strides=2)  # windows overlap (section 3.4)
# section 3.3: k = 2, n = 5 channels, the sum of squares not divided by n as it is in Caffe
normalise = partial(layers.LocalResponseNormalization, depth_radius=2, bias=2, alpha=1e-4, beta=0.75)


@register(paper=PAPER, variants=("notebook", "2012"))
def alexnet(variant="notebook", input_shape=(224, 224, 3), classes=1000):
    """AlexNet as notebook 003 has it ("notebook"), or as in the paper ("2012")."""
    x = inputs = images("alexnet", input_shape, smallest={"2012": 63, "notebook": 67}[variant])
    x = {"2012": paper, "notebook": notebook}[variant](x)
    outputs = layers.Dense(classes, activation="softmax", name="fc8" if variant == "2012" else None)(x)
    return Model(inputs, outputs, name="alexnet")


def paper(x):
    """Fig. 2; layers have the names of Caffe's file."""
    x = layers.ZeroPadding2D(2, name="conv1_pad")(x)  # 228 x 228 x 3
    x = layers.Conv2D(96, 11, strides=4, activation="relu", name="conv1")(x)  # 55 x 55 x 96
    x = normalise(name="norm1")(x)
    x = pool(name="pool1")(x)  # 27 x 27 x 96
    x = conv(256, 5, groups=2, name="conv2")(x)
    x = normalise(name="norm2")(x)
    x = pool(name="pool2")(x)  # 13 x 13 x 256
    x = conv(384, 3, name="conv3")(x)
    x = conv(384, 3, groups=2, name="conv4")(x)
    x = conv(256, 3, groups=2, name="conv5")(x)
    x = pool(name="pool5")(x)  # 6 x 6 x 256
    x = layers.Flatten(name="flatten")(x)  # 9216
    for name in ("6", "7"):
        x = layers.Dense(4096, activation="relu", name=f"fc{name}")(x)
        x = layers.Dropout(0.5, name=f"drop{name}")(x)
    return x


def notebook(x):
    """Four convolutions; every `valid` window drops the pixels that are left over."""
    x = layers.Conv2D(96, 11, strides=4, activation="relu")(x)  # 54 x 54 x 96
    x = pool()(x)  # 26 x 26 x 96
    x = conv(256, 5)(x)
    x = pool()(x)  # 12 x 12 x 256
    x = conv(384, 3)(x)
    x = conv(256, 3)(x)
    x = pool()(x)  # 5 x 5 x 256
    x = layers.Flatten()(x)  # 6400
    for _ in range(2):
        x = layers.Dense(4096, activation="relu")(x)
        x = layers.Dropout(0.5)(x)
    return x

"""VGG. Simonyan & Zisserman 2014, arXiv:1409.1556, Table 1, columns D (VGG16) and E (VGG19).

Keras, torchvision and notebook 003 agree with it, and with each other in every parameter. The paper and torchvision
have dropout 0.5 behind fc1 and fc2; Keras and the notebook have none, and so has this file. The notebook's builder
ignores its n_classes; `classes` is honoured here. Layers have Keras's names.
"""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register
from minicnn.zoo.top import check_pooling, images, pooled

FILTERS = (64, 128, 256, 512, 512)  # of the 3x3 convolutions of each block
DEPTHS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # how many there are
PAPER = "Simonyan & Zisserman 2014, arXiv:1409.1556, Table 1, columns D and E"


@register(paper=PAPER, variants=("keras",))
def vgg16(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """VGG16: 138,357,544 parameters."""
    return vgg(16, input_shape, classes, include_top, pooling)


@register(paper=PAPER, variants=("keras",))
def vgg19(variant="keras", input_shape=(224, 224, 3), classes=1000, include_top=True, pooling=None):
    """VGG19: 143,667,240 parameters."""
    return vgg(19, input_shape, classes, include_top, pooling)


def vgg(depth, input_shape, classes, include_top, pooling):
    """`depth` layers with weights: five blocks of convolutions, then three dense layers."""
    check_pooling(pooling)
    x = inputs = images(f"vgg{depth}", input_shape, smallest=32)
    for number, (filters, convolutions) in enumerate(zip(FILTERS, DEPTHS[depth], strict=True), 1):
        x = block(x, filters, convolutions, name=f"block{number}")  # 112 x 112 x 64, 56 x 56 x 128, ... 7 x 7 x 512
    if include_top:
        x = layers.Flatten(name="flatten")(x)  # 25088
        x = layers.Dense(4096, activation="relu", name="fc1")(x)
        x = layers.Dense(4096, activation="relu", name="fc2")(x)
        x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    else:
        x = pooled(x, pooling)
    return Model(inputs, x, name=f"vgg{depth}")


def block(x, filters, convolutions, *, name):
    """3x3 convolutions with ReLU, then a pool that halves the image."""
    for i in range(1, convolutions + 1):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu", name=f"{name}_conv{i}")(x)
    return layers.MaxPooling2D(2, name=f"{name}_pool")(x)

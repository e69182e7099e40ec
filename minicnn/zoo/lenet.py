"""LeNet-5. LeCun, Bottou, Bengio, Haffner 1998: Gradient-Based Learning Applied to Document Recognition, Proc. IEEE."""

from minicnn import layers
from minicnn.model import Model
from minicnn.zoo import register


@register(paper="LeCun et al. 1998, Proc. IEEE 86(11), section II.B and Fig. 2", variants=("notebook", "1998"))
def lenet5(variant="notebook", input_shape=(32, 32, 1), classes=10, activation=None):
    """LeNet-5 as it is mostly taught today ("notebook", 520,082 parameters), or as it was ("1998", 61,750).

    activation: of all layers but the last; relu for "notebook", tanh for "1998" (or sigmoid) unless given
    """
    x = inputs = layers.Input(input_shape)
    x = notebook(x, activation or "relu") if variant == "notebook" else original(x, activation or "tanh")
    outputs = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return Model(inputs, outputs, name="lenet5")


def notebook(x, activation):
    """ReLU, max pooling, `same` convolutions and one wide dense layer."""
    x = layers.Conv2D(6, 5, padding="same", activation=activation, name="conv1")(x)  # 32 x 32 x 6
    x = layers.MaxPooling2D(2, name="pool1")(x)  # 16 x 16 x 6
    x = layers.Conv2D(16, 5, padding="same", activation=activation, name="conv2")(x)  # 16 x 16 x 16
    x = layers.MaxPooling2D(2, name="pool2")(x)  # 8 x 8 x 16
    x = layers.Flatten(name="flatten")(x)  # 1024
    return layers.Dense(500, activation=activation, name="dense1")(x)


def original(x, activation):
    """Fig. 2, with its names.

    Three things are of today: every map of C3 sees all six of S2 (the paper's Table I leaves some out, 900 weights),
    tanh is not scaled (the paper's f(a) = 1.7159 tanh(2a/3)), and the output is a softmax (the paper's: distances to
    drawn bitmaps).
    """
    x = layers.Conv2D(6, 5, activation=activation, name="c1")(x)  # 28 x 28 x 6
    x = layers.Subsampling2D(activation=activation, name="s2")(x)  # 14 x 14 x 6
    x = layers.Conv2D(16, 5, activation=activation, name="c3")(x)  # 10 x 10 x 16
    x = layers.Subsampling2D(activation=activation, name="s4")(x)  # 5 x 5 x 16
    x = layers.Conv2D(120, 5, activation=activation, name="c5")(x)  # 1 x 1 x 120
    x = layers.Flatten(name="flatten")(x)  # 120
    return layers.Dense(84, activation=activation, name="f6")(x)

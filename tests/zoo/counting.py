"""What the tests of the zoo count: parameters, and layers by type."""

from collections import Counter

from minicnn import layers, zoo
from minicnn.layers.initializers import placeholders
from minicnn.model import Model

SHORT = {
    "Activation": "Act", "AveragePooling2D": "AvgP", "BatchNormalization": "BN", "Concatenate": "Cat", "Conv2D": "Conv",
    "GlobalAveragePooling2D": "GAP", "GlobalMaxPooling2D": "GMP", "InputLayer": "In", "MaxPooling2D": "MaxP",
    "ScaledAdd": "Lambda", "ZeroPadding2D": "ZPad",
}  # fmt: skip


def build(name, variant=None, **arguments):
    """The network with weights that cost no memory."""
    with placeholders():
        return zoo.build(name, variant, **arguments)


def block(function, input_shape, *arguments, **options):
    """The model of one block: function(symbol, *arguments, **options)."""
    with placeholders():
        x = layers.Input(input_shape)
        return Model(x, function(x, *arguments, **options))


def counts(model):
    """(total, trainable, non-trainable) parameters."""
    trainable = sum(w.size for w in model.trainable_weights)
    return model.count_params(), trainable, model.count_params() - trainable


def kinds(model):
    """The layers by type, "Act2 Add1 BN3": a ScaledAdd counts as the Lambda that it is in Keras."""
    found = Counter(type(layer).__name__ for layer in model.layers)
    return " ".join(sorted((f"{SHORT.get(kind, kind)}{n}" for kind, n in found.items()), key=str.lower))

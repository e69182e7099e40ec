"""Auxiliary heads: classifiers on the way, which help to train and are dropped for use.

Szegedy et al. 2014, arXiv:1409.4842, section 5: their losses count 0.3 each. `fit` takes the labels once for all heads:

    model = zoo.build("inception_v1", aux=True)
    model.compile("sgd", "sparse_categorical_crossentropy", loss_weights=loss_weights(model))
    model.fit(x, y)
    without_heads(model).predict(x)
"""

from minicnn.model import Model


def loss_weights(model: Model, weight: float = 0.3) -> dict[str, float]:
    """1 for the main output, which is the first, and `weight` for each head: for compile(loss_weights=...)."""
    first, *heads = model.output_names
    return {first: 1.0, **dict.fromkeys(heads, weight)}


def head_names(model: Model) -> list[str]:
    """What to call the outputs: "main" and, in their order from the image on, "aux1" and so on; "aux" where it is one.

    Their layers often have automatic names.
    """
    heads = len(model.outputs) - 1
    return ["main", *(["aux"] if heads == 1 else [f"aux{i + 1}" for i in range(heads)])]


def without_heads(model: Model) -> Model:
    """The network as it is used, from its inputs to its first output: the same layers and weights."""
    if len(model.outputs) == 1:
        return model
    return Model(model.input, model.outputs[0], name=model.name)

"""fit and evaluate against Keras's: the same names, in the same order, with the same numbers."""

import numpy as np
import pytest

from minicnn.training import SGD, evaluate, fit, train_on_batch
from tests.training.models import Linear, blobs

LOSS = "sparse_categorical_crossentropy"


def pair(keras, names, rng, **arguments):
    """The model of a few lines and its double in Keras, with the same weights, both compiled."""
    mine = Linear(names=names).compile(optimizer=SGD(0.5), **arguments)
    inputs = keras.Input((4,))
    layer = [keras.layers.Dense(3, activation="softmax", use_bias=False, name=name) for name in names]
    outputs = [one(inputs) for one in layer]
    other = keras.Model(inputs, outputs if len(names) > 1 else outputs[0])
    for weight, one in zip(mine.weights, layer, strict=True):
        weight.assign(rng.normal(size=(4, 3)))
        one.set_weights([weight.data])
    other.compile(optimizer=keras.optimizers.SGD(0.5), **arguments, run_eagerly=True)  # tracing takes the longer
    return mine, other


@pytest.mark.parametrize(
    ("names", "arguments"),
    [
        (("output",), {"loss": LOSS}),
        (("output",), {"loss": LOSS, "metrics": ["acc", LOSS]}),
        (
            ("zed", "alpha"),
            {
                "loss": {"zed": LOSS, "alpha": LOSS},
                "loss_weights": {"zed": 1.0, "alpha": 0.3},
                "metrics": {"zed": ["accuracy"], "alpha": ["accuracy"]},
            },
        ),
    ],
)
def test_three_epochs(keras, double, rng, names, arguments):
    mine, other = pair(keras, names, rng, **arguments)
    # the last of four batches has two samples; with several outputs Keras weighs it like the others in "<output>_loss",
    # though not in "loss", where ours always counts samples
    x, y = blobs(n=50 if len(names) == 1 else 48)
    labels = y if len(names) == 1 else [y, y]
    data = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0, "validation_data": (x, labels)}
    ours, theirs = fit(mine, x, labels, **data).history, other.fit(x, labels, **data).history
    assert sorted(ours) == sorted(theirs)
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-9, err_msg=name)
    data = {"batch_size": 16, "verbose": 0}
    np.testing.assert_allclose(evaluate(mine, x, labels, **data), other.evaluate(x, labels, **data), rtol=1e-9)
    np.testing.assert_allclose(train_on_batch(mine, x, labels), other.train_on_batch(x, labels), rtol=1e-9)

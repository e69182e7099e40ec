"""Moving statistics are the means over all batches, whatever they were before."""

import numpy as np
import pytest

from minicnn import layers
from minicnn.model import Model, Sequential
from minicnn.training.recalibration import recalibrate


@pytest.mark.parametrize("plan", ["relu", "residual"])
def test_the_plain_mean_of_the_batches(rng, plan):
    x = inputs = layers.Input((6, 5, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    y = layers.BatchNormalization(momentum=0.5, name="bn")(x)
    y = layers.ReLU()(y if plan == "relu" else layers.Add()([x, y]))
    model = Model(inputs, Sequential([layers.BatchNormalization(name="inner"), layers.Flatten()])(y))
    batches = [(rng.normal(size=(n, 6, 5, 3)).astype(np.float32), None) for n in (8, 8, 5)]
    bn = model.get_layer("bn")
    bn.moving_mean.assign(np.full(4, 7.0))
    before = [w.numpy().copy() for w in model.trainable_weights]
    assert recalibrate(model, batches) == 3
    conv = Model(inputs, model.get_layer("conv").output)
    outputs = [conv.predict(b, verbose=0) for b, _ in batches]
    np.testing.assert_allclose(bn.moving_mean.numpy(), np.mean([o.mean((0, 1, 2)) for o in outputs], 0), atol=1e-6)
    np.testing.assert_allclose(bn.moving_variance.numpy(), np.mean([o.var((0, 1, 2)) for o in outputs], 0), rtol=1e-5)
    assert bn.momentum == 0.5
    inner = next(layer for layer in model.layers if isinstance(layer, Sequential)).get_layer("inner")
    assert np.abs(inner.moving_mean.numpy()).max() > 0
    for a, w in zip(before, model.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, w.numpy())


def test_no_batch():
    model = Sequential([layers.Input((4,)), layers.BatchNormalization()])
    with pytest.raises(ValueError, match="there is no batch to estimate moving statistics from"):
        recalibrate(model, [])
    assert model.layers[0].momentum == 0.99

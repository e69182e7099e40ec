"""Make tests/formats/files: small models as Keras 2 and Keras 3 save them, and what they answer.

Run once, `python tools/make_fixtures.py`, with keras and tf_keras installed (made with 3.15.1 and 2.21.0). Each Keras
runs in a process of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "tests" / "formats" / "files"


def functional(keras):
    """Two inputs, two outputs, a shared layer, a nested Sequential; given names and automatic ones."""
    layers = keras.layers
    first, second = layers.Input((6, 6, 2), name="first"), layers.Input((6, 6, 2))
    shared = layers.Conv2D(3, 3, padding="same", activation="relu")
    inner = keras.Sequential([layers.Input((6, 6, 3)), layers.Conv2D(3, 1, name="one"), layers.BatchNormalization()])
    a, b = shared(first), shared(second)
    x = layers.Concatenate()([layers.Add()([inner(a), b]), a])
    x = layers.SeparableConv2D(4, 3)(layers.DepthwiseConv2D(2, name="each")(x))
    x = layers.Flatten()(layers.MaxPooling2D()(layers.Dropout(0.5)(layers.ReLU(max_value=6.0)(x))))
    outputs = [layers.Dense(3, activation="softmax", name="answer")(x), layers.Dense(2, kernel_regularizer="l2")(x)]
    return keras.Model([first, second], outputs)


def chain(keras):
    """A Sequential with automatic names alone, of which some were given out before."""
    layers = keras.layers
    return keras.Sequential([layers.Input((6, 6, 2)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)])


def scaled(keras):
    """A Lambda, as Inception-ResNet has them."""
    layers = keras.layers
    inputs = layers.Input((6, 6, 2))
    branch = layers.Conv2D(2, 1, name="branch")(inputs)
    blend = lambda xs, scale: xs[0] + xs[1] * scale  # noqa: E731  (a lambda is what is stored as bytecode)
    blend.__code__ = blend.__code__.replace(co_filename="make_fixtures.py")  # not where this copy lies
    add = layers.Lambda(blend, arguments={"scale": 0.5}, name="scaled")
    return keras.Model(inputs, add([inputs, branch]))


def randomized(model, rng):
    """The model with random weights; the variances are not negative."""
    model.set_weights([rng.uniform(0.2, 1, w.shape).astype(w.dtype) for w in model.get_weights()])
    return model


def make(name, keras):
    """All files of one Keras."""
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=(3, 6, 6, 2)).astype("float32") for _ in range(2))
    model, simple, lambdas = (randomized(build(keras), rng) for build in (functional, chain, scaled))
    model.save(FOLDER / f"{name}.keras")
    model.save(FOLDER / f"{name}.h5")
    model.save_weights(FOLDER / f"{name}.weights.h5")
    simple.save(FOLDER / f"{name}_chain.h5")
    lambdas.save(FOLDER / f"{name}_lambda.h5")
    answers = [*model.predict([x, y], verbose=0), simple.predict(x, verbose=0), lambdas.predict(x, verbose=0)]
    np.savez(
        FOLDER / f"{name}.npz", x=x, y=y, answer=answers[0], second=answers[1], chain=answers[2], scaled=answers[3]
    )


if __name__ == "__main__":
    if len(sys.argv) == 1:
        FOLDER.mkdir(exist_ok=True)
        for name in ("keras2", "keras3"):
            subprocess.run([sys.executable, __file__, name], check=True)  # noqa: S603  (this file)
    else:
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        if sys.argv[1] == "keras2":
            import tf_keras as keras
        else:
            import keras
        make(sys.argv[1], keras)

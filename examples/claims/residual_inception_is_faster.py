"""Claim: residual connections make inception networks converge faster.

Source of the claim: Szegedy et al. 2016, arXiv:1602.07261, sections 1 and 5 (Figs 20 to 25). Two networks of the same
inception blocks (Fig. 10, narrower) with the same weights at the start; in one a block replaces its input, in the other
it is added to it, times 0.3. Each trains on the embedded digits, with several seeds.

Run it: python examples/claims/residual_inception_is_faster.py        (1 to 2 minutes)
"""

import numpy as np
from showing import picture, verdict

from minicnn import config, data, layers
from minicnn.model import Model
from minicnn.training import SGD

BRANCHES = [[(8, 1)], [(8, 1), (8, 3)], [(8, 1), (8, 3), (8, 3)]]
GOAL = 0.5  # of the training loss


def conv_bn(x, filters: int, kernel: int, relu: bool = True):
    """Convolution, batch norm and, in the middle of a block, ReLU."""
    x = layers.Conv2D(filters, kernel, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    x = layers.BatchNormalization()(x)
    return layers.ReLU()(x) if relu else x


def block(x, residual: bool):
    """Three branches side by side, put together and brought back to the width of x by 1x1."""
    ways = []
    for branch in BRANCHES:
        y = x
        for filters, kernel in branch:
            y = conv_bn(y, filters, kernel)
        ways.append(y)
    y = conv_bn(layers.Concatenate()(ways), x.shape[-1], 1, relu=False)
    return layers.ReLU()(layers.ScaledAdd(0.3)([x, y]) if residual else y)


def network(residual: bool, blocks: int) -> Model:
    """A stem, `blocks` blocks with 24 channels on 8 x 8 cells, global average pooling and the classes."""
    x = inputs = layers.Input((8, 8, 1))
    x = conv_bn(x, 24, 3)
    for _ in range(blocks):
        x = block(x, residual)
    x = layers.GlobalAveragePooling2D()(x)
    return Model(inputs, layers.Dense(10, activation="softmax")(x))


def losses(residual: bool, blocks: int, epochs: int, seed: int) -> list[float]:
    """The training loss of each epoch."""
    config.set_random_seed(seed)
    digits = data.load("digits")
    model = network(residual, blocks)
    model.compile(SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    x = digits.x_train / np.float32(8) - 1
    return model.fit(x, digits.y_train, batch_size=64, epochs=epochs, verbose=0).history["loss"]


def main(blocks: int = 6, epochs: int = 8, seeds: int = 3) -> dict[str, np.ndarray]:
    """Prints the losses and the verdict; returns the losses (seeds, epochs) of both networks."""
    found = {}
    for name, residual in (("inception", False), ("residual inception", True)):
        found[name] = np.array([losses(residual, blocks, epochs, seed) for seed in range(seeds)])
        print(f"{name:20}", *(f"{loss:7.4f}" for loss in found[name].mean(axis=0)))
    plain, residual = (np.array([first_below(curve) for curve in some]) for some in found.values())
    because = (
        f"a training loss of {GOAL} takes {residual.mean():.1f} epochs with the residual connections and "
        f"{plain.mean():.1f} without them (means of {seeds} seeds, {blocks} blocks)"
    )
    if np.isinf(plain).any():
        because += f"; without them {np.isinf(plain).sum()} of {seeds} runs do not get there in {epochs}"
    faster = bool((residual < plain).all())
    verdict("residual connections make inception networks converge faster", faster, because)
    picture("residual_inception_is_faster", lambda figure: draw(figure, found))
    return found


def first_below(curve: np.ndarray) -> float:
    """After how many epochs the loss passes GOAL, on a line between the logarithms; infinity where it never does."""
    below = np.flatnonzero(curve < GOAL)
    if not len(below):
        return np.inf
    epoch = below[0]
    if epoch == 0:
        return 1.0
    before, after = np.log(curve[epoch - 1]), np.log(curve[epoch])
    return float(epoch + (before - np.log(GOAL)) / (before - after))


def draw(figure, found) -> None:
    """Every run as a thin line, the mean as a thick one."""
    axes = figure.subplots()
    for (name, curves), style in zip(found.items(), ("--", "-"), strict=True):
        epochs = np.arange(1, curves.shape[1] + 1)
        axes.plot(epochs, curves.T, style, color="0.6", linewidth=0.8)
        axes.plot(epochs, curves.mean(axis=0), style, color="black", linewidth=2)
        axes.text(epochs[-1] + 0.1, curves.mean(axis=0)[-1], name, va="center")
    axes.axhline(GOAL, color="black", linewidth=0.6, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlim(1, curves.shape[1] * 1.35)
    axes.set_xlabel("epoch")
    axes.set_ylabel("training loss (cross-entropy, nats)")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()

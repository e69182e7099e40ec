"""Claim: a batch norm on the identity branch hurts: it changes what the skip hands on.

Source of the claim: He et al. 2016, arXiv:1603.05027, section 4.1, Fig. 4(b) and Table 2: with the batch norm behind
the addition ResNet-110 goes from 6.61 to 8.17 % errors on CIFAR-10. Both units train here in the same way on the
embedded digits, with some seeds.

Run it: python examples/claims/bn_after_add_hurts.py        (2 to 4 minutes)
`minicnn study variants` compares more units and shortcuts.
"""

import numpy as np
from showing import picture, verdict

from minicnn.study.digits import trained
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.variants import build

UNITS = {"original": "BN, then the sum", "bn_after_add": "the sum, then BN"}


def main(n: int = 9, epochs: int = 8, seeds: int = 2) -> dict[str, np.ndarray]:
    """Trains both, prints the table and the verdict; returns the training losses, (seeds, epochs) for each unit."""
    losses, accuracy = {}, {}
    for unit, words in UNITS.items():
        runs = [trained(unit, lambda unit=unit: build(n, unit), epochs, seed, say=print) for seed in range(seeds)]
        losses[unit] = np.array([run.history["loss"] for run in runs])
        accuracy[unit] = np.mean([run.test_accuracy for run in runs])
        print(f"{words:17} training loss {losses[unit][:, -1].mean():.4f}  test accuracy {accuracy[unit]:.1%}")
    ours, theirs = (curves[:, -1] for curves in losses.values())
    because = (
        f"with {6 * n + 2} layers and {epochs} epochs the training loss ends at {theirs.mean():.3f} instead of "
        f"{ours.mean():.3f}, test accuracy at {accuracy['bn_after_add']:.1%} instead of {accuracy['original']:.1%} "
        f"(means of {seeds} seeds)"
    )
    verdict("batch norm on the identity branch hurts", bool((theirs > ours).all()), because)
    picture("bn_after_add_hurts", lambda figure: draw(figure, losses))
    return losses


def draw(figure, losses) -> None:
    """The mean training losses, and every run as a thin line."""
    ax = axes(figure, "epoch", "training loss (cross-entropy, nats)")
    for (unit, curves), style in zip(losses.items(), STYLES, strict=False):
        epochs = np.arange(1, curves.shape[1] + 1)
        ax.plot(epochs, curves.T, color=style["color"], linewidth=0.5, label="_")
        ax.plot(epochs, curves.mean(axis=0), label=UNITS[unit], **style)
    ax.set_yscale("log")
    label_ends(ax)


if __name__ == "__main__":
    main()

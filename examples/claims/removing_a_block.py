"""Claim: removing a block hurts a network such as VGG, and hardly a residual one.

Source of the claim: Veit et al. 2016, arXiv:1605.06431, section 4.1, Fig. 3: a VGG without one of its layers falls to
chance, a ResNet-110 without one of its blocks hardly changes. Here plain-20, which is VGG's chain of 3x3 convolutions,
and ResNet-56 train on the embedded digits; then each block (of the plain network: each pair of layers) is left out.

Run it: python examples/claims/removing_a_block.py        (1 minute)
`minicnn study lesion` does more: several blocks, exchanges, scales.
"""

import numpy as np
from showing import picture, verdict

from minicnn.study.digits import EPOCHS, digits, of_zoo
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.lesion import delete_each

NETWORKS = ("plain20", "resnet56")


def main(networks: tuple[str, str] = NETWORKS, epochs: int = EPOCHS) -> dict[str, np.ndarray]:
    """Trains both, prints the table and the verdict; returns for each the points of error that its blocks are worth."""
    data, points = digits(), {}
    for name in networks:
        model = of_zoo(name, epochs=epochs, say=print).model
        whole, without = delete_each(model, data.x_test, data.y_test)
        points[name] = 100 * (without - whole)
        print(
            f"{name:9} error {whole:.1%}; without one block {points[name].min():+.1f} to {points[name].max():+.1f} "
            f"points, median {np.median(points[name]):+.1f}"
        )
    plain, residual = (points[name] for name in networks)
    late = residual[1:]
    because = (
        f"the median block of {networks[0]} costs {np.median(plain):.0f} points of test error, that of {networks[1]} "
        f"{np.median(residual):.1f}; its first block costs {residual[0]:.0f}, the dearest of the others "
        f"{late.max():.1f} (one seed)"
    )
    holds = np.median(plain) > 50 and np.median(residual) < 3
    verdict("removing a block hurts VGG and not ResNet", bool(holds), because)
    picture("removing_a_block", lambda figure: draw(figure, points))
    return points


def draw(figure, points) -> None:
    """What each block is worth, from the first to the last."""
    ax = axes(figure, "block that is left out, from the input", "more test errors (percentage points)")
    for (name, cost), style in zip(points.items(), STYLES, strict=False):
        ax.plot(np.linspace(0, 1, len(cost)), cost, label=name, **style)
    ax.set_xticks([0, 1], ["first", "last"])
    label_ends(ax)


if __name__ == "__main__":
    main()

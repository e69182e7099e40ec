"""Claim: auxiliary heads feed gradient to the early layers of a deep network.

Source of the claim: Szegedy et al. 2014, arXiv:1409.4842, section 5. One batch of digits goes through an untrained
Inception v1 with its two heads, whose losses weigh 0.3 as in the paper, and back from each output alone. What arrives
at each layer of the trunk is compared, for weights drawn as Glorot and as He draw them: with Glorot's, signals fade in
a deep network of ReLUs without batch norm.

Run it: python examples/claims/aux_heads_feed_early_layers.py        (10 s)
`minicnn study aux` follows the shares over a training, and compares it with one without the heads.
"""

import numpy as np
from showing import picture, verdict

from minicnn import study
from minicnn.study.drawing import STYLES, axes, label_ends
from minicnn.study.heads import Heads, begin_as_he, head_gradients
from minicnn.study.subjects import subject


def main(images: int = 16) -> dict[str, Heads]:
    """Prints the ratios at the first layer and the verdict; returns the gradients by head for both ways to begin."""
    settings = study.Settings(model="inception_v1")
    model, data = subject(settings, aux=True)
    found, ratios = {}, {}
    for weights in ("Glorot", "He"):
        if weights == "He":
            begin_as_he(model, settings)
        heads = found[weights] = head_gradients(model, data.x_train[:images], data.y_train[:images])
        main_head, *others = heads.norm[:, 0]
        ratios[weights] = max(others) / main_head
        print(
            f"{weights}'s weights, gradient at {heads.nodes[0]}: {main_head:.1e} from the end of the network, "
            + " and ".join(f"{norm:.1e}" for norm in others)
            + " from the heads"
        )
    because = (
        f"the larger part of a head at the first layer is {ratios['Glorot']:.2g} times that of the network's own end "
        f"with Glorot's weights and {ratios['He']:.2g} times with He's (untrained)"
    )
    holds = True if min(ratios.values()) > 1 else None if max(ratios.values()) > 0.1 else False
    verdict("auxiliary heads feed gradient to the early layers", holds, because)
    picture("aux_heads_feed_early_layers", lambda figure: draw(figure, found), (7.2, 5.6))
    return found


def draw(figure, found: dict[str, Heads]) -> None:
    """The norm of each head's part, layer by layer of the trunk; beyond its place a head returns nothing."""
    norms = np.concatenate([heads.norm[heads.norm > 0] for heads in found.values()])
    for row, (weights, heads) in enumerate(found.items(), start=1):
        ax = axes(figure, "", "norm of the gradient", (2, 1, row), f"{weights}'s weights")
        names = ["the network's end", *(f"head {i}" for i in range(1, len(heads.heads)))]
        for name, ours, style in zip(names, heads.norm, STYLES, strict=False):
            ax.plot(np.flatnonzero(ours), ours[ours > 0], label=name, **style)
        ax.set_yscale("log")
        ax.set_ylim(norms.min() / 1.5, norms.max() * 1.5)
        ax.set_xticks(range(len(heads.nodes)), heads.nodes if row == len(found) else [], rotation=60, ha="right")
        label_ends(ax)


if __name__ == "__main__":
    main()

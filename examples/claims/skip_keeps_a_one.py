"""Claim: in y = F(x) + x the derivative is F'(x) + 1, so a skip keeps at least a 1 in the gradient.

Source of the claim: He et al. 2016, arXiv:1603.05027, equation 5, and every second text on ResNets. Measured on
ResNet-56, at the start and trained on the embedded digits. Does the skip of a block hand back exactly the gradient that
arrived? Is what reaches the block's input then at least as large? And can the branch F cancel the 1?

Run it: python examples/claims/skip_keeps_a_one.py        (half a minute)
`minicnn study decompose` shows the two parts of every block.
"""

import numpy as np
from showing import picture, verdict

from minicnn import Tensor, study
from minicnn.study.digits import digits, of_zoo
from minicnn.study.drawing import STYLES, axes, label_ends


def main(network: str = "resnet56", epochs: int = 6, images: int = 64) -> dict[str, np.ndarray]:
    """Prints what the skips return and the verdict; returns |gradient at the fork| / |at the sum|, block by block."""
    gains, exact = {}, 0.0
    for state, duration in (("at the start", 0), ("trained", epochs)):
        blocks = blocks_of(of_zoo(network, epochs=duration).model, images)
        exact = max(exact, *(np.abs(block.skip_gradient - block.gradient).max() for block in blocks))
        gains[state] = np.array([np.linalg.norm(b.fork_gradient) / np.linalg.norm(b.gradient) for b in blocks])
        print(
            f"{network} {state}: |gradient at the fork| / |gradient at the sum| is {gains[state].min():.2f} to "
            f"{gains[state].max():.2f}, below 1 in {(gains[state] < 1).sum()} of {len(blocks)} blocks"
        )
    smaller, of = (int(sum(f(values) for values in gains.values())) for f in (lambda g: (g < 1).sum(), len))
    because = (
        f"every identity skip returns exactly what arrived at its sum (off by {exact:.0e} at most). But the branch may "
        f"take it away again: here the sum was smaller than what arrived in {smaller} of {of} cases, and behind "
        f"F(x) = -x {cancelled():.0e} of it is left. The 1 stands in the Jacobian, it is no bound on the norm"
    )
    verdict("a skip keeps at least a 1 in the gradient", False if exact else None, because)
    picture("skip_keeps_a_one", lambda figure: draw(figure, gains))
    return gains


def blocks_of(model, images: int) -> list[study.Block]:
    """The blocks whose skip is the identity, with the gradients of one batch in float64."""
    x, y = digits().x_train[:images], digits().y_train[:images]
    seen = study.record(model, x, y, loss="sparse_categorical_crossentropy", precise=True)
    return [block for block in seen.need(residual=True) if block.ways[block.skip].layer == "identity"]


def cancelled() -> float:
    """The share of the gradient that is left behind a block whose branch is F(x) = x @ w with w = -1."""
    rng = np.random.default_rng(0)
    x, dy = Tensor(rng.normal(size=(4, 8)), requires_grad=True), rng.normal(size=(4, 8))
    (x @ Tensor(-np.eye(8)) + x).backward(dy)
    return float(np.linalg.norm(x.grad) / np.linalg.norm(dy))


def draw(figure, gains) -> None:
    """The gain of every block with an identity skip; 1 is what the skip alone would give."""
    ax = axes(figure, "residual block with an identity skip, from the input", "|gradient at the fork| / |at the sum|")
    ax.axhline(1, color="0.5", linewidth=0.8, label="_")
    for (state, values), style in zip(gains.items(), STYLES, strict=False):
        ax.plot(range(1, len(values) + 1), values, label=state, **style)
    label_ends(ax)


if __name__ == "__main__":
    main()

"""Claim: plain networks get worse with depth, residual ones do not.

Source of the claim: He et al. 2015, arXiv:1512.03385, Figs 1 and 6. The four networks of a depth pair train on the
embedded digits in the same way; a plain network has the weights of its residual twin at the start (option A's shortcuts
have none of their own). It is the training loss that tells degradation from overfitting.

Run it: python examples/claims/plain_networks_degrade.py        (1 to 2 minutes)
`minicnn study degradation` shows more: other depths, and the gradients.
"""

from showing import picture, verdict

from minicnn.study.digits import EPOCHS, Trained, of_zoo
from minicnn.study.drawing import STYLES, axes, label_ends


def main(depths: tuple[int, int] = (20, 56), epochs: int = EPOCHS) -> dict[str, Trained]:
    """Trains the pairs, prints the table and the verdict; returns the trained networks."""
    found = {
        f"{kind}{depth}": of_zoo(f"{kind}{depth}", epochs=epochs, say=print)
        for kind in ("plain", "resnet")
        for depth in depths
    }
    for name, one in found.items():
        print(f"{name:9} training loss {one.train_loss:.4f}  test accuracy {one.test_accuracy:.1%}")
    shallow, deep = depths
    loss = {name: one.train_loss for name, one in found.items()}
    degrades = loss[f"plain{deep}"] > 2 * loss[f"plain{shallow}"]
    keeps = loss[f"resnet{deep}"] < loss[f"plain{deep}"] / 2
    plain, residual = (
        f"{loss[kind + str(shallow)]:.3f} to {loss[kind + str(deep)]:.3f}" for kind in ("plain", "resnet")
    )
    because = (
        f"from {shallow} to {deep} layers the training loss of the plain network goes from {plain}, that of the "
        f"residual one from {residual} (one seed)"
    )
    verdict("plain networks degrade with depth, residual ones do not", degrades and keeps, because)
    picture("plain_networks_degrade", lambda figure: draw(figure, found))
    return found


def draw(figure, found) -> None:
    """The training losses."""
    ax = axes(figure, "epoch", "training loss (cross-entropy, nats)")
    for (name, one), style in zip(found.items(), STYLES, strict=False):
        losses = one.history["loss"]
        ax.plot(range(1, len(losses) + 1), losses, label=name, **style)
    ax.set_yscale("log")
    label_ends(ax)


if __name__ == "__main__":
    main()

"""Claim: squeezing by 1x1, stacks of 3x3 and factors 1x7, 7x1 save parameters and arithmetic.

Sources of the claim: Simonyan and Zisserman 2014, arXiv:1409.1556, section 2.3 (3x3 stacks); Szegedy et al. 2014,
arXiv:1409.4842, section 3 (1x1); Szegedy et al. 2015, arXiv:1512.00567, section 3.2 (1x7 and 7x1). Each pair below has
the same input and output; the squeezes aside, the receptive field is the same too. Time is measured as well: 3x3 gains
more than its arithmetic says (Winograd's algorithm serves it alone), a squeeze less (its arrays still have to move).

Run it: python examples/claims/small_kernels_save.py
"""

import time

import numpy as np
from showing import picture, verdict

from minicnn import Tensor, config, layers
from minicnn.model import Model

# name: input channels, then the large way and the small way as lists of (filters, kernel)
PAIRS = {
    "3x3 twice for 5x5, 64 channels": (64, [(64, 5)], [(64, 3), (64, 3)]),
    "3x3 three times for 7x7, 64 channels": (64, [(64, 7)], [(64, 3)] * 3),
    "1x7 and 7x1 for 7x7, 64 channels": (64, [(64, 7)], [(64, (1, 7)), (64, (7, 1))]),
    "1x1 squeeze to 64 around 3x3, 256 channels": (256, [(256, 3)], [(64, 1), (64, 3), (256, 1)]),
    "1x1 squeeze to 16 before 5x5, 192 channels": (192, [(32, 5)], [(16, 1), (32, 5)]),
    "3x3 twice for 5x5, from an RGB image": (3, [(64, 5)], [(64, 3), (64, 3)]),
}
SIDE, BATCH = 28, 4


def network(channels: int, convolutions: list) -> Model:
    """The convolutions one behind the other, with biases, on images of SIDE x SIDE."""
    x = inputs = layers.Input((SIDE, SIDE, channels))
    for filters, kernel in convolutions:
        x = layers.Conv2D(filters, kernel, padding="same")(x)
    return Model(inputs, x)


def seconds(model: Model, rounds: int) -> float:
    """A forward and a backward pass on BATCH images: the fastest of `rounds`."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(BATCH, *model.input_shape[1:])).astype(np.float32), requires_grad=True)
    found = []
    for _ in range(rounds):
        begun = time.perf_counter()
        model(x, training=True).sum().backward()
        found.append(time.perf_counter() - begun)
    return min(found)


def main(rounds: int = 7) -> dict[str, tuple[float, float, float]]:
    """Prints small / large for each pair and returns them: parameters, multiply-adds, time."""
    config.set_random_seed(0)
    shares = {}
    print(f"{'small way / large way':44} parameters  multiply-adds  time")
    for name, (channels, large, small) in PAIRS.items():
        one, other = network(channels, large), network(channels, small)
        shares[name] = (
            other.count_params() / one.count_params(),
            other.multiply_adds() / one.multiply_adds(),
            seconds(other, rounds) / seconds(one, rounds),
        )
        parameters, arithmetic, duration = shares[name]
        print(f"{name:44} {parameters:10.2f}  {arithmetic:13.2f}  {duration:4.2f}")
    costs = [name for name, share in shares.items() if share[1] >= 1]
    saved = [share for share in shares.values() if share[1] < 1]
    because = (
        f"{len(saved)} of {len(shares)} pairs save {1 - max(s[1] for s in saved):.0%} to "
        f"{1 - min(s[1] for s in saved):.0%} of the arithmetic"
    )
    if costs:
        factor = max(shares[name][1] for name in costs)
        because += f", but '{costs[0]}' costs {factor:.1f} times as much: few channels enter, many leave"
    times = [share[2] for share in saved]
    because += f". The time of these {len(saved)} falls to {min(times):.2f} to {max(times):.2f}."
    verdict("small kernels save parameters and arithmetic", None if costs else True, because)
    picture("small_kernels_save", lambda figure: draw(figure, shares), (7.2, 3.6))
    return shares


def draw(figure, shares) -> None:
    """The small way against the large one, which is 1, on a logarithmic axis: half and twice lie equally far."""
    axes = figure.subplots()
    places = np.arange(len(shares))
    axes.axvline(1, color="black", linewidth=0.8)
    for column, label, face, above in ((1, "multiply-adds", "black", -0.3), (2, "time", "white", 0.45)):
        values = [share[column] for share in shares.values()]
        axes.scatter(values, places, 50, facecolor=face, edgecolor="black", zorder=3)
        axes.text(values[-1], places[-1] + above, label, ha="center", va="center")
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(places, list(shares))
    axes.set_ylim(len(shares) - 0.3, -0.5)
    axes.grid(axis="y", linewidth=0.4)
    axes.set_xlabel("small way / large way (1: no gain)")
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()

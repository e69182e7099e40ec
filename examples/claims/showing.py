"""What the programs of this folder share: a line with the verdict, and a picture in the folder `claims`.

A claim is a sentence that is often read about these networks. Each program measures it and says whether it holds.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = Path("claims")


def verdict(claim: str, holds: bool | None, because: str) -> str:
    """Prints the claim and what was found; holds is None for a claim that holds in part. Returns the verdict."""
    word = {True: "holds", False: "does not hold", None: "holds in part"}[holds]
    print(f"claim:   {claim}\nverdict: it {word}: {because}")
    return word


def picture(name: str, draw: Callable[[Any], None], size: tuple[float, float] = (6.4, 3.6)) -> None:
    """Saves what draw(figure) draws as claims/NAME.png; without matplotlib it says how to get it."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print('no picture: pip install "minicnn[study]" brings matplotlib')
        return
    figure = Figure(size, layout="constrained")
    draw(figure)
    FOLDER.mkdir(exist_ok=True)
    figure.savefig(FOLDER / f"{name}.png", dpi=150)
    print(f"picture: {FOLDER / name}.png")

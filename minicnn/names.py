"""Names: in Keras's spelling, and one message for every unknown one."""

import difflib
import re
from collections.abc import Iterable


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The text of an error, as in "unknown model 'lenet6': did you mean 'lenet5'?".

    Capital letters and dashes in front make no difference. Lists every known name where none comes near.
    """
    by_core = {_core(one): one for one in sorted(known)}
    near = difflib.get_close_matches(_core(str(name)), by_core, n=3, cutoff=0.6)
    if near:
        return f"unknown {kind} {name!r}: did you mean {' or '.join(repr(by_core[one]) for one in near)}?"
    return f"unknown {kind} {name!r}: known are {', '.join(by_core.values()) or 'none'}"


def _core(name: str) -> str:
    return name.lower().lstrip("-")


def snake_case(name: str) -> str:
    """Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, ReLU -> re_lu: Keras's two substitutions."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()

"""One message for every unknown name: what was received, and what comes near it."""

import difflib
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

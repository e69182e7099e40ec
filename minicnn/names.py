"""One message for every unknown name: what was received, and what comes near it."""

import difflib
from collections.abc import Iterable


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """The text of an error, as in "unknown model 'lenet6': did you mean 'lenet5'?".

    Lists every known name where none comes near.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(name).lower(), known, n=3, cutoff=0.5)
    if near:
        return f"unknown {kind} {name!r}: did you mean {' or '.join(map(repr, near))}?"
    return f"unknown {kind} {name!r}: known are {', '.join(known) or 'none'}"

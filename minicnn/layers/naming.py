"""Names that layers give themselves, as Keras does: conv2d, conv2d_1, max_pooling2d, ..."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from minicnn.config import config


class _Names(threading.local):
    def __init__(self):
        self.used: Counter[str] = Counter()


_names = _Names()


def automatic_name(prefix: str) -> str:
    """The prefix alone at its first use, then with _1, _2, ..."""
    count = _names.used[prefix]
    _names.used[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def clear_session() -> None:
    """Starts the automatic names, and the order of initial weights, from the beginning."""
    _names.used.clear()
    config.draws = 0


@contextmanager
def names_kept() -> Iterator[None]:
    """Behind the block automatic names go on where they stood before it: what was built inside does not count."""
    before = _names.used.copy()
    try:
        yield
    finally:
        _names.used = before

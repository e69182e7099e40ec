"""Names that layers give themselves, as Keras does: conv2d, conv2d_1, max_pooling2d, ..."""

import re
import threading
from collections import Counter

from minicnn.config import config


class _Names(threading.local):
    def __init__(self):
        self.used: Counter[str] = Counter()


_names = _Names()


def snake_case(name: str) -> str:
    """Conv2D -> conv2d, MaxPooling2D -> max_pooling2d, ReLU -> re_lu: Keras's two substitutions."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def automatic_name(prefix: str) -> str:
    """The prefix alone at its first use, then with _1, _2, ..."""
    count = _names.used[prefix]
    _names.used[prefix] += 1
    return f"{prefix}_{count}" if count else prefix


def clear_session() -> None:
    """Starts the automatic names, and the order of initial weights, from the beginning."""
    _names.used.clear()
    config.draws = 0

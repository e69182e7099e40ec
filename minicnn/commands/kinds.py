"""Types of flags' values: functions of the text that raise argparse's error with what was wanted and what came."""

import argparse
import math
import re
from pathlib import Path


def at_least(low: int):
    """A whole number from `low` up."""

    def whole_number(text: str) -> int:
        value = int(text)
        if value < low:
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {value}")
        return value

    whole_number.__name__ = "whole number"  # argparse's message: invalid whole number value: 'x'
    return whole_number


def number(low: float, below: float = math.inf):
    """A number from `low` to below `below`."""

    def check(text: str) -> float:
        value = float(text)
        if not low <= value < below:
            raise argparse.ArgumentTypeError(f"must be from {low:g} to below {below:g}, got {text}")
        return value

    check.__name__ = "number"
    return check


def device(text: str) -> str:
    """cpu, gpu, gpu:N or auto."""
    if text != "auto" and re.fullmatch(r"cpu|gpu(:[0-9]+)?", text) is None:
        raise argparse.ArgumentTypeError(f"must be cpu, gpu, gpu:N or auto, got {text!r}")
    return text


def every(text: str) -> str:
    """A rhythm: N epochs, or Ns steps."""
    if re.fullmatch(r"[1-9][0-9]*s?", text) is None:
        raise argparse.ArgumentTypeError(f"must be a number of epochs, as 2, or of steps, as 200s, got {text!r}")
    return text


def milestones(text: str) -> str:
    """Epochs that rise, with commas between them."""
    if re.fullmatch(r"[1-9][0-9]*(,[1-9][0-9]*)*", text) is None:
        raise argparse.ArgumentTypeError(f"must be epochs such as 30,60,80, got {text!r}")
    numbers = [int(part) for part in text.split(",")]
    if any(b <= a for a, b in zip(numbers, numbers[1:], strict=False)):
        raise argparse.ArgumentTypeError(f"must rise from each to the next, got {text!r}")
    return text


def plain_name(text: str) -> str:
    """A folder's name without a path."""
    if text != Path(text).name or text in (".", ".."):
        raise argparse.ArgumentTypeError(f"must be a folder's name without a path, got {text!r}")
    return text

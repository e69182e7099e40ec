"""Flat TOML files: written here, read by the standard library's tomllib."""

import tomllib
from collections.abc import Mapping
from pathlib import Path

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def dumps(table: Mapping[str, object]) -> str:
    """A line `key = value` each: strings, booleans, whole numbers, floats. A None is left out: TOML has none."""
    return "".join(f"{_key(key)} = {_value(key, value)}\n" for key, value in table.items() if value is not None)


def load(path: str | Path) -> dict[str, object]:
    """The table in a file. Raises ValueError, with the place, for what is no TOML; OSError for what cannot be read."""
    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path} is not TOML: {error}") from None


def _key(key: str) -> str:
    plain = key and all(c.isascii() and (c.isalnum() or c in "-_") for c in key)
    return key if plain else _value(key, key)


def _value(key: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return repr(value)  # also inf and nan, which TOML spells as Python does
        case str():
            return '"' + "".join(ESCAPES.get(c) or (c if c.isprintable() else f"\\U{ord(c):08x}") for c in value) + '"'
    raise TypeError(f"{key}: {type(value).__name__} has no place in a flat TOML table")

"""The instruments: what a skip connection does to a gradient, measured on any model."""

from minicnn.study.instruments import INSTRUMENTS, Instrument, Settings, find, run
from minicnn.study.result import Picture, Result, Table

__all__ = ["INSTRUMENTS", "Instrument", "Picture", "Result", "Settings", "Table", "find", "run"]

"""The instruments: what a skip connection does to a gradient, measured on any model."""

from minicnn.study.blocks import Block, Contribution
from minicnn.study.decompose import explain_merge
from minicnn.study.instruments import INSTRUMENTS, Instrument, Settings, find, run
from minicnn.study.recording import Record, gradients, record
from minicnn.study.result import Picture, Result, Table

__all__ = [
    "INSTRUMENTS", "Block", "Contribution", "Instrument", "Picture", "Record", "Result", "Settings", "Table",
    "explain_merge", "find", "gradients", "record", "run",
]  # fmt: skip

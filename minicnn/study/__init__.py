"""The instruments: what a skip connection does to a gradient, measured on any model.

    record = study.record(model, x, y)                  one forward and backward pass, and from it
    study.decompose.decompose(record)                   skip and branch of every block
    study.paths.path_lengths(record)                    the input's gradient by the length of its paths
    study.lengths.path_terms(record)                    the same as arrays

    study.depth.by_depth(model, x, y)                   gradients, activations and updates by layer
    study.trace.trace(model, x, y)                      the backward pass, op by op
    study.lesion.delete_each(model, x, y)               errors without each block, or scaled, or exchanged
    study.heads.head_gradients(model, x, y)             what each of several outputs gives the trunk
    study.erf.effective_field(model, x)                 what the unit in the middle looks at
    study.landscape.slice_1d(model, x, y, along, steps) the loss along study.landscape.direction(model, 0)
    study.curvature.hessian_extremes(model, x, y)       the largest and the smallest eigenvalue
    study.shatter.along_curve(gradients, lags)          of study.probing.input_gradients(model, x)
    flow = study.flow.Flow("mine")                      the explorer's page: flow.add(model, x, y, {"step": 0}), then
    study.explore.page(flow.data(), "mine")             is its HTML
    study.run("paths", study.Settings("resnet20"))      what `minicnn study paths resnet20` shows

A module is imported when it is asked for.
"""

import importlib
from typing import Any

from minicnn.study.blocks import Block, Contribution
from minicnn.study.decompose import explain_merge
from minicnn.study.instruments import INSTRUMENTS, Instrument, Settings, find, run
from minicnn.study.recording import Record, gradients, record
from minicnn.study.result import Picture, Result, Table

__all__ = [
    "INSTRUMENTS", "Block", "Contribution", "Instrument", "Picture", "Record", "Result", "Settings", "Table",
    "explain_merge", "find", "gradients", "record", "run",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """The modules of the instruments."""
    try:
        return importlib.import_module(f"minicnn.study.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"minicnn.study.{name}":
            raise
        raise AttributeError(f"module 'minicnn.study' has no attribute {name!r}") from None

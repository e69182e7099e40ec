"""What may happen around epochs and steps: callbacks with Keras's names, arguments and meaning (Keras 3.15).

Your own is a subclass of Callback with some of its hooks. Those that hold a state have get_state() and set_state(), so
that a run that goes on goes on with them too.
"""

from minicnn.training.callbacks.base import (
    Callback,
    CallbackList,
    History,
    LambdaCallback,
    LazyLogs,
    TerminateOnNaN,
)
from minicnn.training.callbacks.files import CSVLogger, ModelCheckpoint, TensorBoard
from minicnn.training.callbacks.monitors import EarlyStopping, Monitor, ReduceLROnPlateau
from minicnn.training.callbacks.weights import LearningRateScheduler, SwapEMAWeights

__all__ = [
    "CSVLogger", "Callback", "CallbackList", "EarlyStopping", "History", "LambdaCallback", "LazyLogs",
    "LearningRateScheduler", "ModelCheckpoint", "Monitor", "ReduceLROnPlateau", "SwapEMAWeights", "TensorBoard",
    "TerminateOnNaN",
]  # fmt: skip

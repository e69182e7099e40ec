"""keras.callbacks"""

from minicnn.training.callbacks import Callback, History, LambdaCallback, TerminateOnNaN

__all__ = ["Callback", "History", "LambdaCallback", "TerminateOnNaN"]

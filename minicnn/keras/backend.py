"""keras.backend: what code that builds networks asks for"""

from minicnn.config import array_library as backend
from minicnn.config import epsilon, floatx, image_data_format, set_epsilon, set_floatx
from minicnn.layers.naming import clear_session
from minicnn.layers.symbols import int_shape, is_keras_tensor

__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "image_data_format", "int_shape", "is_keras_tensor", "set_epsilon",
    "set_floatx",
]  # fmt: skip

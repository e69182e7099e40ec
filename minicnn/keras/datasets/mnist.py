"""keras.datasets.mnist"""

from minicnn.data.tuples import mnist as load_data

__all__ = ["load_data"]

"""keras.datasets.fashion_mnist"""

from minicnn.data.tuples import fashion_mnist as load_data

__all__ = ["load_data"]

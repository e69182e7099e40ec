"""keras.datasets.cifar10"""

from minicnn.data.tuples import cifar10 as load_data

__all__ = ["load_data"]

"""keras.utils"""

from minicnn.config import set_random_seed

__all__ = ["set_random_seed"]

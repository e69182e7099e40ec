"""keras.utils"""

from minicnn.config import set_random_seed
from minicnn.data.encoding import normalize, to_categorical

__all__ = ["normalize", "set_random_seed", "to_categorical"]

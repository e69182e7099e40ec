"""keras.layers"""

from minicnn.layers import *  # noqa: F403
from minicnn.layers import __all__  # noqa: F401

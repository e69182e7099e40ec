"""keras.activations"""

from minicnn.layers.activations import get, linear, log_softmax, relu, serialize, sigmoid, softmax, tanh

__all__ = ["get", "linear", "log_softmax", "relu", "serialize", "sigmoid", "softmax", "tanh"]

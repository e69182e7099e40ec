"""Activation functions."""

from minicnn.ops.base import Op


class ReLU(Op):
    """y = max(x, 0); the gradient at 0 is 0, as in TensorFlow."""

    def forward(self, x):
        self.y = self.backend.relu(x)  # its sign is the mask
        return self.y

    def backward(self, dy):
        return (self.backend.relu_grad(dy, self.y),)


class Sigmoid(Op):
    """y = 1 / (1 + e^-x), written with tanh so that it does not overflow"""

    of_logits = True

    def forward(self, x):
        half = x.dtype.type(0.5)
        self.y = half * self.xp.tanh(half * x) + half
        return self.y

    def backward(self, dy):
        return (dy * self.y * (1 - self.y),)


class Tanh(Op):
    """y = tanh(x)"""

    def forward(self, x):
        self.y = self.xp.tanh(x)
        return self.y

    def backward(self, dy):
        return (dy * (1 - self.y * self.y),)


class Softmax(Op):
    """y = e^x / sum(e^x) along `axis`.  dx = y * (dy - sum(dy * y))"""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x):
        self.of_logits = self.axis in (-1, x.ndim - 1)
        self.log_y = self.backend.log_softmax(x, self.axis)  # which a loss needs as well
        return self.xp.exp(self.log_y)

    def backward(self, dy):
        y = self.xp.exp(self.log_y)
        return (y * (dy - (dy * y).sum(axis=self.axis, keepdims=True)),)


class LogSoftmax(Op):
    """y = x - log(sum(e^x)) along `axis`.  dx = dy - softmax(x) * sum(dy)"""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, x):
        self.y = self.backend.log_softmax(x, self.axis)
        return self.y

    def backward(self, dy):
        return (dy - self.xp.exp(self.y) * dy.sum(axis=self.axis, keepdims=True),)

"""Functions of tensors, arrays and symbols by their usual names: what a Lambda, a custom layer or a training loop
writes."""

from minicnn import ops
from minicnn.backend import Window
from minicnn.tensor import apply


def relu(x):
    """max(x, 0)"""
    return apply(ops.ReLU(), x)


def sigmoid(x):
    """1 / (1 + e^-x). The result remembers x as its `logits`, from which a loss computes exactly."""
    return apply(ops.Sigmoid(), x)


def tanh(x):
    """The hyperbolic tangent."""
    return apply(ops.Tanh(), x)


def softmax(x, axis=-1):
    """e^x / sum(e^x) along `axis`. The result remembers x as its `logits`, from which a loss computes exactly."""
    return apply(ops.Softmax(axis), x)


def log_softmax(x, axis=-1):
    """log(softmax(x)), without overflow"""
    return apply(ops.LogSoftmax(axis), x)


def exp(x):
    """e^x"""
    return apply(ops.Exp(), x)


def log(x):
    """ln(x)"""
    return apply(ops.Log(), x)


def sqrt(x):
    """The square root."""
    return apply(ops.Sqrt(), x)


def square(x):
    """x * x"""
    return apply(ops.Multiply(), x, x)


def abs(x):  # noqa: A001  (Keras's and NumPy's name)
    """|x|"""
    return apply(ops.Absolute(), x)


def clip(x, low, high):
    """x kept between `low` and `high`"""
    return apply(ops.Clip(low, high), x)


def maximum(a, b):
    """The larger of a and b, cell by cell."""
    return apply(ops.Maximum(), a, b)


def minimum(a, b):
    """The smaller of a and b, cell by cell."""
    return apply(ops.Minimum(), a, b)


def matmul(a, b):
    """a @ b"""
    return apply(ops.MatMul(), a, b)


def scaled_add(x, r, scale):
    """x + scale * r"""
    return apply(ops.ScaledAdd(scale), x, r)


def sum(x, axis=None, keepdims=False):  # noqa: A001
    """The sum over `axis`"""
    return apply(ops.Sum(axis, keepdims), x)


def mean(x, axis=None, keepdims=False):
    """The mean over `axis`"""
    return apply(ops.Mean(axis, keepdims), x)


def max(x, axis=None, keepdims=False):  # noqa: A001
    """The maximum over `axis`"""
    return apply(ops.Max(axis, keepdims), x)


def reshape(x, shape):
    """The same numbers, row-major, in another shape"""
    return apply(ops.Reshape(tuple(shape)), x)


def transpose(x, axes=None):
    """The axes in another order"""
    return apply(ops.Transpose(axes), x)


def concatenate(xs, axis=-1):
    """The inputs one after the other along `axis`"""
    return apply(ops.Concatenate(axis), *xs)


def pad(x, pads, value=0.0):
    """`pads` = ((before, after), ...) cells of `value` around x"""
    return apply(ops.Pad(pads, value), x)


def conv2d(x, w, b=None, window=None):
    """A convolution. x: (N, H, W, C)   w: (KH, KW, C/groups, F)   b: (F,)"""
    return apply(ops.Conv2D(window), x, w, b)


def max_pool(x, size, window=None):
    """Max pooling over windows of `size` = (KH, KW). x: (N, H, W, C)"""
    return apply(ops.MaxPool2D(size, window or Window(strides=size)), x)


def avg_pool(x, size, window=None):
    """Average pooling over windows of `size` = (KH, KW). x: (N, H, W, C)"""
    return apply(ops.AvgPool2D(size, window or Window(strides=size)), x)


def softmax_cross_entropy(logits, labels):
    """The cross-entropy of each example, from logits (..., C) and class numbers (...) or probabilities (..., C)."""
    return apply(ops.SoftmaxCrossEntropy(labels), logits)

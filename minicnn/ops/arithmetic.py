"""Arithmetic with broadcasting, and reductions."""

from minicnn.ops.base import Op


class Add(Op):
    """y = a + b. At a residual merge both edges carry dy unchanged: the skip and the branch differ only further
    back."""

    def forward(self, a, b):
        return self.backend.add(a, b) if a.shape == b.shape else a + b

    def backward(self, dy):
        return dy, dy


class Subtract(Op):
    """y = a - b"""

    def forward(self, a, b):
        return a - b

    def backward(self, dy):
        return dy, -dy if self.needs[1] else None


class Multiply(Op):
    """y = a * b"""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a * b

    def backward(self, dy):
        return dy * self.b if self.needs[0] else None, dy * self.a if self.needs[1] else None


class Divide(Op):
    """y = a / b"""

    def forward(self, a, b):
        self.a, self.b = a, b
        return a / b

    def backward(self, dy):
        da = dy / self.b if self.needs[0] else None
        db = -dy * self.a / (self.b * self.b) if self.needs[1] else None
        return da, db


class ScaledAdd(Op):
    """y = x + scale * r, the sum of Inception-ResNet (Szegedy et al. 2016, arXiv:1602.07261, section 3.3)."""

    def __init__(self, scale: float):
        self.scale = scale

    def forward(self, x, r):
        return x + r * r.dtype.type(self.scale)

    def backward(self, dy):
        return dy, dy * dy.dtype.type(self.scale) if self.needs[1] else None


class Power(Op):
    """y = x ** exponent, for a constant exponent"""

    def __init__(self, exponent: float):
        self.exponent = exponent

    def forward(self, x):
        self.x = x
        return x**self.exponent

    def backward(self, dy):
        if self.exponent == 0:  # 0 * x^-1 is not a number at x = 0
            return (self.xp.zeros_like(dy),)
        return (dy * self.exponent * self.x ** (self.exponent - 1),)


class Negative(Op):
    """y = -x"""

    def forward(self, x):
        return -x

    def backward(self, dy):
        return (-dy,)


class Absolute(Op):
    """y = |x|; the gradient at 0 is 0."""

    def forward(self, x):
        self.sign = self.xp.sign(x)
        return self.xp.abs(x)

    def backward(self, dy):
        return (dy * self.sign,)


class Exp(Op):
    """y = e^x"""

    def forward(self, x):
        self.y = self.xp.exp(x)
        return self.y

    def backward(self, dy):
        return (dy * self.y,)


class Log(Op):
    """y = ln(x)"""

    def forward(self, x):
        self.x = x
        return self.xp.log(x)

    def backward(self, dy):
        return (dy / self.x,)


class Sqrt(Op):
    """y = sqrt(x)"""

    def forward(self, x):
        self.y = self.xp.sqrt(x)
        return self.y

    def backward(self, dy):
        return (dy / (2 * self.y),)


class Clip(Op):
    """y = x, kept between low and high; no gradient where x lies outside."""

    def __init__(self, low: float, high: float):
        self.low, self.high = low, high

    def forward(self, x):
        self.inside = (x >= self.low) & (x <= self.high)
        return self.xp.clip(x, self.low, self.high)

    def backward(self, dy):
        return (dy * self.inside,)


class Maximum(Op):
    """y = the larger of a and b; where they are equal, each gets half of dy."""

    choose = "maximum"

    def forward(self, a, b):
        y = getattr(self.xp, self.choose)(a, b)
        share = a.dtype.type(0.5)
        self.share_a = (y == a) - share * (a == b)
        return y

    def backward(self, dy):
        return dy * self.share_a, dy * (1 - self.share_a)


class Minimum(Maximum):
    """y = the smaller of a and b; where they are equal, each gets half of dy."""

    choose = "minimum"


class MatMul(Op):
    """y = a @ b.  a: (..., M, K)   b: (K, N) or (..., K, N)   y: (..., M, N)"""

    def forward(self, a, b):
        if a.ndim < 2 or b.ndim < 2 or a.shape[-1] != b.shape[-2]:
            raise ValueError(f"matmul: expected (..., M, K) and (..., K, N), got {a.shape} and {b.shape}")
        self.a, self.b = a, b
        return self.backend.matmul(a, b)

    def backward(self, dy):
        of_a, of_b = (dy, self.b.swapaxes(-1, -2)), (self.a.swapaxes(-1, -2), dy)
        pairs = [pair for pair, need in zip((of_a, of_b), self.needs, strict=False) if need]
        found = iter(self.backend.matmuls(*pairs))
        return tuple([next(found) if need else None for need in self.needs[:2]])


class Reduction(Op):
    """Folds one axis, several (a tuple), or all of them (None)."""

    shape: tuple[int, ...]  # of x

    def __init__(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False):
        self.axis, self.keepdims = axis, keepdims

    def spread(self, folded):
        """`folded` (y, or dy) with the folded axes put back at size 1."""
        if self.keepdims or self.axis is None:
            return folded.reshape(folded.shape if self.keepdims else (1,) * len(self.shape))
        return self.xp.expand_dims(folded, self.axis)

    def over_x(self, folded):
        """`folded` at each number of x that was folded into it."""
        dx = self.xp.empty(self.shape, folded.dtype)
        dx[...] = folded if self.axis is None else self.spread(folded)
        return dx


class Sum(Reduction):
    """y = the sum over `axis`"""

    def forward(self, x):
        self.shape = x.shape
        return x.sum(axis=self.axis, keepdims=self.keepdims)

    def backward(self, dy):
        return (self.over_x(dy),)


class Mean(Reduction):
    """y = the mean over `axis`"""

    def forward(self, x):
        self.shape = x.shape
        y = x.mean(axis=self.axis, keepdims=self.keepdims)
        self.count = x.size // max(y.size, 1)
        return y

    def backward(self, dy):
        return (self.over_x(dy / dy.dtype.type(self.count)),)


class Max(Reduction):
    """y = the maximum over `axis`; equal maxima share dy evenly, as in TensorFlow's reduce_max."""

    def forward(self, x):
        self.shape = x.shape
        y = x.max(axis=self.axis, keepdims=self.keepdims)
        hit = x == self.spread(y)
        self.share = hit / hit.sum(axis=self.axis, keepdims=True).astype(x.dtype)
        return y

    def backward(self, dy):
        return (self.spread(dy) * self.share,)

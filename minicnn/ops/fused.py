"""What the plan of a model runs at once: an op followed by batch norm, a sum or ReLU, one sweep instead of one each.

Each keeps its input and its output alone. The output's sign is ReLU's mask, and a batch norm computes its normalised
input anew from x: what lies between the two is never on the tape.
"""

from minicnn.backend import Window
from minicnn.ops.arithmetic import MatMul
from minicnn.ops.base import Op
from minicnn.ops.conv import Conv2D
from minicnn.ops.norm import BatchNorm, BatchNormInference


class Conv2DAct(Conv2D):
    """y = max(conv(x, w) + b + residual, 0), the sum and ReLU optional: they are done on the tile in the cache.

    x: (N, H, W, C)   w: (KH, KW, C/groups, F)   b: (F,) or None   residual: like y, or None   y: (N, OH, OW, F)
    """

    def __init__(self, window: Window | None = None, relu: bool = True, prepared=None, normed: bool = False):
        super().__init__(window, prepared, normed)
        self.relu = relu

    def forward(self, x, w, b=None, residual=None):
        self.remember(x, w, b)
        y = self.backend.conv2d(x, w, self.window, bias=b, residual=residual, relu=self.relu, prepared=self.prepared)
        self.y = y if self.relu and any(self.needs) else None
        return y

    def backward(self, dy):
        dz = self.backend.relu_grad(dy, self.y) if self.relu else dy
        return *super().backward(dz), dz if any(self.needs[3:4]) else None


class Conv2DPool(Conv2D):
    """y = the maximum of each 2x2 window of max(conv(x, w) + b, 0), ReLU optional.

    x: (N, H, W, C)   w: (KH, KW, C/groups, F)   b: (F,) or None   y: (N, OH // 2, OW // 2, F)
    """

    def __init__(self, window: Window | None = None, relu: bool = True, prepared=None):
        super().__init__(window, prepared)
        self.relu = relu

    def forward(self, x, w, b=None):
        self.remember(x, w, b)
        self.x, self.w, taped = x, w, any(self.needs)
        self.y, self.kept = self.backend.conv2d_pool(x, w, self.window, b, self.relu, taped, self.prepared)
        return self.y

    def backward(self, dy):
        needs = *self.needs, *(False,) * (3 - len(self.needs))
        saved = self.y, self.kept, self.x, self.w
        return self.backend.conv2d_pool_grad(dy, *saved, self.window, self.relu, needs)


class DenseAct(MatMul):
    """y = max(x @ w + b, 0), ReLU optional.  x: (..., M, K)   w: (K, N)   b: (N,) or None   y: (..., M, N)"""

    def __init__(self, relu: bool = True):
        self.relu = relu

    def forward(self, x, w, b=None):
        y = super().forward(x, w)
        if b is not None:
            self.xp.add(y, b, out=y)  # y is not anybody's yet
        self.y = self.xp.maximum(y, y.dtype.type(0), out=y) if self.relu else None
        return y

    def backward(self, dy):
        dz = self.backend.relu_grad(dy, self.y) if self.relu else dy
        db = self.backend.channel_sum(dz) if any(self.needs[2:3]) else None  # first, while dz is in the cache
        return *super().backward(dz), db


class BatchNormAct(BatchNorm):
    """y = max(scale * BatchNorm(x) + residual, 0); residual and ReLU are optional.

    x: (..., C)   gamma, beta: (C,) or None   residual: like x, or None   y: (..., C)
    moments: (mean, variance) to be taken as they are; without them the batch's own, which `mean` and `variance` hold
    afterwards. scale: a number, ScaledAdd's.
    """

    def __init__(self, epsilon: float = 1e-3, relu: bool = True, scale: float = 1.0, moments=None):
        super().__init__(epsilon)
        self.relu, self.scale, self.moments = relu, scale, moments

    def forward(self, x, gamma=None, beta=None, residual=None):
        self.mean, self.variance = self.moments or self.backend.channel_moments(x)
        self.x, self.gamma, beta = x, self.scaled(gamma, x), None if beta is None else self.scaled(beta, x)
        y = self.backend.batch_norm(x, self.mean, self.variance, self.gamma, beta, self.epsilon, residual, self.relu)
        self.y = y if self.relu and any(self.needs) else None
        return y

    def scaled(self, vector, x):
        """gamma or beta times the scale; gamma is the scale where there is none."""
        if self.scale == 1:
            return vector
        vector = self.xp.ones(x.shape[-1:], x.dtype) if vector is None else vector
        return vector * x.dtype.type(self.scale)

    def backward(self, dy):
        wants_residual = any(self.needs[3:4])
        if self.moments is not None or not self.relu:
            dz = self.backend.relu_grad(dy, self.y) if self.relu else dy
            dx, dgamma, dbeta = self.given(dz) if self.moments is not None else super().backward(dz)
        else:
            dx, dgamma, dbeta, dz = self.backend.batch_norm_relu_grad(
                dy, self.y, self.x, self.mean, self.variance, self.gamma, self.epsilon, wants_residual
            )
        if self.scale != 1:
            dgamma, dbeta = (None if d is None else d * d.dtype.type(self.scale) for d in (dgamma, dbeta))
        return dx, dgamma, dbeta, dz if wants_residual else None

    def given(self, dz):
        """The gradients where the moments are constants."""
        op = BatchNormInference(self.mean, self.variance, self.epsilon)
        op.backend, op.xp, op.needs, op.x, op.gamma = self.backend, self.xp, self.needs, self.x, self.gamma
        return op.backward(dz)


class BatchNormPool(BatchNorm):
    """y = the maximum of each window of max(BatchNorm(x), 0), by the batch's own moments.

    x: (N, H, W, C)   gamma, beta: (C,) or None   y: (N, OH, OW, C)
    size, window, zeros: those of `MaxPool2D`. What is pooled is kept nowhere: its maxima and their places are.
    """

    def __init__(self, epsilon: float, size: tuple[int, int], window: Window, zeros: bool = False):
        super().__init__(epsilon)
        self.size, self.window, self.zeros = size, window, zeros

    def forward(self, x, gamma=None, beta=None):
        self.x, self.gamma = x, gamma
        self.mean, self.variance = self.backend.channel_moments(x)
        norm = self.mean, self.variance, gamma, beta, self.epsilon
        self.y, self.winners = self.backend.batch_norm_relu_pool(x, *norm, self.size, self.window, self.zeros)
        return self.y

    def backward(self, dy):
        norm = self.mean, self.variance, self.gamma, self.epsilon
        kept = self.y, self.winners, self.x
        return self.backend.batch_norm_relu_pool_grad(dy, *kept, *norm, self.size, self.window)


class AddReLU(Op):
    """y = max(x + scale * r, 0): the end of a residual block without batch norm.  x, r, y: one shape"""

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def forward(self, x, r):
        self.y = self.backend.add(x, r if self.scale == 1 else r * r.dtype.type(self.scale), relu=True)
        return self.y

    def backward(self, dy):
        dz = self.backend.relu_grad(dy, self.y)
        return dz, dz if self.scale == 1 else dz * dz.dtype.type(self.scale)

"""Convolution (cross-correlation, as everywhere in the field)."""

from minicnn.backend import Window
from minicnn.ops.base import Op


class Conv2D(Op):
    """y[n,i,j,f] = b[f] + sum over p,q,c of x[n, i*sh + p*dh, j*sw + q*dw, c] * w[p,q,c,f], x padded with zeros.

    x: (N, H, W, C)   w: (KH, KW, C/groups, F)   b: (F,) or None   y: (N, OH, OW, F)

    With G groups the channels of x and the filters are cut into G parts, and part g of y sees part g of x alone.
    A depthwise convolution is the case G = C. prepared: what `backend.prepare_kernel` made of w, where it is at hand.
    normed: whether y is read by a batch norm with the batch's own moments alone. That takes away what b adds: db = 0.
    """

    fresh = True

    def __init__(self, window: Window | None = None, prepared=None, normed: bool = False):
        self.window, self.prepared, self.normed = window or Window(), prepared, normed

    def forward(self, x, w, b=None):
        self.remember(x, w, b)
        return self.backend.conv2d(x, w, self.window, bias=b, prepared=self.prepared)

    def remember(self, x, w, b):
        """Keeps what the backward pass needs: x for dw, w for dx."""
        self.check(x, w, b)
        self.x_shape, self.w_shape = x.shape, w.shape
        self.x = x if self.needs[1] else None
        self.w = w if self.needs[0] else None

    def backward(self, dy):
        backend, window = self.backend, self.window
        dx = backend.conv2d_input_grad(dy, self.w, self.x_shape, window) if self.needs[0] else None
        dw = backend.conv2d_weight_grad(self.x, dy, self.w_shape, window) if self.needs[1] else None
        db = self.bias_grad(dy) if len(self.needs) > 2 and self.needs[2] else None
        return dx, dw, db

    def bias_grad(self, dy):
        """db, of which the sum over dy would give the rounding where it is 0."""
        return self.xp.zeros(dy.shape[3:], dy.dtype) if self.normed else self.backend.channel_sum(dy)

    def check(self, x, w, b):
        """Raises ValueError for shapes that do not fit together."""
        groups = self.window.groups
        if x.ndim != 4 or w.ndim != 4:
            raise ValueError(
                f"conv2d: expected x (N, H, W, C) and w (KH, KW, C/groups, F), got {x.shape} and {w.shape}"
            )
        if x.shape[3] != w.shape[2] * groups:
            raise ValueError(
                f"conv2d: the kernel {w.shape} with groups={groups} reads {w.shape[2] * groups} channels, "
                f"got an input of {x.shape}"
            )
        if w.shape[3] % groups:
            raise ValueError(f"conv2d: {w.shape[3]} filters cannot be cut into groups={groups} equal parts")
        if b is not None and b.shape != w.shape[3:]:
            raise ValueError(f"conv2d: expected a bias of shape {w.shape[3:]}, one for each filter, got {b.shape}")

"""Moving numbers about: reshape, transpose, indexing, padding, concatenation. Each backward is the same move,
undone."""

from minicnn.ops.base import Op, check_axis


class Identity(Op):
    """y = x: a node of its own for a layer that passes its input on, so that its edge can be seen."""

    def forward(self, x):
        return x

    def backward(self, dy):
        return (dy,)


class Reshape(Op):
    """The same numbers, row-major, in another shape (one axis may be -1)."""

    def __init__(self, shape: tuple[int, ...]):
        self.target = shape

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(self.target)

    def backward(self, dy):
        return (dy.reshape(self.shape),)


class Transpose(Op):
    """y's axis i is x's axis axes[i]; without `axes` their order is turned round."""

    def __init__(self, axes: tuple[int, ...] | None = None):
        self.axes = axes

    def forward(self, x):
        axes = self.axes or tuple(reversed(range(x.ndim)))
        self.back = tuple(sorted(range(x.ndim), key=lambda i: axes[i] % x.ndim))
        return x.transpose(axes)

    def backward(self, dy):
        return (dy.transpose(self.back),)


class Index(Op):
    """y = x[key]; where a key of integers reads a cell twice, its gradient counts twice."""

    def __init__(self, key):
        self.key = key

    def forward(self, x):
        self.shape = x.shape
        return x[self.key]

    def backward(self, dy):
        parts = self.key if isinstance(self.key, tuple) else (self.key,)
        if all(isinstance(part, slice) for part in parts):
            return (self.backend.place(dy, self.shape, parts),)
        dx = self.xp.zeros(self.shape, dy.dtype)
        if all(part is None or part is Ellipsis or isinstance(part, int | slice) for part in parts):
            dx[self.key] = dy
        else:
            self.xp.add.at(dx, self.key, dy)
        return (dx,)


class Pad(Op):
    """`pads` cells of `value` before and after each axis: ((before, after), ...), as in numpy.pad."""

    def __init__(self, pads: tuple[tuple[int, int], ...], value: float = 0.0):
        self.pads, self.value = tuple(tuple(pad) for pad in pads), value

    def forward(self, x):
        if self.of_images(x):
            return self.backend.pad_images(x, self.pads[1:3], self.value)
        self.inner = tuple(slice(before, before + n) for (before, _), n in zip(self.pads, x.shape, strict=True))
        return self.xp.pad(x, self.pads, constant_values=self.value)

    def backward(self, dy):
        return (self.backend.crop_images(dy, self.pads[1:3]) if self.of_images(dy) else dy[self.inner],)

    def of_images(self, x):
        """Whether rows and columns of images alone are padded."""
        return x.ndim == 4 and self.pads[::3] == ((0, 0), (0, 0))


class Concatenate(Op):
    """The arrays one after the other along `axis`; each gets its own slice of dy back."""

    def __init__(self, axis: int = -1):
        self.axis = axis

    def forward(self, *xs):
        axis = check_axis("concatenate", xs[0], self.axis)
        rests = {x.shape[:axis] + x.shape[axis + 1 :] for x in xs}
        if len(rests) > 1:
            shapes = ", ".join(str(x.shape) for x in xs)
            raise ValueError(f"concatenate: shapes must agree in every axis but {self.axis}, got {shapes}")
        self.sizes, self.along = [x.shape[axis] for x in xs], axis
        return self.backend.concatenate(xs, axis)

    def backward(self, dy):
        parts = self.backend.split(dy, self.sizes, self.along)
        return tuple(part if need else None for part, need in zip(parts, self.needs, strict=True))

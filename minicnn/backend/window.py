"""How a kernel walks over an image: strides, padding, dilation, groups, and the arithmetic of sizes."""

from dataclasses import dataclass
from functools import lru_cache

Pads = tuple[tuple[int, int], tuple[int, int]]


def same_pads(n: int, k: int, s: int = 1, d: int = 1) -> tuple[int, int]:
    """Zeros before and after an axis of n cells so that a kernel of k gives ceil(n / s) outputs.

    The odd one goes after the data, as in TensorFlow and Keras; PyTorch's symmetric padding gives other numbers.
    """
    out = -(-n // s)
    total = max((out - 1) * s + (k - 1) * d + 1 - n, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """Strides, pads, dilation and groups of a convolution or pooling, in the order (height, width).

    pads: "valid", "same", or ((top, bottom), (left, right)).
    """

    strides: tuple[int, int] = (1, 1)
    pads: str | Pads = "valid"
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self):
        """Raises ValueError for numbers and pads that mean nothing."""
        for name in ("strides", "dilation"):
            if len(pair := getattr(self, name)) != 2 or min(pair) < 1:
                raise ValueError(f"{name} must be two whole numbers from 1 up, got {pair!r}")
            object.__setattr__(self, name, tuple(pair))  # a key of what is kept for each window
        if self.groups < 1:
            raise ValueError(f"groups must be at least 1, got {self.groups!r}")
        if not self._pads_mean_something():
            raise ValueError(f"pads must be 'valid', 'same' or ((top, bottom), (left, right)), got {self.pads!r}")
        if not isinstance(self.pads, str):
            object.__setattr__(self, "pads", tuple(map(tuple, self.pads)))

    def _pads_mean_something(self) -> bool:
        if isinstance(self.pads, str):
            return self.pads in ("valid", "same")
        try:
            (top, bottom), (left, right) = self.pads
            return min(top, bottom, left, right) >= 0
        except (TypeError, ValueError):
            return False

    def explicit_pads(self, size: tuple[int, int], kernel: tuple[int, int]) -> Pads:
        """((top, bottom), (left, right)) for an input of `size` = (H, W) and a kernel of (KH, KW)."""
        if self.pads == "valid":
            return (0, 0), (0, 0)
        if isinstance(self.pads, str):  # "same": __post_init__ lets no other text pass
            tall, wide = (same_pads(*axis) for axis in zip(size, kernel, self.strides, self.dilation, strict=True))
            return tall, wide
        return self.pads

    def output_size(self, size: tuple[int, int], kernel: tuple[int, int]) -> tuple[int, int]:
        """(OH, OW). Raises ValueError where the kernel does not fit into the padded input."""
        return _output_size(self, *size, *kernel)

    def taps(self, kernel: tuple[int, int], out: tuple[int, int]) -> list[tuple[int, int, tuple[slice, slice]]]:
        """For every cell (p, q) of the kernel, in row-major order: the rows and columns of the padded input it
        reads."""
        (sh, sw), (dh, dw), (oh, ow) = self.strides, self.dilation, out
        return [
            (p, q, (slice(p * dh, p * dh + (oh - 1) * sh + 1, sh), slice(q * dw, q * dw + (ow - 1) * sw + 1, sw)))
            for p in range(kernel[0])
            for q in range(kernel[1])
        ]


@lru_cache(maxsize=4096)
def _output_size(window: Window, tall: int, wide: int, kh: int, kw: int) -> tuple[int, int]:
    pads = window.explicit_pads((tall, wide), (kh, kw))
    out = tuple(
        (n + sum(pad) - (k - 1) * d - 1) // s + 1
        for n, pad, k, s, d in zip((tall, wide), pads, (kh, kw), window.strides, window.dilation, strict=True)
    )
    if min(out) < 1:
        raise ValueError(
            f"a kernel of {kh}x{kw} (dilation {window.dilation}) does not fit into an input of "
            f"{tall}x{wide} with padding {window.pads!r}"
        )
    return out[0], out[1]

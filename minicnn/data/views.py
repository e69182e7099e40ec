"""Parts of pictures, shown in a network's size: resized and cut in one step, at random for training.

A view says which box of a picture is shown. `resample` shows it of arrays; an ImageList has Pillow do it while it reads
a file, whatever the picture's size, where the view stands first in the chain of a Loader.
"""

import numpy as np

from minicnn.data.augment import Augmentation, checked_size


class View(Augmentation):
    """An augmentation that shows a box of each picture in `size` (H, W)."""

    def __init__(self, size: tuple[int, int]):
        self.size = checked_size(size)

    def boxes(self, heights: np.ndarray, widths: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """(N, 4): top, left, height and width, in cells, of what is shown of pictures of these heights and widths."""
        raise NotImplementedError

    def __call__(self, images, drawn):
        n, height, width, _ = images.shape
        return resample(images, self.boxes(np.full(n, height), np.full(n, width), drawn), self.size)


class CentreCrop(View):
    """The middle of a picture whose shorter side was resized to `resize`; without it, the largest box in the middle.

    Nothing is drawn: it is what evaluation sees. Raises ValueError where `resize` is smaller than the size.
    """

    def __init__(self, size: tuple[int, int], resize: int | None = None):
        super().__init__(size)
        self.resize = None if resize is None else _scales(resize, self.size)

    def draw(self, random, n):
        """Nothing: the middle, in the form of what ResizeCrop draws."""
        return np.full((n, 3), 0.5)

    def boxes(self, heights, widths, drawn):
        """The boxes in the middle."""
        if self.resize is None:
            scale = np.minimum(heights / self.size[0], widths / self.size[1])
            return _placed(heights, widths, scale * self.size[0], scale * self.size[1], drawn[:, 1:])
        return _cut(heights, widths, self.size, np.full(len(heights), self.resize[0]), drawn[:, 1:])


class ResizeCrop(View):
    """The shorter side resized to a whole number S, drawn evenly from `resize`, then `size` cut out anywhere.

    resize 256 and size (224, 224): AlexNet (Krizhevsky et al. 2012, section 4.1) and VGG with a single scale; (256,
    512): the multi-scale training of VGG (Simonyan and Zisserman 2014, arXiv:1409.1556, section 3.1), and with (256,
    480) that of ResNet (He et al. 2015, arXiv:1512.03385, section 3.4). Raises ValueError where S could be smaller than
    the size.
    """

    def __init__(self, size: tuple[int, int], resize: int | tuple[int, int]):
        super().__init__(size)
        self.resize = _scales(resize, self.size)

    def draw(self, random, n):
        """The scale, and the place in rows and columns: (n, 3), each from 0 to 1."""
        return random.random((n, 3), dtype=np.float32)

    def boxes(self, heights, widths, drawn):
        """What the size covers where the shorter side is S cells long."""
        low, high = self.resize
        shorter = np.minimum(low + np.floor(drawn[:, 0] * (high - low + 1.0)), high)
        return _cut(heights, widths, self.size, shorter, drawn[:, 1:])


class RandomResizedCrop(View):
    """A box of a random area and shape from anywhere, resized to `size`.

    The sampling of Inception v1 (Szegedy et al. 2014, arXiv:1409.4842, section 6): areas evenly between 8 % and 100 %
    of the picture, the ratio of width to height between 3/4 and 4/3, as torchvision's RandomResizedCrop evenly in its
    logarithm. A box that does not fit is drawn anew, ten times; then it is the largest in the middle with a ratio that
    is allowed.
    """

    TRIES = 10

    def __init__(
        self,
        size: tuple[int, int],
        area: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ):
        super().__init__(size)
        for name, (low, high), most in (("area", area, 1.0), ("ratio", ratio, np.inf)):
            if not 0 < low <= high <= most:
                raise ValueError(f"{name} must be (low, high) with 0 < low <= high <= {most:g}, got {(low, high)}")
        self.area, self.ratio = area, ratio

    def draw(self, random, n):
        """The place, from 0 to 1; shares of the area; ratios: (n, 2 + 2 TRIES)."""
        drawn = random.random((n, 2 + 2 * self.TRIES), dtype=np.float32)
        shares, ratios = drawn[:, 2 : 2 + self.TRIES], drawn[:, 2 + self.TRIES :]
        low, high = np.log(self.ratio)
        shares[:] = self.area[0] + shares * (self.area[1] - self.area[0])
        ratios[:] = np.exp(low + ratios * (high - low))
        return drawn

    def boxes(self, heights, widths, drawn):
        """The first box of each image that fits."""
        heights, widths = heights[:, None].astype(np.float64), widths[:, None].astype(np.float64)
        shares, ratios = drawn[:, 2 : 2 + self.TRIES], drawn[:, 2 + self.TRIES :]
        areas = heights * widths * shares
        wide, tall = np.sqrt(areas * ratios), np.sqrt(areas / ratios)  # (N, TRIES)
        fits = (wide <= widths) & (tall <= heights)
        first = np.argmax(fits, axis=1)[:, None]
        middle = ~fits.any(axis=1, keepdims=True)
        # As wide or as high as the picture, in the ratio next to the picture's own.
        ratio = np.clip(widths / heights, *self.ratio)
        wide = np.where(middle, np.minimum(widths, heights * ratio), np.take_along_axis(wide, first, 1))
        tall = np.where(middle, np.minimum(heights, widths / ratio), np.take_along_axis(tall, first, 1))
        place = np.where(middle, 0.5, drawn[:, :2])
        return _placed(heights[:, 0], widths[:, 0], tall[:, 0], wide[:, 0], place)


def resample(images: np.ndarray, boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A box of each image, resized bilinearly to `size` with antialiasing, as Pillow does: (N, OH, OW, C).

    images: (N, H, W, C)   boxes: (N, 4), top, left, height, width in cells   uint8 is rounded, floats stay floats
    Each output cell is the mean of the image under a triangle whose base is two cells, of the input or of the output,
    whichever are larger. What lies beside the box, in the image, counts.
    """
    n, height, width, channels = images.shape
    float_type = images.dtype if images.dtype.kind == "f" else np.dtype(np.float32)
    out = np.empty((n, *size, channels), images.dtype)
    for i, (top, left, high, wide) in enumerate(boxes.tolist()):
        rows, columns = _taps(top, high, size[0], height, float_type), _taps(left, wide, size[1], width, float_type)
        part = images[i, rows[0] : rows[1], columns[0] : columns[1]].astype(float_type)
        x = _along(part, *rows[2:])  # (OH, w, C)
        x = _along(np.ascontiguousarray(x.transpose(1, 0, 2)), *columns[2:])  # (OW, OH, C)
        if images.dtype.kind != "f":
            x = np.clip(np.floor(x + float_type.type(0.5)), 0, 255).astype(images.dtype)
        out[i] = x.transpose(1, 0, 2)
    return out


def _taps(
    start: float, length: float, size: int, n: int, float_type: np.dtype
) -> tuple[int, int, np.ndarray, np.ndarray]:
    """(first, stop, indices, weights): output cell i is the sum over k of weights[k, i] * x[first:stop][indices[k, i]].

    indices, weights: (taps, size)
    """
    scale = length / size
    support = max(scale, 1.0)  # half of the triangle's base
    centre = start + (np.arange(size) + 0.5) * scale  # in cells from the image's border
    indices = np.floor(centre - support).astype(int) + np.arange(int(np.ceil(2 * support)) + 1)[:, None]
    weights = np.maximum(0.0, 1 - np.abs(indices + 0.5 - centre) / support)
    weights[(indices < 0) | (indices >= n)] = 0  # there is no image: the others share what these had
    weights /= weights.sum(axis=0)
    indices = np.clip(indices, 0, n - 1)
    low = int(indices.min())
    return low, int(indices.max()) + 1, indices - low, weights.astype(float_type)


def _along(x: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The sums of `_taps` over the first axis. No matrix product: its bits may depend on the number of threads."""
    total = np.zeros((indices.shape[1], *x.shape[1:]), weights.dtype)
    for index, weight in zip(indices, weights, strict=True):
        if weight.any():
            total += weight[:, None, None] * x[index]
    return total


def _scales(resize: int | tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    low, high = (resize, resize) if isinstance(resize, int) else resize
    if not max(size) <= low <= high:
        raise ValueError(f"resize must be at least the size {size}, and (low, high) with low <= high, got {resize}")
    return low, high


def _cut(heights, widths, size, shorter, place) -> np.ndarray:
    """The boxes of `size` in pictures whose shorter sides are resized to `shorter`."""
    scale = np.minimum(heights, widths) / shorter  # cells of the picture for one cell shown
    return _placed(heights, widths, size[0] * scale, size[1] * scale, place)


def _placed(heights, widths, high, wide, place) -> np.ndarray:
    """Boxes of these heights and widths at `place` (N, 2): from 0, at the top left, to 1."""
    room = np.stack([heights - high, widths - wide], axis=1).clip(0)
    return np.concatenate([place * room, np.stack([high, wide], axis=1)], axis=1)

"""What a run does to images before its network sees them; kept with its weights, so that nobody has to know it."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minicnn.data.images import prepare
from minicnn.data.statistics import channel_statistics, mean_image
from minicnn.formats import FormatError
from minicnn.zoo import preprocessing as published

OWN = ("unit", "channel", "pixel")
MODES = (*OWN, *(mode for mode in published.MODES if mode not in OWN))


@dataclass(frozen=True)
class Preprocessing:
    """Images (N, H, W, C) of values 0..top to float32 of `shape` (H, W, C).

    mode: unit: 0..1   channel: minus each channel's mean, divided by its deviation   pixel: minus each pixel's mean
    (He et al. 2015, section 4.2)   caffe, tf, torch: as published weights want it (`minicnn.zoo.preprocessing`)
    pad: whether smaller images get a border of zeros, as LeCun et al. 1998 do with 28 x 28 (section III.A), and are
    not resized   mean, deviation: of values 0..1, (C,), or (H, W, C) for "pixel"
    """

    shape: tuple[int, int, int]
    mode: str = "unit"
    pad: bool = False
    source: tuple[int, int] | None = None  # the size of the images it was made for; None: any
    mean: np.ndarray | None = None
    deviation: np.ndarray | None = None
    class_names: tuple[str, ...] = ()

    def __call__(self, images: np.ndarray, top: float = 255) -> np.ndarray:
        """The images as the network wants them. Raises ValueError where their channels do not fit."""
        x = self.sized(images, top)
        if self.mode in ("caffe", "tf", "torch"):
            return published.preprocess_input(x * np.float32(255), self.mode)
        if self.mean is not None:
            x -= self.mean
        if self.deviation is not None:
            x /= self.deviation
        return x

    def sized(self, images: np.ndarray, top: float = 255) -> np.ndarray:
        """The images in the network's size, of values 0..1, as a new array."""
        if self.pad and images.shape[1:3] == self.source:
            rows, columns = self.shape[0] - images.shape[1], self.shape[1] - images.shape[2]
            border = ((0, 0), (rows // 2, rows - rows // 2), (columns // 2, columns - columns // 2), (0, 0))
            images = np.pad(images, border)
        return prepare(images, self.shape, top)

    def fitted(self, images: Any, top: float) -> "Preprocessing":
        """With the means and deviations of these training images, where the mode wants them."""
        if self.mode == "channel":
            mean, deviation = channel_statistics(images)
            deviation = np.where(deviation > 0, deviation, top)  # a channel that is the same everywhere
            mean, deviation = (mean / top).astype(np.float32), (deviation / top).astype(np.float32)
            return replace(self, mean=mean, deviation=deviation)
        if self.mode == "pixel":  # sizing is linear: the mean of sized images is the sized mean
            return replace(self, mean=self.sized(mean_image(images)[np.newaxis], top)[0])
        return self

    # As text ---------------------------------------------------------------------------------------------------------

    def dumps(self) -> str:
        """As JSON."""
        arrays = {name: None if a is None else a.tolist() for name, a in vars(self).items() if name in LISTED}
        return json.dumps({**vars(self), **arrays})


LISTED = ("mean", "deviation")


def loads(text: str) -> Preprocessing:
    """What `dumps` wrote. Raises FormatError for anything else."""
    try:
        table = json.loads(text)
        shape, source = tuple(table["shape"]), table["source"] and tuple(table["source"])
        arrays = {name: None if table[name] is None else np.asarray(table[name], np.float32) for name in LISTED}
        if table["mode"] not in MODES or len(shape) != 3 or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ValueError(f"mode {table['mode']!r}, shape {shape}")
        if np.broadcast_shapes(shape, *(a.shape for a in arrays.values() if a is not None)) != shape:
            raise ValueError(f"means that do not fit {shape}")
        names, pad = tuple(str(name) for name in table["class_names"]), bool(table["pad"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"the preprocessing that is noted there makes no sense ({error})") from None
    return Preprocessing(shape, table["mode"], pad, source, class_names=names, **arrays)

"""Colours: changed at random for training, and brought to the range that a network learns well with.

All give floats: float32 of uint8 images, otherwise the images' own type.
"""

import numpy as np

from minicnn.data.augment import Augmentation

GREY = (0.299, 0.587, 0.114)  # the luma of red, green, blue: ITU-R BT.601, as in Pillow and torchvision

# Deviations and directions (columns) of ImageNet's colours in 0..1, as in facebook/fb.resnet.torch's
# datasets/imagenet.lua: PCALighting(*IMAGENET_COMPONENTS) for images that were scaled to 0..1.
IMAGENET_COMPONENTS = (
    np.array([0.2175, 0.0188, 0.0045]),
    np.array([[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]),
)


class PCALighting(Augmentation):
    """Adds to all cells of an image the same multiples of the principal components of the data set's colours.

    Krizhevsky et al. 2012 (AlexNet), section 4.1: sum over i of alpha_i lambda_i p_i, alpha_i normal with deviation
    0.1, once for each image. They call lambda_i the eigenvalues of the colours' covariance, which are thousands for
    0..255: 0.1 of them would drown the image. The values in use since are of the size of their square roots, the
    deviations of the colours along the components; these are meant here.
    deviations (C,), directions (C, C): of `statistics.colour_components(x_train)`, for images in the same range.
    """

    def __init__(self, deviations: np.ndarray, directions: np.ndarray, strength: float = 0.1):
        deviations, directions = np.asarray(deviations, np.float64), np.asarray(directions, np.float64)
        channels = deviations.size
        if deviations.shape != (channels,) or directions.shape != (channels, channels):
            raise ValueError(
                f"expected deviations (C,) and directions (C, C), got {deviations.shape} and {directions.shape}"
            )
        self.steps = directions * deviations * strength  # column i: the change of colour for alpha_i = 1

    def draw(self, random, n):
        """The alphas of each image, one for each direction of colour: (n, C)."""
        return random.standard_normal((n, self.steps.shape[1]))

    def __call__(self, images, drawn):
        images = _floats(images)
        _check_channels(images, len(self.steps))
        change = (drawn[:, None, :] * self.steps).sum(axis=-1)  # (N, C); no matrix product, whose bits depend on N
        return images + change[:, None, None, :].astype(images.dtype)


class ColourJitter(Augmentation):
    """Brightness, contrast and saturation times factors from 1 - s to 1 + s, drawn evenly, in this order.

    The photometric changes of Howard 2013, arXiv:1312.5402, in the definition of torchvision's ColorJitter: brightness
    scales the image, contrast its distance from its mean grey, saturation that from each cell's grey.
    Values stay within 0..top. Images with one channel keep their saturation.
    Raises ValueError for strengths below 0 or above 1, and for images with other than 1 or 3 channels.
    """

    def __init__(self, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4, top: float = 255):
        self.strengths, self.top = np.array([brightness, contrast, saturation]), top
        if not ((self.strengths >= 0) & (self.strengths <= 1)).all():
            raise ValueError(f"brightness, contrast and saturation must be from 0 to 1, got {self.strengths.tolist()}")

    def draw(self, random, n):
        """The factors of brightness, contrast and saturation: (n, 3)."""
        return (1 + self.strengths * (2 * random.random((n, 3)) - 1)).astype(np.float32)

    def __call__(self, images, drawn):
        images = _floats(images)
        if images.shape[-1] not in (1, 3):
            raise ValueError(f"colour jitter wants 1 or 3 channels, got images of shape {images.shape}")
        brightness, contrast, saturation = drawn.astype(images.dtype).T[..., None, None, None]
        x = np.clip(images * brightness, 0, self.top)
        mean = _grey(x).mean(axis=(1, 2, 3), keepdims=True)
        x = np.clip(mean + contrast * (x - mean), 0, self.top)
        if images.shape[-1] == 3:
            grey = _grey(x)
            x = np.clip(grey + saturation * (x - grey), 0, self.top)
        return x


class Normalise:
    """(x - mean) / deviation, the same for training and for test.

    mean, deviation: (C,) of `statistics.channel_statistics(x_train)`, or mean (H, W, C) of `statistics.mean_image` and
    no deviation, which leaves the scale. Raises ValueError for a deviation of 0, and for images of another shape.
    """

    def __init__(self, mean: np.ndarray, deviation: np.ndarray | float = 1.0):
        self.mean, self.deviation = np.asarray(mean, np.float64), np.asarray(deviation, np.float64)
        if not (self.deviation > 0).all():
            raise ValueError(
                f"deviations must be above 0, got {self.deviation.tolist()}: a channel that never changes?"
            )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """images: (N, H, W, C)"""
        shape = self.mean.shape
        if images.shape[images.ndim - len(shape) :] != shape:
            raise ValueError(f"the mean has the shape {shape}, the images {images.shape}")
        float_type = images.dtype if images.dtype.kind == "f" else np.dtype(np.float32)
        # Written out for a whole image, (H * W * C,): loops over three channels would be four times as slow.
        mean, deviation = (
            np.broadcast_to(a.astype(float_type), images.shape[1:]).ravel() for a in (self.mean, self.deviation)
        )
        x = np.subtract(images.reshape(len(images), mean.size), mean, dtype=float_type)
        x /= deviation
        return x.reshape(images.shape)


def _floats(images: np.ndarray) -> np.ndarray:
    return images if images.dtype.kind == "f" else images.astype(np.float32)


def _grey(x: np.ndarray) -> np.ndarray:
    """(N, H, W, 1)"""
    if x.shape[-1] == 1:
        return x
    red, green, blue = (x[..., c : c + 1] * x.dtype.type(share) for c, share in enumerate(GREY))
    return red + green + blue


def _check_channels(images: np.ndarray, channels: int) -> None:
    if images.shape[-1] != channels:
        raise ValueError(f"the components are of {channels} channels, the images have the shape {images.shape}")

"""What a study looks at: a network of the zoo, as small as it can be, and the images of a data set to fit."""

from typing import Any

from minicnn import zoo
from minicnn.layers.initializers import placeholders
from minicnn.layers.naming import names_kept
from minicnn.study.digits import Split, seeded, split

SIZES = (32, 48, 65, 75, 96, 107, 128, 160, 224, 299)  # tried one after another, in pixels


def subject(settings: Any, name: str | None = None, seed: int | None = None, **options: Any) -> tuple[Any, Split]:
    """The network `settings` name (or `name`) with weights of their seed (or `seed`), or of their file; the images.

    Variant and file are those of the network that `settings` name, and of no other.
    Networks for small images get the data set's own size, those of ImageNet the smallest of SIZES that they take,
    to which the images are enlarged. options: the builder's own. Raises ValueError for unknown names.
    """
    known = settings.load()
    name = name or settings.model
    asked = name == settings.model
    variant = settings.variant if asked else None
    shape = smallest_shape(name, variant, known.x_train.shape[1:], **options)
    with seeded(settings.seed if seed is None else seed):
        model = zoo.build(name, variant, shape, known.classes, **options)
    if asked and settings.weights is not None:
        model.load_weights(settings.weights)
    return model, split(known, shape)


def smallest_shape(
    name: str, variant: str | None, own: tuple[int, ...], sizes: tuple[int, ...] = SIZES, **options: Any
) -> tuple[int, int, int]:
    """The smallest input shape from `own`, that of the images, upwards that the network takes."""
    height, width, channels = own
    if max(zoo.entry(name).input_shape[:2]) <= 32:
        return height, width, channels
    for size in sizes:
        if size < max(height, width):
            continue
        try:
            with placeholders(), names_kept():
                zoo.build(name, variant, (size, size, channels), **options)
        except ValueError:
            if size == sizes[-1]:
                raise
            continue
        return size, size, channels
    return height, width, channels


def twin(name: str) -> str | None:
    """The same network without its shortcuts, where the zoo has it: plain20 for resnet20."""
    other = name.replace("resnet", "plain")
    return other if other != name and other in zoo.FAMILIES else None

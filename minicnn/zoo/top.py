"""What networks begin and end with: an Input of a size that they can work on, and Keras's include_top and pooling."""

from minicnn import layers
from minicnn.layers import Symbol
from minicnn.names import unknown

POOLINGS = {"avg": layers.GlobalAveragePooling2D, "max": layers.GlobalMaxPooling2D}


def images(network: str, input_shape: tuple, smallest: int) -> Symbol:
    """The Input of a network. input_shape: (H, W, C); H and W may be None where no dense layer reads pixels.

    Raises ValueError for another form, and for images smaller than `smallest` x `smallest`.
    """
    sizes = tuple(input_shape)
    if len(sizes) != 3 or any(n is not None and n < 1 for n in sizes) or sizes[2] is None:
        raise ValueError(f"{network}: input_shape must be (height, width, channels), got {input_shape!r}")
    if any(n is not None and n < smallest for n in sizes[:2]):
        raise ValueError(f"{network}: needs images of at least {smallest} x {smallest}, got input_shape={sizes}")
    return layers.Input(sizes)


def pooled(x: Symbol, pooling: str | None, names: dict[str, str] | None = None) -> Symbol:
    """The end of a network without its top: the images of features for None, else one number a channel, (None, C).

    pooling: None, "avg" or "max"   names: those of the pools, automatic unless given.
    """
    check_pooling(pooling)
    if pooling is None:
        return x
    return POOLINGS[pooling](name=(names or {}).get(pooling))(x)


def check_pooling(pooling: str | None) -> None:
    """Raises ValueError unless pooling is None, "avg" or "max". Keras takes any other word for None."""
    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"{unknown('pooling', pooling, POOLINGS)} (or None, for the images of features)")


def averaged_top(
    x: Symbol,
    classes: int,
    include_top: bool,
    pooling: str | None,
    names: dict[str, str] | None = None,
    dropout: float = 0.0,
) -> Symbol:
    """Keras's usual end. With the top: the average of each channel, (dropout,) and a softmax; without it: `pooled`.

    As in Keras, `pooling` says nothing where the top is there.
    """
    check_pooling(pooling)
    if not include_top:
        return pooled(x, pooling, names)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if dropout:
        x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(classes, activation="softmax", name="predictions")(x)

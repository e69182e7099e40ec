"""The residual blocks of notebook 000: counts, types, what stands behind the sum, and what does not fit."""

import pytest

from minicnn.zoo import residual_blocks as blocks
from tests.zoo.counting import block, counts, kinds


@pytest.mark.parametrize(
    ("make", "shape", "filters", "counted", "by_type", "last"),
    [
        (
            blocks.post_activation_pair,
            (56, 56, 256),
            (64, 256),
            (165_440, 164_800, 640),
            "Act2 Add1 BN2 Conv2 In1",
            "Activation",
        ),
        (
            blocks.post_activation,
            (56, 56, 256),
            (64, 64, 256),
            (71_552, 70_784, 768),
            "Act3 Add1 BN3 Conv3 In1",
            "Activation",
        ),
        (blocks.pre_activation, (56, 56, 256), (64, 256), (165_440, 164_800, 640), "Act2 Add1 BN2 Conv2 In1", "Add"),
        (blocks.squeeze_and_restore, (56, 56, 128), 96, (108_608, 108_224, 384), "Act2 Add1 BN2 Conv3 In1", "Add"),
    ],
)
def test_counts(make, shape, filters, counted, by_type, last):
    model = block(make, shape, filters)
    assert (counts(model), kinds(model)) == (counted, by_type)
    assert model.output.shape == (None, *shape) and type(model.layers[-1]).__name__ == last


def test_names():
    model = block(blocks.post_activation, (8, 7, 16), (4, 4, 16), stage=3, block="b")
    named = [layer.name for layer in model.layers if layer.name[:3] in ("res", "bn3")]
    assert named == [f"{kind}3b_branch2{part}" for part in "abc" for kind in ("res", "bn")]


def test_channels_that_do_not_fit():
    with pytest.raises(ValueError, match=r"incompatible shapes \(None, 8, 7, 12\) and \(None, 8, 7, 16\)"):
        block(blocks.post_activation, (8, 7, 16), (4, 4, 12))

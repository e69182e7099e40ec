"""The frame of 6n + 2 layers, and the settings of studies that train families."""

import pytest

from minicnn.study import families
from minicnn.study.instruments import Settings


@pytest.mark.parametrize(("depth", "n"), [(8, 1), (20, 3), (56, 9), (110, 18)])
def test_depths(depth, n):
    assert families.blocks_per_stage(depth) == n and families.depth(n) == depth


@pytest.mark.parametrize("depth", [2, 21, "56", True])
def test_depths_that_do_not_exist(depth):
    with pytest.raises(ValueError, match=f"the depth must be 6n \\+ 2.*got {depth!r}"):
        families.blocks_per_stage(depth)


def test_a_frame_without_blocks():
    with pytest.raises(ValueError, match="n, the blocks of a stage, must be at least 1, got 0"):
        families.network("none", 0, lambda x, *_, **__: x)


def test_another_kind_of_twin():
    with pytest.raises(ValueError, match="kind must be 'resnet' or 'plain', got 'vgg'"):
        families.twin("vgg", 8)


def test_the_model_of_the_settings_says_the_depth():
    assert families.wanted_depth(Settings(), 56) == 56
    assert families.wanted_depth(Settings(model="plain110"), 56) == 110
    with pytest.raises(ValueError, match="vgg16 is none: name one of resnet20, resnet32"):
        families.wanted_depth(Settings(model="vgg16"), 56)
    with pytest.raises(ValueError, match="--weights w.h5 has no meaning here"):
        families.wanted_depth(Settings(weights="w.h5"), 56)

"""Colours at random, and normalisation."""

import numpy as np
import pytest

from minicnn.data.colour import IMAGENET_COMPONENTS, ColourJitter, Normalise, PCALighting
from minicnn.data.statistics import channel_statistics, colour_components, mean_image
from tests.checks import assert_close


def test_channel_statistics(rng):
    images = rng.integers(0, 256, (600, 5, 4, 3), np.uint8)  # more than two pieces
    mean, deviation = channel_statistics(images)
    assert_close(mean, images.mean((0, 1, 2)), 1e-12)
    assert_close(deviation, images.std((0, 1, 2)), 1e-10)
    assert_close(mean_image(images), images.mean(0), 1e-12)


def test_normalised_images_have_mean_0_and_deviation_1(rng):
    images = rng.integers(0, 200, (50, 5, 4, 3), np.uint8)
    x = Normalise(*channel_statistics(images))(images)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.mean((0, 1, 2), dtype=np.float64), 0, atol=1e-6)
    np.testing.assert_allclose(x.std((0, 1, 2), dtype=np.float64), 1, rtol=1e-6)
    x = Normalise(mean_image(images))(images)
    np.testing.assert_allclose(x.mean(0, dtype=np.float64), 0, atol=1e-4)
    assert Normalise(np.zeros(3))(images.astype(np.float64)).dtype == np.float64


def test_colour_components(rng):
    directions = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    images = (rng.normal(size=(40, 20, 20, 3)) * [30, 10, 2]) @ directions.T + 100
    deviations, found = colour_components(images)
    np.testing.assert_allclose(deviations, [30, 10, 2], rtol=0.03)
    np.testing.assert_allclose(np.abs((found * directions).sum(0)), 1, rtol=1e-3)
    assert (found[np.abs(found).argmax(0), np.arange(3)] > 0).all()
    covariance = np.cov(images.reshape(-1, 3).T, bias=True)
    np.testing.assert_allclose(found @ np.diag(deviations**2) @ found.T, covariance, atol=1e-6)


def test_lighting_moves_colours_along_the_components(rng):
    images = rng.integers(0, 256, (4000, 2, 2, 3), np.uint8)
    directions = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    light = PCALighting([60, 10, 5], directions)
    change = light(images, light.draw(rng, 4000)) - images
    np.testing.assert_allclose(change, np.broadcast_to(change[:, :1, :1], change.shape), atol=1e-4)  # the image alike
    along = change[:, 0, 0] @ directions
    np.testing.assert_allclose(along.std(0), [6, 1, 0.5], rtol=0.06)
    np.testing.assert_allclose(along.mean(0), 0, atol=0.4)
    assert np.abs(np.corrcoef(along.T) - np.eye(3)).max() < 0.08


def test_the_components_of_imagenet_are_directions():
    deviations, directions = IMAGENET_COMPONENTS
    np.testing.assert_allclose(directions.T @ directions, np.eye(3), atol=2e-3)
    assert (np.diff(deviations) < 0).all()


@pytest.mark.parametrize("factors", [(1.3, 1, 1), (0.6, 1, 1), (1, 0.7, 1), (1, 1.4, 1), (1, 1, 0.6), (1, 1, 1.4)])
def test_jitter_is_pillow_s_enhancement(rng, factors):
    enhance = pytest.importorskip("PIL.ImageEnhance", reason="Pillow is not installed")
    from PIL import Image

    image = rng.integers(0, 256, (9, 8, 3), np.uint8)
    ours = ColourJitter()(image[None], np.array([factors], np.float32))[0]
    pillow = Image.fromarray(image)
    for kind, factor in zip((enhance.Brightness, enhance.Contrast, enhance.Color), factors, strict=True):
        pillow = kind(pillow).enhance(factor)
    assert np.abs(ours - np.asarray(pillow, float)).max() < 1.6  # Pillow rounds its greys and its results


def test_jitter_draws_within_its_strengths(rng):
    drawn = ColourJitter(0.1, 0.5, 0).draw(rng, 3000)
    for column, strength in zip(drawn.T, (0.1, 0.5, 0), strict=True):
        assert (
            1 - strength <= column.min() <= 1 - 0.98 * strength
            and 1 + 0.98 * strength <= column.max() <= 1 + strength + 1e-6
        )
    images = rng.integers(0, 17, (20, 3, 3, 3)).astype(np.uint8)
    jitter = ColourJitter(1, 1, 1, top=16)
    found = jitter(images, jitter.draw(rng, 20))
    assert 0 <= found.min() and 14 < found.max() <= 16


def test_grey_images_keep_to_brightness_and_contrast(rng):
    images = rng.integers(0, 256, (2, 4, 3, 1), np.uint8)
    found = ColourJitter()(images, np.array([[1, 1, 0.5], [0.5, 1, 2]], np.float32))
    np.testing.assert_allclose(found, images * np.array([1, 0.5]).reshape(2, 1, 1, 1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("make, message", [
    (lambda: ColourJitter(1.2), r"from 0 to 1, got \[1.2, 0.4, 0.4\]"),
    (lambda: ColourJitter()(np.zeros((1, 2, 2, 2)), np.ones((1, 3))), r"1 or 3 channels, got .* \(1, 2, 2, 2\)"),
    (lambda: PCALighting([1, 2], np.eye(3)), r"got \(2,\) and \(3, 3\)"),
    (lambda: PCALighting([1, 2], np.eye(2))(np.zeros((1, 2, 2, 3)), np.zeros((1, 2))), "of 2 channels, the images"),
    (lambda: Normalise([0, 0], [1, 0]), "above 0, got .1.0, 0.0.: a channel that never changes"),
    (lambda: Normalise([0, 0])(np.zeros((1, 2, 2, 3))), r"the mean has the shape \(2,\), the images \(1, 2, 2, 3\)"),
    (lambda: channel_statistics(np.zeros((0, 2, 2, 3))), r"at least one, got \(0, 2, 2, 3\)"),
    (lambda: mean_image(np.zeros((2, 3))), r"got \(2, 3\)"),
])  # fmt: skip
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()

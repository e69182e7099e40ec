"""Pictures from files: the middle square, upright, in the network's size."""

import io
import sys

import numpy as np
import pytest

from minicnn.data.pictures import read_picture

Image = pytest.importorskip("PIL.Image", reason="pictures are read with Pillow, which is not installed")


@pytest.fixture
def stripes(tmp_path):
    """40 x 80: left quarter red, middle half green, right quarter blue."""
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:60, 1] = pixels[:, 60:, 2] = 200
    return pixels, tmp_path / "stripes.png"


@pytest.mark.parametrize("format", ["PNG", "BMP", "GIF", "TIFF", "WEBP", "JPEG"])
def test_the_square_in_the_middle(tmp_path, stripes, format):
    Image.fromarray(stripes[0]).save(tmp_path / "a", format=format)
    found = read_picture(tmp_path / "a", (2, 2))
    assert found.shape == (2, 2, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(
        found, np.broadcast_to([0.0, 200.0, 0.0], (2, 2, 3)), atol=20 if format in ("JPEG", "WEBP") else 0
    )


def test_every_size_of_its_own(stripes):
    Image.fromarray(stripes[0]).save(stripes[1])
    assert read_picture(stripes[1], (5, 3)).shape == (5, 3, 3)
    assert read_picture(stripes[1], (5, 3), 1).shape == (5, 3, 1)


def test_turned_as_the_camera_says(tmp_path):
    pixels = np.zeros((6, 6, 3), np.uint8)
    pixels[:3] = 255
    for orientation, bright in ((1, np.s_[:3]), (3, np.s_[3:]), (6, np.s_[:, 3:]), (8, np.s_[:, :3])):
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        found = read_picture(tmp_path / "a.png", (6, 6))
        assert found[bright].min() == 255
        assert found.sum() == 3 * 18 * 255


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "I", "F"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode(tmp_path, mode, channels):
    image = Image.fromarray(np.full((3, 3), 255 * 257, np.uint16)) if mode == "I;16" else Image.new("L", (3, 3), 255)
    image = image if mode == "I;16" else image.convert(mode)
    if mode == "I":
        image = Image.fromarray(np.full((3, 3), 255 * 257, np.int32))
    image.save(tmp_path / "a.tiff") if mode not in ("LA", "HSV") else image.convert("L").save(tmp_path / "a.tiff")
    found = read_picture(tmp_path / "a.tiff", (3, 3), channels)
    np.testing.assert_allclose(found, np.full((3, 3, channels), 255.0), atol=2)


def test_a_broken_picture_is_named(tmp_path, stripes):
    Image.fromarray(stripes[0]).resize((200, 200)).save(stripes[1])
    (tmp_path / "cut.png").write_bytes(stripes[1].read_bytes()[:200])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("cut.png", "text.png", "empty.png"):
        with pytest.raises(ValueError, match=f"{name}: not a picture that can be read"):
            read_picture(tmp_path / name, (2, 2))


def test_too_many_pixels(monkeypatch, stripes):
    Image.fromarray(stripes[0]).save(stripes[1])
    for limit in (3100, 1000):  # Pillow warns above the limit, and raises above twice as many
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(ValueError, match="stripes.png: not a picture that can be read .*decompression bomb"):
            read_picture(stripes[1], (2, 2))


def test_what_is_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="none.png: no such file"):
        read_picture(tmp_path / "none.png", (2, 2))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_picture(tmp_path, (2, 2))


def test_channels(stripes):
    with pytest.raises(ValueError, match="pictures have 1 or 3 channels, the network wants 2"):
        read_picture(stripes[1], (2, 2), 2)


def test_an_absent_pillow(monkeypatch, stripes):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'minicnn\[images\]'"):
        read_picture(stripes[1], (2, 2))


def test_random_bytes(tmp_path, rng):
    buffer = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (20, 20, 3), np.uint8)).save(buffer, "PNG")
    data = np.frombuffer(buffer.getvalue(), np.uint8)
    for _ in range(200):
        changed = data.copy()
        changed[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        (tmp_path / "a.png").write_bytes(changed.tobytes())
        try:
            assert read_picture(tmp_path / "a.png", (4, 4)).shape == (4, 4, 3)
        except ValueError as error:
            assert "a.png" in str(error)

"""Pictures in a folder for each class: the listing, the split, decoding on threads."""

import os
import sys

import numpy as np
import pytest

from minicnn import data
from minicnn.data.augment import HorizontalFlip
from minicnn.data.colour import ColourJitter
from minicnn.data.image_list import ImageList
from minicnn.data.images import prepare
from minicnn.data.loader import Loader
from minicnn.data.pictures import decode, read_picture
from minicnn.data.statistics import channel_statistics, mean_image
from minicnn.data.views import CentreCrop, RandomResizedCrop, ResizeCrop, resample

Image = pytest.importorskip("PIL.Image", reason="pictures are read with Pillow, which is not installed")


def save(path, pixels, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **more)


def fill(root, classes=("cat", "dog", "eel"), count=5, rng=None, shape=(12, 10)):
    """root/class/k.png of random pixels, or of one colour each; returns {path: pixels}."""
    made = {}
    for label, name in enumerate(classes):
        for k in range(count):
            pixels = np.full((*shape, 3), 40 * label + k, np.uint8) if rng is None else _random(rng, shape)
            made[root / name / f"{k}.png"] = pixels
            save(root / name / f"{k}.png", pixels)
    return made


def _random(rng, shape):
    return rng.integers(0, 256, (*shape, 3), np.uint8)


# The listing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", ["val", "test"])
def test_train_and_val(tmp_path, inner):
    fill(tmp_path / "train")
    fill(tmp_path / inner, ("dog", "eel"), 2)  # a class without pictures for test keeps the others' labels
    (tmp_path / "train" / "cat" / "notes.txt").write_text("not a picture")
    (tmp_path / "train" / ".hidden").mkdir()
    (tmp_path / "train" / "cat" / ".thumb.png").write_bytes(b"")
    found = data.load("folder", tmp_path)
    assert found.class_names == ("cat", "dog", "eel") and found.classes == 3 and found.top == 255 and not found.note
    assert found.y_train.tolist() == [0] * 5 + [1] * 5 + [2] * 5 and found.y_test.tolist() == [1, 1, 2, 2]
    assert [os.path.relpath(f, tmp_path) for f in found.x_test.files] == [
        f"{inner}/{name}/{k}.png" for name in ("dog", "eel") for k in (0, 1)
    ]
    assert found.x_train.shape == (15, 224, 224, 3)


def test_classes_and_files_are_those_of_keras(tmp_path):
    keras = pytest.importorskip("keras", reason="Keras is not installed")
    fill(tmp_path / "train", ("b10", "b9", "A", "ä", "_"), 3)
    fill(tmp_path / "val", ("b9",), 1)
    save(tmp_path / "train" / "A" / "deeper" / "x.PNG", np.zeros((2, 2, 3), np.uint8))
    theirs = keras.utils.image_dataset_from_directory(
        tmp_path / "train", shuffle=False, label_mode="int", verbose=False
    )
    labels = np.concatenate([y for _, y in theirs])
    ours = data.load("folder", tmp_path)
    assert list(ours.class_names) == theirs.class_names
    pairs = sorted(zip(theirs.file_paths, labels.tolist(), strict=True))
    assert sorted(zip(ours.x_train.files, ours.y_train.tolist(), strict=True)) == pairs


def test_the_split(tmp_path):
    fill(tmp_path, ("a", "b"), 10)
    fill(tmp_path, ("c",), 1)
    fill(tmp_path, ("d",), 2)
    found = data.load("folder", tmp_path)
    train, test = set(found.x_train.files), set(found.x_test.files)
    assert not train & test and len(train | test) == 23
    assert np.bincount(found.y_test, minlength=4).tolist() == [2, 2, 0, 1]  # a fifth, at least one, never all
    assert np.bincount(found.y_train).tolist() == [8, 8, 1, 1]
    assert set(data.load("folder", tmp_path).x_test.files) == test
    others = [set(data.load("folder", tmp_path, seed=seed).x_test.files) for seed in range(1, 5)]
    assert any(other != test for other in others)
    assert len(data.load("folder", tmp_path, held_out=0.5).x_test) == 11
    moved = tmp_path.with_name("moved")  # the split goes by the names below the folder
    tmp_path.rename(moved)
    assert {os.path.relpath(f, moved) for f in data.load("folder", moved).x_test.files} == {
        os.path.relpath(f, tmp_path) for f in test
    }
    moved.rename(tmp_path)


def test_the_split_does_not_depend_on_the_seed_of_the_run(tmp_path):
    from minicnn import config

    fill(tmp_path, ("a", "b"), 9)
    first = data.load("folder", tmp_path).x_test.files
    config.set_random_seed(5)
    assert data.load("folder", tmp_path).x_test.files == first


@pytest.mark.parametrize("prepare_folder, message", [
    (lambda root: None, "expected a folder for each class, found none"),
    (lambda root: (root / "cat").mkdir(), "cat: no picture in the folder of this class"),
    (lambda root: fill(root / "train"), "has train or val or test, but not both"),
    (lambda root: fill(root / "val"), "has train or val or test, but not both"),
    (lambda root: fill(root, count=1), "each class has but one picture"),
    (lambda root: (fill(root / "train"), fill(root / "val", ("dog", "elk"))), "val has classes .* has not: elk"),
    (lambda root: (fill(root / "train"), (root / "val").mkdir()), "val: no picture in any folder"),
])  # fmt: skip
def test_folders_of_another_form(tmp_path, prepare_folder, message):
    prepare_folder(tmp_path)
    with pytest.raises(ValueError, match=message):
        data.load("folder", tmp_path)


def test_bad_arguments(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'folder' needs data_dir \(--data-dir\)"):
        data.load("folder")
    with pytest.raises(FileNotFoundError, match="none: no such folder"):
        data.load("folder", tmp_path / "none")
    with pytest.raises(ValueError, match="held_out must be between 0 and 1, got 1"):
        data.load("folder", tmp_path, held_out=1)
    with pytest.raises(TypeError, match="the data set digits has no options, got size"):
        data.load("digits", size=(3, 3))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r"pip install 'minicnn\[images\]'"):
        data.load("folder", tmp_path)


# Decoding ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path, rng):
    """An ImageList of 11 pictures of several shapes, and their pixels."""
    pixels = [_random(rng, (20 + k, 31 - k)) for k in range(11)]
    for k, image in enumerate(pixels):
        save(tmp_path / f"{k:02}.png", image)
    return ImageList(sorted(tmp_path.iterdir()), (8, 6)), pixels


def test_an_image_list_is_like_an_array(images):
    images, _ = images
    assert len(images) == 11 and images.shape == (11, 8, 6, 3) and images.dtype == np.uint8 and images.ndim == 4
    everything = np.asarray(images)
    assert everything.shape == images.shape and everything.dtype == np.uint8
    np.testing.assert_array_equal(images[np.array([7, 2])], everything[[7, 2]])
    np.testing.assert_array_equal(images[3:5], everything[3:5])
    np.testing.assert_array_equal(images[-1], everything[-1])
    for k, file in enumerate(images.files):
        np.testing.assert_array_equal(everything[k], read_picture(file, (8, 6)))
    grey = images.sized((4, 5), 1)
    assert grey.shape == (11, 4, 5, 1) and np.asarray(grey).shape == grey.shape
    np.testing.assert_array_equal(prepare(images, (8, 6, 3), 255), everything / np.float32(255))
    assert images[:0].shape == (0, 8, 6, 3)


@pytest.mark.parametrize("view", [CentreCrop((6, 5)), CentreCrop((6, 5), 9), ResizeCrop((6, 5), (7, 30)),
                                  RandomResizedCrop((6, 5))])  # fmt: skip
def test_a_view_of_files_is_that_of_arrays(images, view):
    images, pixels = images
    drawn = view.draw(np.random.default_rng(2), len(images))
    found, kept = images.read(np.arange(11), view, drawn)
    assert kept.all() and found.shape == (11, 6, 5, 3)
    for k, image in enumerate(pixels):
        box = view.boxes(np.array([image.shape[0]]), np.array([image.shape[1]]), drawn[k : k + 1])
        expected = resample(image[None], box, (6, 5))[0]
        assert np.abs(found[k].astype(int) - expected).max() <= 1  # Pillow computes in whole numbers


@pytest.mark.parametrize("workers", [0, 3])
def test_the_loader_decodes_in_order(images, workers):
    images, _ = images
    chain = [RandomResizedCrop((6, 5)), HorizontalFlip(), ColourJitter()]
    alone = list(Loader(images, np.arange(11), 4, chain))
    found = list(Loader(images, np.arange(11), 4, chain, workers=workers))
    assert [x.shape for x, _ in found] == [(4, 6, 5, 3), (4, 6, 5, 3), (3, 6, 5, 3)]
    for (x, y), (x_alone, y_alone) in zip(found, alone, strict=True):
        np.testing.assert_array_equal(x, x_alone)
        np.testing.assert_array_equal(y, y_alone)
    plain = next(iter(Loader(images, np.arange(11), 11, shuffle=False, workers=workers)))
    np.testing.assert_array_equal(plain[0], np.asarray(images))


@pytest.mark.parametrize("workers", [0, 3])
def test_a_broken_picture(images, workers):
    images, _ = images
    broken = [images.files[k] for k in (2, 5)]
    for file in broken:
        with open(file, "r+b") as stream:
            stream.truncate(60)
    with pytest.raises(ValueError, match="0[25].png: not a picture that can be read"):
        list(Loader(images, np.arange(11), 4, workers=workers))
    assert not images.broken
    images.skip_broken = True
    for chain in (None, RandomResizedCrop((8, 6))):
        loader = Loader(images, np.arange(11), 4, chain, workers=workers, shuffle=False)
        found = list(loader)
        assert [y.tolist() for _, y in found] == [[0, 1, 3], [4, 6, 7], [8, 9, 10]]
        assert all(len(x) == len(y) for x, y in found)
    assert sorted(images.broken) == broken and all(name in reason for name, reason in images.broken.items())
    some = images.sized((3, 3)).part(np.array([9, 5]))
    assert some.shape == (2, 3, 3, 3) and some.files == [images.files[9], images.files[5]]
    images.broken.clear()
    assert some.read(np.array([0, 1]))[1].tolist() == [True, False] and list(images.broken) == [images.files[5]]
    assert channel_statistics(images)[0].shape == (3,) and mean_image(images).shape == (8, 6, 3)
    with pytest.raises(ValueError, match="every picture of a batch is broken"):
        list(Loader(images, np.arange(11), 1, workers=workers))
    found = [y.tolist() for _, y in Loader(images, np.arange(11), 1, shuffle=False, workers=workers)]
    assert found == [[0], [1], [3], [4], [6], [7], [8], [9], [10]]  # a batch of none is none, where no step counts them


def test_a_file_that_has_gone(images):
    images, _ = images
    os.unlink(images.files[4])
    with pytest.raises(FileNotFoundError, match="04.png: no such file"):
        list(Loader(images, np.arange(11), 4, workers=2))


def test_upright(tmp_path, rng):
    """A view is of the picture as the camera says it stands."""
    pixels = _random(rng, (12, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(tmp_path / "a.png", pixels, exif=exif)
    upright = np.rot90(pixels, -1)
    box = (3.0, 1.0, 8.0, 6.0)
    asked = []
    found = decode(tmp_path / "a.png", (8, 6), place=lambda height, width: asked.append((height, width)) or box)
    assert asked == [(20, 12)]
    np.testing.assert_array_equal(found, upright[3:11, 1:7])


@pytest.mark.parametrize("orientation", [1, 6])
def test_large_jpegs_are_decoded_small(tmp_path, monkeypatch, orientation):
    """Smooth pictures look alike whether the decoder leaves out detail or the resizing does."""
    from PIL.JpegImagePlugin import JpegImageFile

    rows, columns = np.mgrid[:480, :640] / 640
    pixels = (np.stack([rows, columns, (rows + columns) / 2], -1) * 255).astype(np.uint8)
    upright = pixels if orientation == 1 else np.rot90(pixels, -1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(tmp_path / "a.jpg", pixels, quality=95, exif=exif)
    sizes, draft = [], JpegImageFile.draft

    def watched(self, mode, size):
        draft(self, mode, size)
        sizes.append(self.size)

    monkeypatch.setattr(JpegImageFile, "draft", watched)
    for box in ((0, 0, *upright.shape[:2]), (100.0, 60.0, 300.0, 280.0)):
        small = decode(tmp_path / "a.jpg", (30, 28), place=lambda height, width, box=box: box)
        expected = resample(upright[None], np.array([box]), (30, 28))[0]
        assert np.abs(small.astype(int) - expected).max() <= 4
    assert len(sizes) == 2 and max(sizes[0]) <= 160 and max(sizes[1]) <= 320


def test_too_many_pixels(images, monkeypatch):
    images, _ = images
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    with pytest.raises(ValueError, match="png: not a picture that can be read .*decompression bomb"):
        list(Loader(images, np.arange(11), 4, workers=2))

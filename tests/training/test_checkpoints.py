"""Checkpoints: what goes in comes out to the bit, damage is found, faults of the disk leave what was there."""

import errno
import json
import os
import shutil
import stat
import struct
import subprocess
import sys

import numpy as np
import pytest

from minicnn.formats import FormatError, safetensors
from minicnn.training import SGD, Adam, checkpoints, fit
from minicnn.training.callbacks import Callback
from minicnn.training.checkpoints import Checkpoint
from minicnn.training.store import Store
from tests.processes import PATIENCE, environment
from tests.training.models import Linear, blobs


def made(step, value=0.0):
    return Checkpoint({"weights/w": np.full(1000, value + step, np.float32)}, {"step": step, "note": "ä"})


class Counter(Callback):
    """A callback with a state, of which a part is an array."""

    def __init__(self):
        self.seen, self.rows = 0, np.zeros((2, 3), np.float32)

    def on_train_batch_end(self, batch, logs=None):
        self.seen += 1
        self.rows += 0.1

    def get_state(self):
        return {"seen": self.seen, "more": {"rows": self.rows, "none": None, "inf": float("inf")}}

    def set_state(self, state):
        assert state["more"]["none"] is None and state["more"]["inf"] == float("inf")
        self.seen, self.rows = state["seen"], state["more"]["rows"].copy()


def fresh(optimizer):
    model = Linear().compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, Counter()


def weights_of(model):
    return {w.name: w for w in model.weights}


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step == self.step:
            self.model.stop_training = True


# Model to file and back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [lambda: SGD(0.3, momentum=0.9), lambda: Adam(0.01)], ids=["momentum", "adam"])
def test_a_run_that_went_through_a_file_ends_with_the_same_bits(tmp_path, optimizer):
    x, y = blobs()
    model, counter = fresh(optimizer())
    whole = fit(model, x, y, batch_size=8, epochs=3, verbose=0, callbacks=[counter])

    first, one = fresh(optimizer())
    fit(first, x, y, batch_size=8, epochs=3, verbose=0, callbacks=[one, StopAt(11)])  # step 3 of the second epoch
    saved = checkpoints.gather(first, weights_of(first), [one], epoch=1, position=3, config={"lr": 0.3})
    checkpoints.write(tmp_path / "a.safetensors", saved)

    second, two = fresh(optimizer())
    found = checkpoints.read(tmp_path / "a.safetensors")
    assert (found.step, found.facts["epoch"], found.facts["position"]) == (11, 1, 3)
    assert found.facts["config_hash"] == checkpoints.hash_of({"lr": 0.3})
    checkpoints.restore(found, second, weights_of(second))
    checkpoints.restore_callbacks(found, [StopAt(0), two])
    assert (two.seen, two.rows.dtype) == (11, np.float32)
    rest = fit(second, x, y, batch_size=8, epochs=3, verbose=0, callbacks=[two], initial_epoch=1, initial_step=3)
    np.testing.assert_array_equal(second.weights[0].data, model.weights[0].data)
    np.testing.assert_array_equal(two.rows, counter.rows)
    assert rest.history["loss"] == whole.history["loss"][1:]
    assert rest.history["accuracy"] == whole.history["accuracy"][1:]
    for key, slot in model.compiled.optimizer.get_state().items():
        np.testing.assert_array_equal(second.compiled.optimizer.get_state()[key], slot)


def test_a_rate_that_a_callback_changed_is_kept(tmp_path):
    x, y = blobs()
    model, _ = fresh(SGD(0.5))
    fit(model, x, y, verbose=0)
    model.compiled.optimizer.learning_rate = 0.125
    saved = checkpoints.gather(model, weights_of(model))
    other, _ = fresh(SGD(0.5))
    checkpoints.restore(saved, other, weights_of(other))
    assert other.compiled.optimizer.learning_rate == 0.125


def test_another_model_is_refused_before_anything_is_written():
    x, y = blobs()
    model, _ = fresh(SGD(0.5))
    fit(model, x, y, verbose=0)
    saved = checkpoints.gather(model, weights_of(model))
    other = Linear(c=7).compile(optimizer=SGD(0.5), loss="sparse_categorical_crossentropy")
    message = r"of another model \(1 weights differ\): output/w: expected \(4, 7\), got \(4, 3\)"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(saved, other, weights_of(other))
    assert not other.weights[0].data.any()
    adam, _ = fresh(Adam())
    with pytest.raises(ValueError, match="not that of this adam optimizer"):
        checkpoints.restore(saved, adam, weights_of(adam))
    del saved.facts["metrics"]
    with pytest.raises(FormatError, match="does not say its metrics"):
        checkpoints.restore(saved, model, weights_of(model))


# Files ---------------------------------------------------------------------------------------------------------------


def test_any_flipped_bit_is_found(tmp_path, rng):
    """In the facts, in the sum, in the data: wherever one is flipped, the file is refused, or means the same."""
    checkpoints.write(tmp_path / "a.safetensors", made(3))
    sound, whole = checkpoints.read(tmp_path / "a.safetensors"), (tmp_path / "a.safetensors").read_bytes()
    refused = 0
    for place in rng.permutation(len(whole))[:400]:
        changed = bytearray(whole)
        changed[place] ^= 1 << rng.integers(8)
        (tmp_path / "b.safetensors").write_bytes(changed)
        try:
            found = checkpoints.read(tmp_path / "b.safetensors")
        except FormatError as error:
            assert "b.safetensors" in str(error)
            refused += 1
        else:  # a space of the header's padding
            assert found.facts == sound.facts
            np.testing.assert_array_equal(found.arrays["weights/w"], sound.arrays["weights/w"])
    assert refused > 390


@pytest.mark.parametrize("metadata, message", [
    ({"format": "minicnn"}, "no checkpoint of minicnn, but 'minicnn'"),
    (None, "no checkpoint of minicnn, but 'something else'"),
    ({"format": checkpoints.FORMAT}, "its header does not say"),
    ({"format": checkpoints.FORMAT, "facts": "[]"}, "its header does not say"),
    ({"format": checkpoints.FORMAT, "facts": "[" * 100_000}, "its header does not say"),
    ({"format": checkpoints.FORMAT, "facts": '{"step": 3}'}, "damaged: its data do not have the SHA-256"),
])  # fmt: skip
def test_other_files(tmp_path, metadata, message):
    safetensors.write(tmp_path / "a.safetensors", {"w": np.zeros(2)}, metadata)
    with pytest.raises(FormatError, match=message):
        checkpoints.read(tmp_path / "a.safetensors")


def test_metadata_that_are_no_texts(tmp_path):
    header = json.dumps({"__metadata__": {"format": 3}}).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    with pytest.raises(FormatError, match="its metadata are not texts"):
        checkpoints.is_checkpoint(tmp_path / "a.safetensors")


# The folder ----------------------------------------------------------------------------------------------------------


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_last_ones_and_the_best_are_kept(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", fails(errno.EPERM))
    store = Store(tmp_path / "checkpoints", keep=3)
    for step in range(1, 7):
        store.save(made(step), best=step == 2)
    assert names(store.folder) == [
        "best.safetensors", "last.safetensors", "step-00000004.safetensors", "step-00000005.safetensors",
    ]  # fmt: skip
    steps = {path.name: checkpoints.read(path).step for path in store.folder.iterdir()}
    assert steps.pop("last.safetensors") == 6 and steps.pop("best.safetensors") == 2
    assert all(f"step-{step:08}.safetensors" == name for name, step in steps.items())


def test_one_is_enough(tmp_path):
    store = Store(tmp_path, keep=1)
    for step in (1, 2):
        store.save(made(step))
    assert names(tmp_path) == ["last.safetensors"] and store.newest()[1].step == 2


def test_the_same_step_twice(tmp_path):
    store = Store(tmp_path)
    for value in (0, 1):
        store.save(made(5, value), best=True)
    assert names(tmp_path) == ["best.safetensors", "last.safetensors"]
    assert store.newest()[1].arrays["weights/w"][0] == 6


def test_a_damaged_one_is_passed_over(tmp_path):
    store = Store(tmp_path)
    assert store.newest() == (None, None, [])
    for step in (1, 2, 3):
        store.save(made(step))
    for name, cut in (("last.safetensors", 100), ("step-00000002.safetensors", -1)):
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:cut])
    path, found, refused = store.newest()
    assert (path.name, found.step) == ("step-00000001.safetensors", 1)
    assert len(refused) == 2 and "last.safetensors" in refused[0] and "step-00000002.safetensors" in refused[1]
    (tmp_path / ".last.safetensors.tmp-99").write_text("half")
    store.save(made(2))  # and it goes on from there
    store.clean()
    assert store.newest()[1].step == 2 and ".last.safetensors.tmp-99" not in names(tmp_path)


# Faults --------------------------------------------------------------------------------------------------------------


def fails(number):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
@pytest.mark.parametrize("place", ["write", "fsync", "replace", "folder's fsync", "link", "mkdir"])
def test_a_fault_leaves_the_checkpoint_before(tmp_path, monkeypatch, place, number):
    store = Store(tmp_path / "checkpoints")
    if place != "mkdir":
        store.save(made(1), best=True)
    fail, real = fails(number), os.fsync
    with monkeypatch.context() as patch:
        if place == "write":
            patch.setattr("safetensors.numpy.save_file", fail)
        elif place == "folder's fsync":
            patch.setattr(os, "fsync", lambda fd: fail() if stat.S_ISDIR(os.fstat(fd).st_mode) else real(fd))
        elif place == "link":  # then it is copied, and a full disk says so there
            patch.setattr(os, "link", fail)
            patch.setattr(shutil, "copyfile", fail)
        elif place == "mkdir":
            patch.setattr("pathlib.Path.mkdir", fail)
        else:
            patch.setattr(os, place, fail)
        with pytest.raises(OSError) as raised:
            store.save(made(2))
    text = str(raised.value)
    assert os.strerror(number) in text and "MB are needed" in text and "earlier checkpoints still stand" in text
    if place == "mkdir":
        return
    assert not [name for name in names(store.folder) if "tmp" in name]
    step = store.newest()[1].step
    assert step == (2 if place == "folder's fsync" else 1)  # there it was renamed already
    assert checkpoints.read(store.folder / "best.safetensors").step == 1
    assert not store.newest()[2]
    store.save(made(3))
    assert store.newest()[1].step == 3


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.training.test_checkpoints import made
from minicnn.training.store import Store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = Store(Path(sys.argv[1]))
store.save(made(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    store.save(made(2))
except OSError as error:
    print(error, store.newest()[1].step, sorted(p.name for p in store.folder.iterdir()))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a limit on the size of files that fails as on Linux")
def test_the_system_itself_refuses_to_write(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE, env=environment())
    assert "File too large" in done.stdout and "0.0 MB are needed" in done.stdout
    assert done.stdout.endswith("1 ['last.safetensors', 'step-00000001.safetensors']\n")

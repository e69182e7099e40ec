"""What several tests of the instruments ask for."""

from dataclasses import replace

import pytest

from minicnn import data


@pytest.fixture
def few_images(monkeypatch):
    """Data sets of 160 images for training and 40 for test: for runs that only show that all parts fit."""
    load = data.load

    def few(*arguments, **options):
        whole = load(*arguments, **options)
        train, test = slice(160), slice(40)
        return replace(
            whole, x_train=whole.x_train[train], y_train=whole.y_train[train],
            x_test=whole.x_test[test], y_test=whole.y_test[test],
        )  # fmt: skip

    monkeypatch.setattr(data, "load", few)

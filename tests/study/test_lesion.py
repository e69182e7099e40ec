"""The lesion study: choices, rank correlation, and a small run."""

import itertools

import numpy as np
import pytest

from minicnn.study import lesion
from minicnn.study.digits import digits, seeded
from minicnn.study.families import twin
from minicnn.study.instruments import Settings
from tests.study.results import check


@pytest.fixture
def model():
    with seeded(0):
        return twin("resnet", 20)


@pytest.fixture
def images():
    split = digits()
    return split.x_test[:20], split.y_test[:20]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 1, 3]])
def test_kendall_tau_counts_pairs(order):
    pairs = list(itertools.combinations(order, 2))
    expected = sum(1 if a < b else -1 for a, b in pairs) / len(pairs)
    assert lesion.kendall_tau(order) == pytest.approx(expected)
    assert lesion.kendall_tau([0]) == 1


def test_exchanges_stay_among_blocks_that_are_alike(model, images):
    parts = lesion.parts(model, images[0])
    order = lesion.shuffled(parts, 50, np.random.default_rng(0))
    assert sorted(order) == list(range(9)) and order != list(range(9))
    assert (order[3], order[6]) == (3, 6)  # the changes of shape have no like
    assert set(order[:3]) == {0, 1, 2} and set(order[7:]) == {7, 8}
    with pytest.raises(ValueError, match="no two parts are alike"):
        lesion.shuffled(parts[3:4], 1, np.random.default_rng(0))


def test_random_choices_depend_on_the_seed(model, images):
    with seeded(1):
        first = lesion.delete_random(model, *images, (2, 5), trials=3)
        again = lesion.delete_random(model, *images, (2, 5), trials=3)
        error, tau = lesion.swap_random(model, *images, (0, 4), trials=2)
    with seeded(2):
        other = lesion.delete_random(model, *images, (2, 5), trials=3)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (2, 3) and (first != other).any()
    whole, _ = lesion.delete_each(model, *images)
    assert (error[0] == whole).all() and (tau[0] == 1).all() and (tau[1] < 1).all()


def test_a_factor_of_one_changes_nothing_and_of_zero_deletes(model, images):
    whole, deleted = lesion.delete_each(model, *images)
    scaled = lesion.scale_each(model, *images, factors=(0.0, 1.0))
    np.testing.assert_array_equal(scaled[:, 0], deleted)
    assert (scaled[:, 1] == whole).all()


def test_late_blocks_are_those_behind_the_last_change_of_shape(model, images):
    changes = [lesion.changes_shape(part) for part in lesion.parts(model, images[0])]
    assert changes == [i in (3, 6) for i in range(9)]
    found = {"error": 0.0, "deleted": [i / 100 for i in range(9)], "parts": list(range(9)), "changes shape": changes}
    np.testing.assert_allclose(lesion.late(found), [7, 8])
    np.testing.assert_allclose(lesion.late(found | {"changes shape": [False] * 9}), [6, 7, 8])


@pytest.mark.parametrize(("late", "plain", "holds"), [(0.01, 0.8, True), (0.05, 0.8, False), (0.01, 0.3, False)])
def test_the_verdict_follows_the_figures(late, plain, holds):
    common = {"error": 0.0, "parts": ["a", "b"], "changes shape": [False, False]}
    measured = {
        "resnet20": common | {"residual": True, "deleted": [0.5, late]},
        "plain20": common | {"residual": False, "deleted": [0.9, plain]},
    }
    assert lesion.verdict(measured).startswith("holds: " if holds else "does not hold: ")


def test_large_networks_want_weights_or_epochs():
    with pytest.raises(ValueError, match="resnet18 is made for larger images.*--weights FILE"):
        lesion.run(Settings(model="resnet18"))


def test_a_run(monkeypatch, capsys, tmp_path, few_images):
    monkeypatch.setattr(lesion, "COUNTS", (1, 3))
    monkeypatch.setattr(lesion, "TRIALS", 2)
    monkeypatch.setattr(lesion, "FACTORS", (0.5,))
    monkeypatch.setattr(lesion, "MOST_IMAGES", 40)
    settings = Settings(model="resnet20", epochs=1, cache=tmp_path)
    result = lesion.run(settings)
    assert set(result.figures["networks"]) == {"resnet20", "plain20"}
    first = result.figures["networks"]["resnet20"]
    assert [np.shape(first[key]) for key in ("deleted at random", "tau", "scaled")] == [(2, 2), (2, 2), (9, 1)]
    check(result, capsys)
    weights = next(tmp_path.glob("resnet20*.safetensors"))
    again = lesion.run(Settings(model="resnet20", weights=str(weights)))
    assert list(again.figures["networks"]) == ["resnet20"]
    assert again.figures["networks"]["resnet20"]["deleted"] == first["deleted"]


def test_more_parts_than_there_are_and_labels_of_another_form(model, images):
    x, y = images
    with pytest.raises(ValueError, match="resnet20: of 9 parts 0 to 9 can be deleted, got 10"):
        lesion.delete_random(model, x, y, (1, 10))
    with pytest.raises(ValueError, match=r"20 images need class numbers of shape \(20,\), got \(3,\)"):
        lesion.delete_each(model, x, y[:3])
    with pytest.raises(ValueError, match=r"20 images need class numbers of shape \(20,\), got \(20, 10\)"):
        lesion.delete_each(model, x, np.eye(10)[y])

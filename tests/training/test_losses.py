"""Losses: the figures of the reference, what is refused, and names."""

import numpy as np
import pytest

from minicnn import functions
from minicnn.backend import Backend
from minicnn.tensor import Tensor
from minicnn.training import losses
from tests.checks import assert_close, to_numpy

SPARSE, ONE_HOT = losses.SparseCategoricalCrossentropy(), losses.CategoricalCrossentropy()


@pytest.mark.parametrize(
    ("p", "label", "expected"),
    [([1.0, 0.0], 1, 16.118095), ([0.2, 0.2, 0.4], 2, 0.6931472), ([0.9, 0.1], 0, 0.1053605)],
)
def test_figures_for_probabilities(xp, p, label, expected):
    p = xp.asarray([p])
    assert SPARSE(np.array([label]), p).item() == pytest.approx(expected, abs=1e-6)
    assert ONE_HOT(np.eye(p.shape[1])[[label]], p).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("made, kind", [(lambda y, p: 0.5, "float"), (lambda y, p: p.numpy().mean(), "float32")])
def test_a_function_that_gives_no_tensor(made, kind):
    with pytest.raises(TypeError, match=f"loss '<lambda>' must give a Tensor, made from y_pred by .*; got {kind}"):
        losses.get(made)(np.zeros((2, 3)), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("y", [np.array([1]), np.array([[0.0, 1.0]])])
def test_a_softmax_is_never_clipped(xp, y):
    z = Tensor(xp.asarray([[100.0, 0.0]]), requires_grad=True)
    loss = (SPARSE if y.ndim == 1 else ONE_HOT)(y, functions.softmax(z))
    loss.backward()
    assert loss.item() == 100
    assert_close(z.grad, np.array([[1.0, -1.0]]))


@pytest.mark.parametrize("one_hot", [False, True])
def test_a_softmax_on_the_tape_is_computed_once(xp, rng, monkeypatch, one_hot):
    calls = []
    log_softmax = Backend.log_softmax
    monkeypatch.setattr(Backend, "log_softmax", lambda *a: calls.append(a) or log_softmax(*a))
    labels, loss = (np.eye(4)[[1, 3]], ONE_HOT) if one_hot else (np.array([1, 3]), SPARSE)
    z = Tensor(xp.asarray(rng.normal(size=(2, 4))), requires_grad=True)
    found = loss(labels, functions.softmax(z))
    assert len(calls) == 1
    found.backward()
    other = Tensor(z.data, requires_grad=True)
    expected = type(loss)(from_logits=True)(labels, other)
    expected.backward()
    assert found.item() == expected.item()
    assert_close(z.grad, to_numpy(other.grad), 1e-15)


def test_probabilities_of_other_origin_are_clipped(xp):
    z = Tensor(xp.asarray([[100.0, 0.0]]), requires_grad=True)
    loss = SPARSE(np.array([1]), functions.softmax(z).reshape(1, 2))
    loss.backward()
    assert loss.item() == pytest.approx(16.118095)
    assert_close(z.grad, np.zeros((1, 2)))


@pytest.mark.parametrize("z", [-800.0, 0.0, 800.0])
@pytest.mark.parametrize("t", [0.0, 1.0])
def test_binary_cross_entropy_from_logits_is_stable(xp, z, t):
    x = Tensor(xp.asarray([[z]]), requires_grad=True)
    loss = losses.BinaryCrossentropy(from_logits=True)(np.array([[t]]), x)
    loss.backward()
    assert loss.item() == pytest.approx(max(z, 0) - z * t + np.log1p(np.exp(-abs(z))))
    assert_close(x.grad, np.array([[(1 + np.sign(z)) / 2 - t]]))


def test_the_mean_is_over_the_batch_and_each_sample_can_be_had(xp, rng):
    p, y = xp.asarray(rng.dirichlet(np.ones(3), 5)), np.array([0, 2, 1, 1, 0])
    each = SPARSE.per_sample(y, p)
    assert each.shape == (5,)
    assert_close(SPARSE(y, p).data, np.asarray(each.numpy().mean()))
    assert_close(losses.sparse_categorical_crossentropy(y, p).data, each.numpy())


def test_labels_are_not_changed(xp, rng):
    y = xp.asarray(np.eye(3)[[0, 2]])
    before = y.copy()
    losses.CategoricalCrossentropy(label_smoothing=0.2)(y, Tensor(xp.asarray(rng.dirichlet(np.ones(3), 2))))
    assert_close(y, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, bool])
def test_class_numbers_of_any_type(dtype, rng):
    p = rng.dirichlet(np.ones(3), 2)
    assert SPARSE(np.array([0, 1], dtype), p).item() == SPARSE(np.array([0, 1]), p).item()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 3, 1], r"labels must lie in 0 \.\. 2 for 3 classes, got 3 at index 1 \(1 of 3 are wrong\)"),
        ([0, -1, -1], r"labels must lie in 0 \.\. 2 for 3 classes, got -1 at index 1 \(2 of 3 are wrong\)"),
        ([0, 1, np.nan], r"labels must not be NaN, got nan at index 2"),
        ([0, np.inf, 1], r"labels must be finite, got inf at index 1"),
        ([0, 1.5, 1], r"labels must be whole numbers, got 1\.5 at index 1"),
        (["cat", "dog", "cat"], "labels must be numbers, got an array of type <U3"),
        ([0, 1], r"labels must be class numbers of shape \(3,\), got shape \(2,\)"),
        (np.eye(3), r"got shape \(3, 3\); one-hot labels need 'categorical_crossentropy'"),
    ],
)
def test_class_numbers_that_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        SPARSE(y, np.full((3, 3), 1 / 3))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([0, 1, 2], r"\(3, 3\), got \(3,\); class numbers need 'sparse_categorical_crossentropy'"),
        (np.full((3, 3), np.nan), r"labels must not be NaN, got nan at index 0, 0 \(9 of 9 are wrong\)"),
        (2 * np.eye(3), r"targets must lie in 0 \.\. 1, got 2\.0 at index 0, 0"),
        (np.eye(4), r"shape of the predictions, \(3, 3\), got \(4, 4\)$"),
    ],
)
def test_one_hot_labels_that_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        ONE_HOT(y, np.full((3, 3), 1 / 3))


def test_regression_takes_any_finite_number():
    assert losses.mean_squared_error([[3.0, -5.0]], [[1.0, -5.0]]).numpy() == 2
    with pytest.raises(ValueError, match="NaN"):
        losses.mean_absolute_error([[np.nan]], [[1.0]])


@pytest.mark.parametrize("name", losses.LOSSES)
def test_names_aliases_classes_and_functions(name):
    cls = losses.LOSSES[name]
    assert type(losses.get(name)) is type(losses.get(name.upper())) is type(losses.get(cls)) is cls
    assert type(losses.get(cls.__name__)) is cls
    assert losses.get(name).name == name
    loss = losses.get(cls())
    assert type(cls.from_config(loss.get_config())) is cls
    assert type(losses.get({"class_name": cls.__name__, "config": loss.get_config()})) is cls


def test_our_functions_are_known_as_what_they_are():
    assert isinstance(losses.get(losses.sparse_categorical_crossentropy), losses.SparseCategoricalCrossentropy)


def test_a_function_or_subclass_of_the_user(rng):
    def huberish(y_true, y_pred):
        return functions.abs(y_pred - y_true).mean(axis=-1)

    class Mine(losses.Loss):
        def call(self, y_true, y_pred):
            return huberish(y_true, y_pred)

    y, p = rng.integers(0, 3, (4, 2)), Tensor(rng.normal(size=(4, 2)).astype(np.float32))
    expected = losses.MeanAbsoluteError()(y, p).data
    for loss in (losses.get(huberish), losses.get(Mine), Mine()):
        assert loss(y, p).dtype == np.float32  # the labels follow the predictions
        assert_close(loss(y, p).data, expected)
    assert losses.get(huberish).name == "huberish"
    assert Mine().name == "mine"


def test_what_is_no_loss():
    with pytest.raises(ValueError, match="unknown loss 'sparse_crossentropy': did you mean"):
        losses.get("sparse_crossentropy")
    with pytest.raises(TypeError, match="a loss must be a name, a Loss or a function of .*got 3"):
        losses.get(3)
    with pytest.raises(ValueError, match="reduction must be one of .*got 'average'"):
        losses.MeanSquaredError(reduction="average")
    with pytest.raises(ValueError, match=r"label_smoothing must lie in 0 \.\. 1, got 2"):
        losses.CategoricalCrossentropy(label_smoothing=2)

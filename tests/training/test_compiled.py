"""What compile takes: losses, weights and metrics for one output and for several."""

import numpy as np
import pytest

from minicnn.tensor import Tensor
from minicnn.training import losses
from minicnn.training.compiled import Compiled
from tests.checks import assert_close

TWO = ["main", "aux"]
LABELS = np.arange(4) % 3


def predictions(rng, outputs=2):
    """Probabilities (4, 3) for each output."""
    return [Tensor(rng.dirichlet(np.ones(3), 4)) for _ in range(outputs)]


def test_the_total_is_the_weighted_sum():
    """Keras: losses a and b with weights 1 and 0.3 give a + 0.3 b."""
    compiled = Compiled(loss="mse", loss_weights=[1, 0.3], output_names=TWO)
    y_pred = [Tensor(np.array([[1.0], [2.0]])), Tensor(np.array([[3.0], [1.0]]))]
    total, parts = compiled.loss([np.zeros((2, 1)), np.zeros((2, 1))], y_pred, Tensor(np.array(0.25)))
    assert_close(total.data, np.asarray(2.5 + 0.3 * 5 + 0.25))
    assert [part.item() for part in parts] == [2.5, 5]


@pytest.mark.parametrize(
    "loss",
    [
        ["sparse_categorical_crossentropy", None],
        {"main": losses.SparseCategoricalCrossentropy()},
        {"main": "sparse_categorical_crossentropy", "aux": None},
    ],
)
@pytest.mark.parametrize("y", [LABELS, [LABELS], [LABELS, None], {"main": LABELS}])
def test_an_output_without_a_loss(rng, loss, y):
    compiled = Compiled(loss=loss, output_names=TWO)
    targets = compiled.targets(y)
    total, parts = compiled.loss(targets, predictions(rng))
    assert parts[1] is None
    compiled.update(targets, predictions(rng), total, parts)
    assert list(compiled.results()) == ["loss"]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        ([["accuracy", "mae"], None], ["main_accuracy", "main_mae"]),
        (["accuracy", "accuracy"], ["aux_accuracy", "main_accuracy"]),
        ({"aux": "accuracy"}, ["aux_accuracy"]),
    ],
)
def test_names_of_several_outputs(rng, metrics, names):
    compiled = Compiled(loss="categorical_crossentropy", metrics=metrics, output_names=TWO)
    y, y_pred = [np.eye(3)[[0, 1, 2, 0]]] * 2, predictions(rng)
    compiled.update(y, y_pred, *compiled.loss(y, y_pred))
    assert list(compiled.results()) == ["loss", "main_loss", "aux_loss", *names]


@pytest.mark.parametrize("metrics", ["accuracy", ["accuracy"], [["accuracy"]], {"output": ["accuracy"]}])
def test_metrics_of_one_output(rng, metrics):
    compiled = Compiled(loss="sparse_categorical_crossentropy", metrics=metrics)
    y, y_pred = [LABELS], predictions(rng, 1)
    compiled.update(y, y_pred, *compiled.loss(y, y_pred))
    assert list(compiled.results()) == ["loss", "accuracy"]


def test_equal_names_are_numbered(rng):
    compiled = Compiled(loss="sparse_categorical_crossentropy", metrics=["accuracy", "acc", "accuracy"])
    y, y_pred = [LABELS], predictions(rng, 1)
    compiled.update(y, y_pred, *compiled.loss(y, y_pred))
    assert list(compiled.results()) == ["loss", "accuracy", "acc", "accuracy_1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": "cross"}, "unknown loss 'cross'"),
        ({"optimizer": "adaam"}, "unknown optimizer 'adaam'"),
        ({"metrics": [["acuracy"], None]}, "unknown metric 'acuracy': did you mean 'accuracy'"),
        ({"loss": ["mse"]}, r"loss must have an entry for each output \(main, aux\), got \['mse'\]"),
        ({"loss": {"main": "mse", "extra": "mse"}}, "loss names 'extra'; the outputs are 'main', 'aux'"),
        ({"metrics": ["accuracy"]}, r"metrics must have an entry for each output \(main, aux\), got \['accuracy'\]"),
        ({"metrics": "accuracy"}, "metrics must be a list or a dict for the outputs main, aux, got 'accuracy'"),
        ({"loss_weights": ["1", 2]}, r"loss_weights must be numbers, got \['1', 2\]"),
        ({"loss_weights": 0.5}, "loss_weights must be a list or a dict for the outputs main, aux, got 0.5"),
    ],
)
def test_what_compile_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        Compiled(output_names=TWO, **arguments)


def test_labels_that_do_not_fit_the_outputs(rng):
    compiled = Compiled(loss="mse", output_names=TWO)
    with pytest.raises(ValueError, match=r"y must have an array for each output \(main, aux\), got 1"):
        compiled.targets([np.zeros(4)])
    with pytest.raises(ValueError, match=r"sample_weight must have an entry for each output \(main, aux\), got 1"):
        compiled.sample_weights([np.zeros(4)])
    with pytest.raises(ValueError, match="sample_weight names 'other'; the outputs are 'main', 'aux'"):
        compiled.sample_weights({"other": np.zeros(4)})
    with pytest.raises(ValueError, match="y names 'other'; the outputs are 'main', 'aux'"):
        compiled.targets({"other": np.zeros(4)})
    with pytest.raises(ValueError, match="y has no labels for output 'aux', which has a loss or metrics"):
        compiled.targets({"main": np.zeros(4)})
    with pytest.raises(ValueError, match="loss 'mse' of output 'main', in this batch: targets must have the shape"):
        compiled.loss([np.zeros(4)] * 2, predictions(rng))


def test_a_model_without_a_loss(rng):
    with pytest.raises(ValueError, match="compiled without a loss"):
        Compiled().loss([None], predictions(rng, 1))

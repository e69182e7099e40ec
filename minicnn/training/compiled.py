"""What `compile` gives a model: an optimizer, a loss for each output, metrics, and what they say of an epoch."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from minicnn.tensor import Tensor
from minicnn.training import losses, optimizers
from minicnn.training import metrics as metrics_module  # `metrics` is an argument, by Keras's name
from minicnn.training.metrics import Metric

Array = Any


class Compiled:
    """Optimizer, losses, metrics and their weights, settled for the outputs of one model.

    optimizer, loss, metrics: names or objects, as in Keras. With several outputs, `loss` is one for all, a list, or a
    dict by the names of outputs (None: no loss there); `metrics` a list with an entry for each output, or a dict;
    `loss_weights` likewise. weighted_metrics: metrics that sample_weight and class_weight weigh too, as they do the
    losses. Raises ValueError for unknown names of optimizers, losses, metrics and outputs.
    """

    def __init__(
        self,
        optimizer: Any = "sgd",
        loss: Any = None,
        metrics: Any = None,
        loss_weights: Any = None,
        weighted_metrics: Any = None,
        output_names: list[str] | None = None,
    ):
        self.output_names = list(output_names or ["output"])
        self.optimizer = optimizers.get(optimizer)
        given = _by_output("loss", loss, self.output_names, shared=True)
        self.losses = [None if one is None else losses.get(one) for one in given]
        self.loss_weights = _by_output("loss_weights", loss_weights, self.output_names)
        for weight in self.loss_weights:
            if weight is not None and not isinstance(weight, int | float):
                raise ValueError(f"loss_weights must be numbers, got {loss_weights!r}")
        self._asked = {
            "metric": _metrics_by_output("metrics", metrics, self.output_names),
            "weighted": _metrics_by_output("weighted_metrics", weighted_metrics, self.output_names),
        }
        self._metrics: dict[str, list[list[Metric]]] | None = None  # known with the first batch: see metrics.get
        self._total = metrics_module.Mean("loss")
        self._parts = [metrics_module.Mean(f"{name}_loss") for name in self.output_names]
        self.arguments = {
            "optimizer": optimizer, "loss": loss, "metrics": metrics, "loss_weights": loss_weights,
            "weighted_metrics": weighted_metrics,
        }  # fmt: skip

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of all outputs, once a batch has shown which they are."""
        return [metric for kind in (self._metrics or {}).values() for some in kind for metric in some]

    def targets(self, y: Any) -> list[Array | None]:
        """y as a list with an entry for each output. Raises ValueError where it does not fit the outputs.

        One array for a model of several outputs stands for all of them (ours): the labels of auxiliary heads are those
        of the main one.
        """
        names = self.output_names
        asked = zip(self.losses, *self._asked.values(), strict=True)
        wanted = [any(parts) for parts in asked]
        if isinstance(y, dict):
            _check_names("y", y, names)
            given = [y.get(name) for name in names]
        elif isinstance(y, list | tuple):
            given = list(y)
        else:
            given = [y] * max(sum(wanted), 1)
        if len(given) == sum(wanted) < len(names):
            rest = iter(given)
            given = [next(rest) if want else None for want in wanted]
        if len(given) != len(names):
            raise ValueError(f"y must have an array for each output ({', '.join(names)}), got {len(given)}")
        for name, want, array in zip(names, wanted, given, strict=True):
            if want and array is None:
                raise ValueError(f"y has no labels for output {name!r}, which has a loss or metrics")
        return given

    def sample_weights(self, weights: Any) -> list[Array | None]:
        """The weights of the samples for each output: one array is for all of them, a list or a dict has them apart."""
        names = self.output_names
        if isinstance(weights, dict):
            _check_names("sample_weight", weights, names)
            return [weights.get(name) for name in names]
        if not isinstance(weights, list | tuple):
            return [weights] * len(names)
        if len(weights) != len(names):
            shown = ", ".join(names)
            raise ValueError(f"sample_weight must have an entry for each output ({shown}), got {len(weights)}")
        return list(weights)

    def loss(
        self, y: list, y_pred: list[Tensor], regularization: Tensor | None = None, sample_weight: list | None = None
    ) -> tuple[Tensor, list]:
        """The total loss, sum of weight * loss plus regularization, and the loss of each output (None without one)."""
        total, parts = regularization, []
        sample_weight = sample_weight or [None] * len(self.losses)
        for name, loss, weight, true, pred, weights in zip(
            self.output_names, self.losses, self.loss_weights, y, y_pred, sample_weight, strict=True
        ):
            part = None
            if loss is not None:
                try:
                    part = loss(true, pred, weights)
                except ValueError as error:
                    raise ValueError(f"loss {loss.name!r} of output {name!r}, in this batch: {error}") from None
                weighted = part if weight is None else part * weight
                total = weighted if total is None else total + weighted
            parts.append(part)
        if total is None:
            raise ValueError("the model was compiled without a loss: compile(loss=...)")
        return total, parts

    # What is gathered over an epoch ----------------------------------------------------------------------------------

    def update(
        self, y: list, y_pred: list[Tensor], total: Tensor, parts: list, sample_weight: list | None = None
    ) -> None:
        """Adds a batch to the losses and metrics; each batch counts by its number of samples."""
        size = y_pred[0].shape[0]
        self._total.update_state(total, size)
        for mean, part in zip(self._parts, parts, strict=True):
            if part is not None:
                mean.update_state(part, size)
        if self._metrics is None:
            self._metrics = {
                kind: [
                    [metrics_module.get(one, true, pred) for one in some]
                    for some, true, pred in zip(asked, y, y_pred, strict=True)
                ]
                for kind, asked in self._asked.items()
            }
        sample_weight = sample_weight or [None] * len(y)
        for kind, metrics in self._metrics.items():
            for some, true, pred, weights in zip(metrics, y, y_pred, sample_weight, strict=True):
                for metric in some:
                    if kind == "weighted" and weights is not None:
                        metric.update_state(true, pred, sample_weight=weights)
                    else:
                        metric.update_state(true, pred)

    def reset(self) -> None:
        """Forgets the batches: a new epoch begins."""
        for metric in (self._total, *self._parts, *self.metrics):
            metric.reset_state()

    def get_state(self) -> dict[str, np.ndarray]:
        """The sums of the losses and metrics over the batches so far, by name: for a run that goes on in mid-epoch."""
        return {f"{name}/{key}": a for name, metric in self._gathering() for key, a in metric.get_state().items()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Puts back what `get_state` gave, for the same losses and metrics: `fit(initial_step=...)` adds to it.

        Raises ValueError for names that are not those of this model's losses and metrics.
        """
        if self._metrics is None:
            # the state tells what "accuracy" stood for, which only a batch shows otherwise
            kinds = {tuple(key.split("/")[:3]): key.split("/")[3] for key in state if key.count("/") == 4}
            if kinds:
                self._metrics = {
                    kind: [
                        [metrics_module.of_kind(one, kinds.get((kind, str(i), str(j)))) for j, one in enumerate(some)]
                        for i, some in enumerate(asked)
                    ]
                    for kind, asked in self._asked.items()
                }
        places = dict(self._gathering())
        wrong = [key for key in state if key.rpartition("/")[0] not in places]
        if wrong:
            raise ValueError(f"the state has {wrong[0]!r}, which is no loss or metric of this model")
        self.reset()
        for name, metric in places.items():
            own = {key.rpartition("/")[2]: value for key, value in state.items() if key.rpartition("/")[0] == name}
            metric.set_state(own)

    def _gathering(self) -> list[tuple[str, Metric]]:
        """All that gathers over an epoch, by its name in the state."""
        metrics = [
            (f"{kind}/{i}/{j}/{type(metric).__name__}", metric)
            for kind, outputs in (self._metrics or {}).items()
            for i, some in enumerate(outputs)
            for j, metric in enumerate(some)
        ]
        return [("loss", self._total), *((f"loss/{i}", part) for i, part in enumerate(self._parts)), *metrics]

    def results(self) -> dict[str, float]:
        """The logs by Keras's names and in the order of its `evaluate`.

        "loss", then for several outputs "<output>_loss" and the metrics "<output>_<metric>" in alphabetical order; for
        one output its metrics as they were given. A weighted metric whose name is taken is "weighted_<metric>".
        """
        logs = {"loss": self._total.result()}
        if sum(loss is not None for loss in self.losses) > 1:
            logs |= {p.name: p.result() for p, loss in zip(self._parts, self.losses, strict=True) if loss is not None}
        found = {name: metric.result() for name, metric in self._named().items()}
        return logs | (dict(sorted(found.items())) if len(self.output_names) > 1 else found)

    def direction(self, name: str) -> str | None:
        """Whether the number of this name in the logs is better "up" or "down"; None where nobody knows."""
        if name == "loss" or name in [part.name for part in self._parts]:
            return "down"
        metric = self._named().get(name)
        return None if metric is None else metric.direction

    def _named(self) -> dict[str, Metric]:
        """The metrics by their names in the logs."""
        found: dict[str, Metric] = {}
        for kind, outputs in (self._metrics or {}).items():
            for output, some in zip(self.output_names, outputs, strict=True):
                front = f"{output}_" if len(self.output_names) > 1 else ""
                for metric in some:
                    name = f"{front}{metric.name}"
                    if name in found and kind == "weighted":
                        name = f"{front}weighted_{metric.name}"
                    found[_free(name, found)] = metric
        return found


def _free(name: str, taken: Iterable[str]) -> str:
    """The name, with a number from _1 up where it is taken."""
    count, free = 0, name
    while free in taken:
        count += 1
        free = f"{name}_{count}"
    return free


def _check_names(what: str, given: dict, names: list[str]) -> None:
    wrong = [key for key in given if key not in names]
    if wrong:
        raise ValueError(f"{what} names {', '.join(map(repr, wrong))}; the outputs are {', '.join(map(repr, names))}")


def _by_output(what: str, value: Any, names: list[str], shared: bool = False) -> list:
    """An entry for each output, from one value, a list, or a dict by name."""
    if isinstance(value, dict) and "class_name" not in value:
        _check_names(what, value, names)
        return [value.get(name) for name in names]
    if isinstance(value, list | tuple):
        if len(value) != len(names):
            raise ValueError(f"{what} must have an entry for each output ({', '.join(names)}), got {value!r}")
        return list(value)
    if value is not None and len(names) > 1 and not shared:
        raise ValueError(f"{what} must be a list or a dict for the outputs {', '.join(names)}, got {value!r}")
    return [value] * len(names)


def _metrics_by_output(what: str, value: Any, names: list[str]) -> list[list]:
    """The metrics of each output; all of a flat list belong to the only output."""
    if len(names) == 1 and isinstance(value, list | tuple) and not any(isinstance(v, list | tuple) for v in value):
        value = [value]
    listed = [_as_list(one) for one in _by_output(what, value, names)]
    for one in (one for some in listed for one in some):
        if isinstance(one, str):
            metrics_module.check_name(one)
    return listed


def _as_list(value: Any) -> list:
    if value is None:
        return []
    return [one for one in value if one is not None] if isinstance(value, list | tuple) else [value]

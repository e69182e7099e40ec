"""A model's steps, one after the other; without a tape in sub-batches, which the workers share."""

import threading
from collections.abc import Sequence
from typing import Any

from minicnn import layers, ops
from minicnn.backend import backend_of
from minicnn.layers import activations
from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer, Operation
from minicnn.layers.symbols import Symbol
from minicnn.model.plan import Pass, Step, grouped, singles
from minicnn.model.plans import Part, largest
from minicnn.tensor import Tensor, no_grad, recording

Values = dict[int, Tensor]
HEAVY = 4  # images of a small sub-batch


def run(model: Any, values: Values, context: Pass, tap: Any = None) -> list[Tensor]:
    """The outputs of a model for the inputs `values`, by the id of their symbols; `values` is used up."""
    if not context.planned:
        return through(Part(singles(model.steps), model.outputs), values, context, tap)
    folding = not (context.training or recording())
    if not folding:
        model.derived.clear()  # what was made for inference is out of date after this step
    mode = context.training, folding
    whole, front, back = model.plans.get(mode, model.steps, lambda: parts_of(model, context, folding))
    count = len(next(iter(values.values())).data)
    if front is None or any(x.ndim == 0 or len(x.data) != count for x in values.values()):
        return through(whole, values, context)
    values.update(zip(map(id, front.results), in_parts(front, values, context), strict=True))
    return through(back, values, context)


def parts_of(model: Any, context: Pass, folding: bool) -> tuple[Part, Part | None, Part | None]:
    """All steps of a model; and, where that can be, those that run in sub-batches, and those behind them."""
    steps = grouped(model.steps, model.outputs, context.training, folding)
    cut = place_to_cut(steps, model.outputs, context) if folding else 0
    whole, front, back = Part(steps, model.outputs), steps[:cut], steps[cut:]
    return (whole, Part(front, crossing(front, back, model)), Part(back, model.outputs)) if cut else (whole, None, None)


def through(part: Part, values: Values, context: Pass, tap: Any = None) -> list:
    """Runs the steps on `values` and returns the results, each output given away after its last use."""
    for step, reads, last, gives in part.turns:
        given = [values[symbol] for symbol in reads]
        for symbol in last:  # after its last use an output is kept by the tape, if there is one, and not by us
            del values[symbol]
        outputs = step.run(given, context)
        del given
        if tap is not None:
            outputs = tapped(tap, step, outputs)
        for given_to, y in zip(gives, outputs, strict=True):
            if given_to is not None:
                values[given_to] = y
    return [values[id(s)] for s in part.results]


def tapped(tap: Any, step: Step, outputs: list[Tensor]) -> list[Tensor]:
    """The outputs, or what the tap puts in their place."""
    replacement = tap(step.nodes[0], outputs if len(step.outputs) > 1 else outputs[0])
    if replacement is None:
        return outputs
    return list(replacement) if isinstance(replacement, list | tuple) else [replacement]


# Sub-batches ---------------------------------------------------------------------------------------------------------


def in_parts(part: Part, values: Values, context: Pass) -> list[Tensor]:
    """`through`, some images at a time, spread over the workers; how many depends on shapes alone."""
    first = next(iter(values.values())).data
    backend = backend_of(first)
    bytes_of_an_image = part.largest * first.itemsize
    pieces = backend.sub_batches(len(first), bytes_of_an_image)
    if len(pieces) == 1:
        return through(part, values, context)
    given, lock = dict(values), threading.Lock()
    arrays: list = []
    values.clear()

    def work(images: slice) -> None:
        with no_grad():
            found = through(part, {k: Tensor(x.data[images]) for k, x in given.items()}, context)
        outputs = [array for y in found for array in (y.data, None if y.logits is None else y.logits.data)]
        with lock:
            if not arrays:
                arrays.extend(whole(array, len(first), backend.xp) for array in outputs)
        for array, some in zip(arrays, outputs, strict=True):
            if some is not None:
                array[images] = some

    backend.spread(work, pieces, bytes_of_an_image)
    return [with_logits(y, logits) for y, logits in zip(arrays[::2], arrays[1::2], strict=True)]


def whole(piece: Any, count: int, xp: Any) -> Any:
    """Room for a batch of what is there of some images."""
    return None if piece is None else xp.empty((count, *piece.shape[1:]), piece.dtype)


def with_logits(y: Any, logits: Any) -> Tensor:
    """A tensor of probabilities that remembers what they were made from."""
    tensor = Tensor(y)
    tensor.logits = None if logits is None else Tensor(logits)
    return tensor


def place_to_cut(steps: Sequence[Step], outputs: Sequence[Symbol], context: Pass) -> int:
    """How many steps run in sub-batches: up to where only vectors, (N, C), are left; 0 where images cannot be parted.

    What comes last runs on the whole batch: dense layers and convolutions whose kernels are larger than the outputs of
    HEAVY images, and would be read once for each sub-batch.
    """
    alive = {id(s): s for s in outputs}
    cut = len(steps)
    for k in range(len(steps) - 1, -1, -1):
        for symbol in steps[k].outputs:
            alive.pop(id(symbol), None)
        alive.update((id(s), s) for s in steps[k].parents)
        if all(len(s.shape) <= 2 for s in alive.values()):
            cut = k
    for k in range(cut - 1, -1, -1):
        weights = sum(w.size for n in steps[k].nodes for w in n.layer.own_weights)
        if 0 < weights <= HEAVY * largest([steps[k]]):
            break
        cut = k if weights else cut
    return cut if all(apart(n.layer, context.mode(n)) for step in steps[:cut] for n in step.nodes) else 0


def crossing(front: Sequence[Step], back: Sequence[Step], model: Any) -> list[Symbol]:
    """What the steps before the cut hand on to those behind it, and to the model's outputs."""
    made = {id(s) for step in back for s in step.outputs}
    wanted = [p for step in back for p in step.parents] + list(model.outputs)
    return list({id(s): s for s in wanted if id(s) not in made}.values())


APART = {
    layers.Add, layers.AveragePooling2D, layers.BatchNormalization, layers.Concatenate, layers.Conv2D,
    layers.Cropping2D, layers.Dense, layers.DepthwiseConv2D, layers.Dropout, layers.Flatten,
    layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D, InputLayer, layers.LocalResponseNormalization,
    layers.MaxPooling2D, layers.Multiply, layers.PadShortcut, layers.ReLU, layers.Reshape, layers.Scale,
    layers.ScaledAdd, layers.SeparableConv2D, layers.Softmax, layers.Subsampling2D, layers.ZeroPadding2D,
}  # fmt: skip
APART_OPS = {
    ops.Absolute, ops.Add, ops.Clip, ops.Divide, ops.Exp, ops.Identity, ops.Log, ops.Maximum, ops.Minimum,
    ops.Multiply, ops.Negative, ops.Power, ops.ReLU, ops.ScaledAdd, ops.Sigmoid, ops.Sqrt, ops.Subtract, ops.Tanh,
}  # fmt: skip


def apart(layer: Layer, training: bool) -> bool:
    """Whether a layer looks at each image by itself. Of layers that are not ours nobody knows."""
    if training:
        return False
    if type(layer) is layers.Softmax and layer.axis == 0:
        return False
    if type(layer) is Operation:
        constants = [c[0] for c in layer.template if c is not None]
        return type(layer.op) in APART_OPS and all(isinstance(c, int | float) for c in constants)
    activation = getattr(layer, "activation", activations.linear)
    known = type(layer) in APART or type(layer) is layers.Activation
    return known and activation in activations.BY_NAME.values()

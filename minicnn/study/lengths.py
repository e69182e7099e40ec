"""The gradient of the input by the length of its paths: exactly, and by Veit's samples.

A path from the loss back to the input goes, at every residual sum, along the skip or through the branch; its length is
the number of branches. n sums have 2^n paths, C(n, k) of length k. Let G_k be the sum of the gradients that come along
all paths of length k: G_0 + ... + G_n is the gradient. Nobody need walk 2^n paths. A sweep that carries, in place of
one gradient, those of each length so far, finds all G_k: an op's vjp is applied to each of them, and what enters a
branch counts one more. Between the loss and the b-th sum from the end there are b lengths, so that n (n + 1) / 2 sweeps
through branches do: 1,485 for resnet110, in place of 2^54.

Batch norm with the batch's statistics, and whatever else stands in a branch, is part of the branch's vjp: exact.
"""

import heapq
from collections.abc import Callable, Collection, Iterator

import numpy as np

from minicnn.backend import backend_of
from minicnn.study.blocks import Block
from minicnn.study.measures import Array, norm
from minicnn.study.recording import Record
from minicnn.tensor import Tensor, edges_of

Place = tuple[Tensor, int]
Grading = Callable[[Place], int | None]


def path_terms(record: Record, blocks: list[Block] | None = None) -> list[list[Array]]:
    """For every input of the model [G_0, ..., G_n], arrays of the input's shape (N, H, W, C).

    blocks: the sums that count, unless all residual ones. A projection or padding on the skip is part of the skip. A
    way with further blocks inside of it has their lengths on top. Raises ValueError where there is no residual block.
    """
    blocks = record.need(residual=True) if blocks is None else blocks
    raising = {way.edge for block in blocks for way in block.branches}
    found = graded_sweep(record, lambda edge: int(edge in raising))
    zero = [backend_of(t.data).xp.zeros_like(t.data) for t in record.inputs]
    return [
        [found[t].get(k, nothing) for k in range(len(blocks) + 1)]
        for t, nothing in zip(record.inputs, zero, strict=True)
    ]


def along(record: Record, blocks: list[Block], through: Collection[int]) -> list[Array]:
    """For every input of the model the gradient that comes along one path.

    through: the numbers of the blocks whose branch it goes through; past the others it takes the skip.
    """
    closed: set[Place] = set()
    for i, block in enumerate(blocks):
        branches = {way.edge for way in block.branches}
        closed |= {way.edge for way in block.ways} - branches if i in through else branches
    found = graded_sweep(record, lambda edge: None if edge in closed else 0)
    return [found[t].get(0, backend_of(t.data).xp.zeros_like(t.data)) for t in record.inputs]


def sampled_norms(
    record: Record, samples: int, seed: int = 0, blocks: list[Block] | None = None
) -> Iterator[tuple[int, list[float]]]:
    """For every length k the norms of the first input's gradient along `samples` paths of that length, each drawn
    among the C(n, k) with equal chances: what Veit et al. 2016 (arXiv:1605.06431, section 5) measure.
    """
    blocks = record.need(residual=True) if blocks is None else blocks
    generator = np.random.default_rng(seed)
    for k in range(len(blocks) + 1):
        chosen = [generator.choice(len(blocks), k, replace=False).tolist() for _ in range(samples)]
        yield k, [norm(along(record, blocks, through)[0]) for through in chosen]


def graded_sweep(record: Record, grade: Grading) -> dict[Tensor, dict[int, Array]]:
    """The backward sweep of a record's tape, with a gradient for each degree: for every input, degree -> gradient.

    grade((consumer, position)): by how much the degree grows along an edge; None closes the edge.
    """
    result, inputs = record.total, record.graph.inputs
    waiting = [(-result.order, result)]
    found: dict[Tensor, dict[int, Array]] = {t: {} for t in inputs}
    gradients: dict[Tensor, dict[int, Array]] = {result: {0: backend_of(result.data).xp.ones_like(result.data)}}
    while waiting:
        _, tensor = heapq.heappop(waiting)
        terms = gradients.pop(tensor)
        if tensor in found:
            found[tensor] = terms
            continue
        for degree, dy in terms.items():
            for edge, gradient in edges_of(tensor, dy, record.graph.active):
                step = grade((tensor, edge.position))
                if step is None:
                    continue
                if edge.parent not in gradients:
                    gradients[edge.parent] = {}
                    heapq.heappush(waiting, (-edge.parent.order, edge.parent))
                target, to = gradients[edge.parent], degree + step
                target[to] = backend_of(gradient).add(target[to], gradient) if to in target else gradient
    return found

"""The order of a graph: of its nodes, to run them, and of its layers, to number weights; both exactly as Keras's."""

from collections.abc import Sequence

from minicnn.layers.base import Layer
from minicnn.layers.inputs import InputLayer
from minicnn.layers.symbols import Node, Symbol


def walk(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> tuple[list[Node], list[Layer]]:
    """The nodes between inputs and outputs, each after its parents, and their layers in the order of a first visit.

    Depth-first from the outputs, following each node's parents in order (not by recursion: a ResNet may have
    thousands of nodes). Raises ValueError where an output depends on an Input that is not among the inputs.
    """
    entrances = {id(s) for s in inputs}
    nodes: list[Node] = []
    finished: set[Node] = set()
    visited: dict[Layer, None] = {}
    stack: list[tuple[Symbol, bool]] = [(s, False) for s in reversed(outputs)]
    while stack:
        symbol, leaving = stack.pop()
        node = symbol.node
        if leaving:
            if node not in finished:
                finished.add(node)
                nodes.append(node)
            continue
        if node in finished:
            continue
        visited.setdefault(node.layer)
        stack.append((symbol, True))
        if id(symbol) in entrances:
            continue
        if isinstance(node.layer, InputLayer):
            name = node.layer.name
            raise ValueError(f"the outputs depend on the input {name!r}, which is not among the model's inputs")
        stack.extend((parent, False) for parent in reversed(node.parents))
    return nodes, list(visited)


def order(inputs: Sequence[Symbol], outputs: Sequence[Symbol]) -> tuple[list[Node], list[Layer]]:
    """The nodes and the layers in Keras's order: by decreasing distance from the outputs, then as first visited.

    A layer that is called several times stands at its largest distance. Files of weights depend on the order of the
    layers, and on that of the nodes which call of a shared batch norm moves its statistics first. Raises what `walk`
    raises.
    """
    nodes, visited = walk(inputs, outputs)
    entrances = {id(s) for s in inputs}
    node_depth: dict[Node, int] = {}
    depth: dict[Layer, int] = {}
    for node in reversed(nodes):
        here = max(node_depth.setdefault(node, 0), depth.get(node.layer, 0))
        node_depth[node] = depth[node.layer] = here
        if any(id(s) in entrances for s in node.outputs):
            continue
        for parent in node.parents:
            node_depth[parent.node] = max(here + 1, node_depth.get(parent.node, 0))
    index = {layer: i for i, layer in enumerate(visited)}
    for symbol in inputs:  # an input that no output depends on
        depth.setdefault(symbol.node.layer, 0)
        index.setdefault(symbol.node.layer, -1)
    layers = sorted(depth, key=lambda layer: (-depth[layer], index[layer]))
    reached = set(nodes)
    return sorted((n for n in node_depth if n in reached), key=lambda node: -node_depth[node]), layers

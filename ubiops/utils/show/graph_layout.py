"""Places the nodes of a directed graph in layers (Sugiyama): edges lead forward and seldom cross."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise, product
from random import Random
from statistics import fmean
from typing import NamedTuple

__all__ = ["Layout", "Point", "place"]

_STARTS = 8
_SWEEPS = 6
_GAP_BESIDE_ROUTE = 0.6

Edge = tuple[str, str]
Stop = str | tuple[str, str, int]
"""A node, or where an edge passes a layer: the ends of the edge, and the layer."""


class Point(NamedTuple):
    """The number of a layer, and a position in it; the nodes of a layer are at least 1 apart."""

    layer: int
    position: float


class Layout(NamedTuple):
    """A layout of nodes and edges.

    Attributes:
        nodes: The point of each node.
        routes: The points that each edge leads through, from its source to its target: one in each layer.
    """

    nodes: dict[str, Point]
    routes: dict[Edge, list[Point]]


def place(nodes: Sequence[str], edges: Iterable[Edge], first: str, last: str) -> Layout:
    """Find points for nodes and routes for edges; meant for some tens of nodes.

    Args:
        nodes: The nodes, except the two that follow.
        edges: Pairs of source and target. An edge that closes a cycle leads backward.
        first: The only node of the first layer.
        last: The only node of the last layer.
    """
    edges = [edge for edge in dict.fromkeys(edges) if edge[0] != edge[1]]
    bounds = [(first, last), *((first, node) for node in nodes), *((node, last) for node in nodes)]
    layer_of = _longest_paths([first, *nodes, last], [*edges, *bounds])
    chains = {edge: _chain(edge, layer_of) for edge in edges}
    layers: list[list[Stop]] = [[] for _ in range(layer_of[last] + 1)]
    for stop in dict.fromkeys([*layer_of, *(stop for chain in chains.values() for stop in chain)]):
        layers[_layer(stop, layer_of)].append(stop)
    neighbours: dict[Stop, list[Stop]] = {stop: [] for layer in layers for stop in layer}
    for one, other in (link for chain in chains.values() for link in pairwise(chain)):
        neighbours[one].append(other)
        neighbours[other].append(one)
    positions = _arrange(_untangle(layers, neighbours), neighbours)

    def point(stop: Stop) -> Point:
        return Point(_layer(stop, layer_of), positions[stop])

    routes = {edge: [point(stop) for stop in chain] for edge, chain in chains.items()}
    return Layout({node: point(node) for node in layer_of}, routes)


def _longest_paths(nodes: Sequence[str], edges: Iterable[Edge]) -> dict[str, int]:
    """The layer of each node: the length of the longest path that leads to it."""
    sources: dict[str, set[str]] = {node: set() for node in nodes}
    for source, target in edges:
        sources[target].add(source)
    layer_of: dict[str, int] = {}
    while len(layer_of) < len(nodes):
        waiting = [node for node in nodes if node not in layer_of]
        # If none is ready, they form a cycle, which is opened at the first node.
        for node in [node for node in waiting if sources[node] <= layer_of.keys()] or waiting[:1]:
            layer_of[node] = 1 + max((layer_of[source] for source in sources[node] if source in layer_of), default=-1)
    return layer_of


def _chain(edge: Edge, layer_of: Mapping[str, int]) -> list[Stop]:
    """The stops of an edge: its source, one in each layer between, its target."""
    start, end = (layer_of[node] for node in edge)
    step = 1 if end > start else -1
    return [edge[0], *((*edge, layer) for layer in range(start + step, end, step)), edge[1]]


def _layer(stop: Stop, layer_of: Mapping[str, int]) -> int:
    return layer_of[stop] if isinstance(stop, str) else stop[2]


def _untangle(layers: list[list[Stop]], neighbours: Mapping[Stop, Sequence[Stop]]) -> list[list[Stop]]:
    """Order the layers so that few links cross."""
    best, fewest = layers, _crossings(layers, neighbours)
    # Always the same, so that the same graph is placed in the same way.
    chance = Random(0)
    for _ in range(_STARTS):
        for sweep in range(_SWEEPS):
            layers = _sort(layers, neighbours) if sweep % 2 == 0 else _sort(layers[::-1], neighbours)[::-1]
        layers = _exchange(layers, neighbours)
        crossings = _crossings(layers, neighbours)
        if crossings < fewest:
            best, fewest = layers, crossings
        layers = [chance.sample(layer, len(layer)) for layer in layers]
    return best


def _sort(layers: Iterable[list[Stop]], neighbours: Mapping[Stop, Sequence[Stop]]) -> list[list[Stop]]:
    """Sort each layer by the middle of its neighbours in the layer before."""
    result: list[list[Stop]] = []
    for layer in layers:
        rank = {stop: index for index, stop in enumerate(result[-1] if result else [])}
        middle = {}
        for index, stop in enumerate(layer):
            ranks = [rank[other] for other in neighbours[stop] if other in rank]
            middle[stop] = fmean(ranks) if ranks else float(index)
        result.append(sorted(layer, key=middle.__getitem__))
    return result


def _exchange(layers: Iterable[list[Stop]], neighbours: Mapping[Stop, Sequence[Stop]]) -> list[list[Stop]]:
    """Exchange neighbours as long as that reduces the number of crossings."""
    layers = [[*layer] for layer in layers]
    rank = {stop: (number, index) for number, layer in enumerate(layers) for index, stop in enumerate(layer)}

    def crossings(left: Stop, right: Stop) -> int:
        ends = product((rank[stop] for stop in neighbours[left]), (rank[stop] for stop in neighbours[right]))
        return sum(a[0] == b[0] and a[1] > b[1] for a, b in ends)

    exchanged = True
    while exchanged:
        exchanged = False
        for layer in layers:
            for index in range(len(layer) - 1):
                left, right = layer[index : index + 2]
                if crossings(right, left) < crossings(left, right):
                    layer[index : index + 2] = right, left
                    rank[left], rank[right] = rank[right], rank[left]
                    exchanged = True
    return layers


def _crossings(layers: Sequence[Sequence[Stop]], neighbours: Mapping[Stop, Sequence[Stop]]) -> int:
    number = 0
    for layer, following in pairwise(layers):
        rank = {stop: index for index, stop in enumerate(following)}
        ends = [[rank[other] for other in neighbours[stop] if other in rank] for stop in layer]
        number += sum(a > b for first, second in combinations(ends, 2) for a in first for b in second)
    return number


def _arrange(layers: Sequence[Sequence[Stop]], neighbours: Mapping[Stop, Sequence[Stop]]) -> dict[Stop, float]:
    """Positions, in the order of the layers, that bring every stop close to its neighbours."""
    positions: dict[Stop, float] = {}
    for layer in layers:
        positions.update(_spread(layer, [0.0] * len(layer)))
    for sweep in range(_SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            middles = [fmean(positions[other] for other in neighbours[stop] or [stop]) for stop in layer]
            positions.update(_spread(layer, middles))
    return positions


def _spread(layer: Sequence[Stop], wanted: Sequence[float]) -> dict[Stop, float]:
    """Positions in the order of the layer, as close to the wanted ones as the gaps allow."""
    gaps = [1.0 if isinstance(a, str) and isinstance(b, str) else _GAP_BESIDE_ROUTE for a, b in pairwise(layer)]
    lowest, highest = list(wanted), list(wanted)
    for index, gap in enumerate(gaps):
        lowest[index + 1] = max(lowest[index + 1], lowest[index] + gap)
    for index, gap in reversed(list(enumerate(gaps))):
        highest[index] = min(highest[index], highest[index + 1] - gap)
    return {stop: (low + high) / 2 for stop, low, high in zip(layer, lowest, highest, strict=True)}

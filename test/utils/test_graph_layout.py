"""Where the nodes and edges of a graph are placed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, pairwise

import pytest

from ubiops.utils.show.graph_layout import Edge, Layout, place


def lay_out(*edges: str, nodes: str = "") -> Layout:
    """Edges in two letters each; ``<`` is the first node and ``>`` the last."""
    names = dict.fromkeys([*"".join(edges), *nodes])
    return place([name for name in names if name not in "<>"], [(edge[0], edge[1]) for edge in edges], "<", ">")


def layers(layout: Layout) -> dict[str, int]:
    return {node: point.layer for node, point in layout.nodes.items()}


def random_graph(seed: int, size: int) -> tuple[list[str], list[Edge]]:
    """A graph in which each node follows some of those before it."""
    chance = random.Random(seed)
    nodes = [f"n{index}" for index in range(size)]
    edges = []
    for index, node in enumerate(nodes):
        before = ["<", *nodes[:index]]
        edges += [(source, node) for source in chance.sample(before, min(len(before), chance.randint(1, 3)))]
    ends = set(nodes) - {source for source, _ in edges}
    return nodes, [*edges, *((node, ">") for node in ends)]


def crossings(layout: Layout) -> int:
    """How many pairs of edges cross between two layers."""
    steps = {step for route in layout.routes.values() for step in pairwise(route)}
    return sum(
        (a.position - c.position) * (b.position - d.position) < 0
        for (a, b), (c, d) in combinations(steps, 2)
        if a.layer == c.layer and b.layer == d.layer
    )


def test_each_node_follows_the_longest_way_to_it() -> None:
    layout = lay_out("<a", "ab", "bc", "ac", "c>", "<d", "d>")
    assert layers(layout) == {"<": 0, "a": 1, "b": 2, "c": 3, "d": 1, ">": 4}


def test_what_is_not_connected_stands_between_the_first_and_the_last() -> None:
    assert layers(lay_out(nodes="ab")) == {"<": 0, "a": 1, "b": 1, ">": 2}
    assert layers(lay_out()) == {"<": 0, ">": 1}


def test_a_line_is_straight() -> None:
    layout = lay_out("<a", "ab", "bc", "c>")
    assert {point.position for point in layout.nodes.values()} == {0.0}


def test_an_edge_passes_each_layer_between_its_ends() -> None:
    layout = lay_out("<a", "ab", "b>", "<>")
    assert [point.layer for point in layout.routes["<", ">"]] == [0, 1, 2, 3]
    [passing] = [point for point in layout.routes["<", ">"] if point.layer == 1]
    assert abs(passing.position - layout.nodes["a"].position) >= 0.6


def test_edges_do_not_cross_where_they_need_not() -> None:
    # In the order of the names they would.
    assert crossings(lay_out("<a", "<b", "<c", "ad", "ae", "be", "bf", "cd", "d>", "e>", "f>")) == 0
    assert crossings(lay_out("<a", "<b", "<c", "af", "be", "cd", "d>", "e>", "f>")) == 0
    assert crossings(lay_out("<a", "ab", "ac", "bd", "<d", "d>", "c>")) == 0


def test_a_circle_is_opened_and_one_edge_leads_back() -> None:
    layout = lay_out("<a", "ab", "bc", "ca", "c>", "aa")
    assert layers(layout) == {"<": 0, "a": 1, "b": 2, "c": 3, ">": 4}
    assert [point.layer for point in layout.routes["c", "a"]] == [3, 2, 1]
    assert layers(lay_out("<a", "ca", "ab", "bc", "c>")) == layers(layout)
    assert ("a", "a") not in layout.routes


@pytest.mark.parametrize(("seed", "size"), [(seed, size) for size in (5, 30, 60) for seed in range(5)])
def test_any_graph_leads_forward_and_nothing_overlaps(seed: int, size: int) -> None:
    nodes, edges = random_graph(seed, size)
    layout = place(nodes, edges, "<", ">")
    assert set(layout.nodes) == {"<", *nodes, ">"}
    assert set(layout.routes) == set(edges)
    for (source, target), route in layout.routes.items():
        assert (route[0], route[-1]) == (layout.nodes[source], layout.nodes[target])
        assert [b.layer - a.layer for a, b in pairwise(route)] == [1] * (len(route) - 1)
    passing = [point for route in layout.routes.values() for point in route[1:-1]]
    assert all(gap >= 1 - 1e-9 for gap in gaps(list(layout.nodes.values())))
    assert all(gap >= 0.6 - 1e-9 for gap in gaps([*layout.nodes.values(), *passing]))


def gaps(points: Sequence[tuple[int, float]]) -> list[float]:
    """The distances of neighbours in a layer."""
    return [b[1] - a[1] for a, b in pairwise(sorted(points)) if a[0] == b[0]]


def test_the_same_graph_is_placed_in_the_same_way() -> None:
    for seed in range(5):
        nodes, edges = random_graph(seed, 30)
        assert place(nodes, edges, "<", ">") == place(nodes, edges * 2, "<", ">")

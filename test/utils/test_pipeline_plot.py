"""Pipelines as graphs, as what stands on the axes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Polygon
from matplotlib.path import Path as Curve
from matplotlib.transforms import Bbox

import ubiops
from test.emulator.pipelines import attach, deployment, make_pipeline, operator
from test.emulator.project import TestProject
from ubiops import models
from ubiops.utils import MissingExtra, plot_pipeline

START, END = "pipeline_start", "pipeline_end"


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


def version(objects: list[dict[str, Any]], links: list[tuple[str, str]], **fields: Any) -> dict[str, Any]:
    """A pipeline version with an attachment for each link."""
    attachments = [attach(destination, {source: {}}) for source, destination in links]
    return {"pipeline": "line", "version": "v1", "objects": objects, "attachments": attachments, **fields}


def line(length: int) -> dict[str, Any]:
    names = [f"step-{index}" for index in range(length)]
    chain = [START, *names, END]
    return version([deployment(name) for name in names], list(pairwise(chain)))


def wide(layers: int, size: int) -> dict[str, Any]:
    """Layers of objects; each is fed by two of the layer before, and some by the start."""
    names = [[f"object-{layer}-{index}" for index in range(size)] for layer in range(layers)]
    links = [(START, name) for name in names[0]] + [(name, END) for name in names[-1]]
    for before, layer in pairwise(names):
        links += [(before[index], layer[(index + step) % size]) for index in range(size) for step in (0, 1)]
    links += [(START, names[-1][0]), (names[0][-1], END)]
    return version([deployment(name) for layer in names for name in layer], links)


def boxes(ax: Any) -> dict[str, Bbox]:
    """Where each object is, by its name."""
    patches = [patch for patch in ax.patches if patch.get_gid()]
    return {patch.get_gid(): patch.get_path().get_extents(patch.get_patch_transform()) for patch in patches}


def outlines(ax: Any) -> dict[str, Any]:
    return {patch.get_gid(): patch for patch in ax.patches if patch.get_gid()}


def arrows(ax: Any) -> list[Any]:
    return [patch for patch in ax.patches if isinstance(patch, FancyArrowPatch)]


def links(ax: Any) -> set[tuple[str, str]]:
    """The names of the objects that the ends of the arrows touch."""

    def touched(point: Any) -> str:
        [name] = [name for name, box in boxes(ax).items() if box.padded(0.01).contains(*point)]
        return name

    # The path as it was given: the one that is drawn has an arrowhead.
    paths = [arrow._path_original for arrow in arrows(ax)]
    return {(touched(path.vertices[0]), touched(path.vertices[-1])) for path in paths}


def texts(ax: Any) -> list[str]:
    return [text.get_text() for text in ax.texts]


@pytest.mark.usefixtures("deployed")
def test_a_version_of_the_api_is_drawn(project: TestProject) -> None:
    cold = operator(
        "cold",
        "if-condition",
        expression="x < 5",
        input_fields=[{"name": "x", "data_type": "double"}],
        output_fields=[],
    )
    created = make_pipeline(
        project,
        [deployment("double", version="v1"), cold, deployment("again")],
        [
            attach("cold", {START: {"x": "x"}}),
            attach("double", {"cold": {}, START: {"x": "x"}}),
            attach("again", {"double": {"y": "x"}}),
            attach(END, {"again": {"y": "y"}}),
        ],
    )
    ax = plot_pipeline(project.api.pipeline_versions_get("lab", "line", created.version))
    assert ax.get_title() == "line v1"
    assert set(boxes(ax)) == {START, "double", "cold", "again", END}
    assert links(ax) == {(START, "cold"), ("cold", "double"), (START, "double"), ("double", "again"), ("again", END)}
    shown = [START, "double", "model (v1)", "cold", "if-condition", "x < 5", "again", "model", END]
    assert sorted(texts(ax)) == sorted(shown)


def test_the_kinds_are_told_by_shape_and_colour() -> None:
    part = {"name": "part", "reference_name": "other", "reference_type": "pipeline", "version": None}
    new = {"name": "new", "reference_name": "webhook", "reference_type": "connector", "version": None}
    ax = plot_pipeline(version([deployment("d"), operator("o", "function"), part, new], []))
    outline = outlines(ax)
    assert isinstance(outline["o"], Polygon)
    styles = {name: outline[name].get_boxstyle() for name in ("d", "part", START)}
    assert len({type(style).__name__ + str(vars(style)) for style in styles.values()}) == 3
    assert len({outline[name].get_facecolor() for name in ("d", "o", "part", "new", START)}) == 5
    assert isinstance(outline["new"], FancyBboxPatch)
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["deployment", "operator", "pipeline", "connector"]
    colors = [handle.get_facecolor() for handle in legend.get_patches()]
    assert colors == [outline[name].get_facecolor() for name in ("d", "o", "part", "new")]


def test_it_runs_from_left_to_right() -> None:
    ax = plot_pipeline(line(5))
    found = boxes(ax)
    order = [START, *(f"step-{index}" for index in range(5)), END]
    assert sorted(found, key=lambda name: found[name].x0) == order
    assert len({round(box.y0, 6) for box in found.values()}) == 1


def test_a_long_one_runs_from_top_to_bottom() -> None:
    ax: Any = plot_pipeline(line(30))
    found = boxes(ax)
    order = [START, *(f"step-{index}" for index in range(30)), END]
    assert sorted(found, key=lambda name: -found[name].y0) == order
    assert len({round(box.x0, 6) for box in found.values()}) == 1
    assert ax.figure.get_figwidth() < 5


@pytest.mark.parametrize(("layers", "size"), [(1, 30), (5, 6), (10, 3), (30, 1)])
def test_thirty_objects_stay_readable(layers: int, size: int) -> None:
    ax: Any = plot_pipeline(wide(layers, size))
    ax.figure.canvas.draw()
    found = boxes(ax)
    assert len(found) == 32
    assert not any(a.overlaps(b) for a, b in combinations(found.values(), 2))
    assert ax.figure.get_figwidth() <= 15
    assert min(text.get_fontsize() for text in ax.texts) > 7
    # Each text fits in its box.
    to_data = ax.transData.inverted()
    for text in ax.texts:
        [box] = [box for box in found.values() if box.contains(*text.get_position())]
        extent = text.get_window_extent().transformed(to_data)
        assert box.x0 < extent.x0 < extent.x1 < box.x1
        assert box.y0 < extent.y0 < extent.y1 < box.y1


def test_no_arrow_runs_through_an_object() -> None:
    ax = plot_pipeline(wide(5, 6))
    found = boxes(ax)
    for arrow in arrows(ax):
        [curve] = arrow._path_original.to_polygons(closed_only=False)
        points: Any = Curve(curve).interpolated(20).vertices
        ends = [box for box in found.values() for end in (points[0], points[-1]) if box.padded(0.01).contains(*end)]
        passed = [box for box in found.values() if not any(box is end for end in ends)]
        assert not any(box.contains(*point) for point in points for box in passed)


def test_long_names_are_shortened_in_the_middle_and_long_expressions_at_the_end() -> None:
    name = "hourly-load-of-the-grid-all-regions-2"
    ax = plot_pipeline(version([operator(name, "function", expression="a + " * 50 + "b")], []))
    short, _, expression = (text for text in texts(ax) if text not in (START, END))
    assert short.startswith("hourly-load")
    assert short.endswith("-2")
    assert expression.startswith("a + a")
    assert expression.endswith("…")
    ax.figure.canvas.draw()
    extents = [text.get_window_extent().transformed(ax.transData.inverted()) for text in ax.texts]
    assert all(extent.width < boxes(ax)[name].width for extent in extents)


def test_texts_are_no_formulas() -> None:
    ax = plot_pipeline(version([operator("pay", "function", expression="$a$ + $b")], [], pipeline="$p$"))
    ax.figure.canvas.draw()
    assert "$a$ + $b" in texts(ax)
    assert not any(text.get_parse_math() for text in [*ax.texts, ax.title])


def test_an_empty_pipeline_has_a_start_and_an_end() -> None:
    ax = plot_pipeline(version([], []))
    assert set(boxes(ax)) == {START, END}
    assert ax.get_legend() is None


def test_what_is_to_be_created_is_drawn_too() -> None:
    body = line(2)
    del body["pipeline"]
    ax = plot_pipeline(models.PipelineVersionCreate(**body))
    assert ax.get_title() == "v1"
    assert links(ax) == {(START, "step-0"), ("step-0", "step-1"), ("step-1", END)}


def test_axes_of_the_program_s_own_are_drawn_on_to_their_size() -> None:
    own = Figure(figsize=(4, 2)).subplots()
    assert plot_pipeline(line(5), ax=own) is own
    assert pyplot.get_fignums() == []
    own.figure.canvas.draw()
    to_data = own.transData.inverted()
    for text in own.texts:
        extent = text.get_window_extent().transformed(to_data)
        assert any(box.x0 < extent.x0 and extent.x1 < box.x1 for box in boxes(own).values())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (models.PipelineVersionList(version="v1", pipeline="p", request_retention_mode="full"), "PipelineVersionList"),
        ({"version": "v1"}, "dict"),
        (None, "NoneType"),
    ],
    ids=["list", "dict", "none"],
)
def test_what_has_no_objects_is_refused(wrong: Any, message: str) -> None:
    with pytest.raises(ubiops.ApiTypeError, match=f"its objects and attachments.*, got {message}$"):
        plot_pipeline(wrong)


def test_an_attachment_without_its_object_is_refused() -> None:
    with pytest.raises(
        ubiops.ApiValueError, match=r"names `doubel`, which isn't one of the objects; did you mean `double`\?$"
    ):
        plot_pipeline(version([deployment("double")], [(START, "doubel")]))
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"^plot_pipeline needs matplotlib: pip install matplotlib$"):
        plot_pipeline(line(1))

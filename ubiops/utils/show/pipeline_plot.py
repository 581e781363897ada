"""Pipelines as graphs, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from ubiops.display.masking import masked
from ubiops.model import Model
from ubiops.schema import nearest_hint
from ubiops.utils.arguments import invalid, wrong_type
from ubiops.utils.show.graph_layout import Layout, Point, place
from ubiops.utils.show.metrics_plot import new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch
    from matplotlib.path import Path

    from ubiops.models import PipelineVersionCreate, PipelineVersionDetail

__all__ = ["plot_pipeline"]

_START, _END = "pipeline_start", "pipeline_end"

# Lengths in inches and fonts in points, at full size.
_BOX_WIDTH, _BOX_HEIGHT = 1.65, 0.58
_MARGIN = 0.1
_WIDEST = 14.5
_TITLE_AND_LEGEND = 0.8
_STEPS_SIDEWAYS, _STEPS_DOWN = (2.05, 0.8), (1.1, 1.85)
_LINE = 0.16
_TITLE_FONT, _NAME_FONT, _DETAIL_FONT = 11.0, 8.5, 7.2
_LONGEST_NAME, _LONGEST_DETAIL = 17, 23


class _Style(NamedTuple):
    fill: str
    line: str
    shape: str


_BOUNDARY = _Style("#ececec", "#777777", "round,pad=0,rounding_size=0.29")
_STYLES = {
    "deployment": _Style("#dceaf8", "#2f6fab", "round,pad=0,rounding_size=0.1"),
    "pipeline": _Style("#dff2e1", "#37833f", "square,pad=0"),
    "operator": _Style("#fdebd3", "#c27515", "hexagon"),
}
_UNKNOWN = _Style("#ffffff", "#777777", "square,pad=0")


class _Object(NamedTuple):
    name: str
    kind: str
    details: list[str]


def plot_pipeline(
    version: PipelineVersionDetail | PipelineVersionCreate | Mapping[str, Any], *, ax: Axes | None = None
) -> Axes:
    """Draw a pipeline version as a graph, from its start to its end; needs matplotlib.

    Deployments are boxes with round corners, pipelines have square ones, operators are hexagons. Each shows the
    object's name, what it refers to with the version that it is pinned to, and the expression of an operator. The graph
    runs from left to right, or from top to bottom where it would be more than 14.5 inches wide.

    Args:
        version: What `CoreApi.pipeline_versions_get` returned, or the body that is to create a version.
        ax: The axes to draw on; the picture is scaled to fit. By default new ones, in a figure of
            ``matplotlib.pyplot``, which needs no display. With the axes of a ``matplotlib.figure.Figure``, pyplot is
            not used.

    Returns:
        The axes.

    Raises:
        MissingExtra: matplotlib isn't installed.
        ApiTypeError: It isn't a pipeline version with objects and attachments.
        ApiValueError: An attachment names an object that doesn't exist.
    """
    fields = _read_version(version)
    objects = [_read_object(item) for item in fields["objects"] or []]
    names = [item.name for item in objects]
    edges = list(_read_edges(fields["attachments"] or [], names))
    grid = _Grid(place(names, edges, _START, _END))
    if ax is None:
        width, height = grid.size
        ax, scale = new_axes("plot_pipeline", width, height + _TITLE_AND_LEGEND), 1.0
    else:
        scale = grid.scale_to(ax)
    ax.set_axis_off()
    ax.set(aspect="equal", xlim=grid.xlim, ylim=grid.ylim)
    for item in [_Object(_START, "", []), *objects, _Object(_END, "", [])]:
        _draw_object(ax, item, grid.centre(item.name), scale)
    for edge in grid.edges:
        _draw_edge(ax, grid.path(edge), scale)
    title = " ".join(str(fields[name]) for name in ("pipeline", "version") if fields.get(name))
    ax.set_title(title, fontsize=_TITLE_FONT * scale, parse_math=False)
    _draw_legend(ax, dict.fromkeys(item.kind for item in objects), scale)
    return ax


def _read_version(version: Any) -> dict[str, Any]:
    fields = masked(version) if isinstance(version, (Model, Mapping)) else {}
    if not {"objects", "attachments"} <= fields.keys():
        expected = "a pipeline version with its objects and attachments, as `pipeline_versions_get` returns it"
        raise wrong_type("version", "plot_pipeline", expected, version)
    return fields


def _read_object(fields: Mapping[str, Any]) -> _Object:
    pinned = fields.get("version")
    expression = (fields.get("configuration") or {}).get("expression")
    reference = str(fields.get("reference_name"))
    details = [f"{reference} ({pinned})" if pinned else reference, *([str(expression)] if expression else [])]
    return _Object(str(fields.get("name")), fields.get("reference_type") or "deployment", details)


def _read_edges(attachments: Iterable[Mapping[str, Any]], names: list[str]) -> Iterator[tuple[str, str]]:
    known = [_START, *names, _END]
    for attachment in attachments:
        for source in attachment.get("sources") or []:
            edge = (str(source.get("source_name")), str(attachment.get("destination_name")))
            for name in edge:
                if name not in known:
                    problem = f"an attachment names `{name}`, which isn't one of the objects{nearest_hint(name, known)}"
                    raise invalid("version", "plot_pipeline", problem)
            yield edge


class _Grid:
    """Positions of a layout on the axes, in inches, with y growing upward.

    Attributes:
        edges: The edges to draw.
        xlim: The left and right ends of the picture.
        ylim: Its bottom and top ends.
    """

    def __init__(self, layout: Layout) -> None:
        self.edges = list(layout.routes)
        self._layout = layout
        layers = layout.nodes[_END].layer + 1
        self._sideways = layers * _STEPS_SIDEWAYS[0] <= _WIDEST
        self._steps, size = (_STEPS_SIDEWAYS, _BOX_WIDTH) if self._sideways else (_STEPS_DOWN, _BOX_HEIGHT)
        self._half = size / 2
        points = {*layout.nodes.values(), *chain.from_iterable(layout.routes.values())}
        xs, ys = zip(*(self._turn(*self._place(point)) for point in points), strict=True)
        self.xlim = min(xs) - _BOX_WIDTH / 2 - _MARGIN, max(xs) + _BOX_WIDTH / 2 + _MARGIN
        self.ylim = min(ys) - _BOX_HEIGHT / 2 - _MARGIN, max(ys) + _BOX_HEIGHT / 2 + _MARGIN

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the picture."""
        return self.xlim[1] - self.xlim[0], self.ylim[1] - self.ylim[0]

    def scale_to(self, ax: Axes) -> float:
        """The factor that fits the picture into these axes; 1 if they have room for it at full size."""
        # Windows are measured in dots.
        window, (width, height) = ax.get_window_extent(), self.size
        return float(min(1.0, window.width / ax.figure.dpi / width, window.height / ax.figure.dpi / height))

    def centre(self, name: str) -> tuple[float, float]:
        """The centre of an object."""
        return self._turn(*self._place(self._layout.nodes[name]))

    def path(self, edge: tuple[str, str]) -> Path:
        """The path of an edge: straight past the objects of a layer, curved from one layer to the next."""
        from matplotlib.path import Path

        places = [self._place(point) for point in self._layout.routes[edge]]
        side = self._half if places[-1] > places[0] else -self._half
        vertices, codes = [], []
        for (before, here), (after, there) in pairwise(places):
            before, after = before + side, after - side
            middle = (before + after) / 2
            curve = [(before, here), (middle, here), (middle, there), (after, there)]
            vertices += [self._turn(*each) for each in curve]
            codes += [Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        return Path(vertices, [Path.MOVETO, *codes[1:]])

    def _place(self, point: Point) -> tuple[float, float]:
        return point.layer * self._steps[0], point.position * self._steps[1]

    def _turn(self, along: float, across: float) -> tuple[float, float]:
        return (along, -across) if self._sideways else (across, -along)


def _draw_object(ax: Axes, item: _Object, centre: tuple[float, float], scale: float) -> None:
    style = _STYLES.get(item.kind, _UNKNOWN) if item.kind else _BOUNDARY
    outline = _outline(style.shape, centre)
    outline.set(facecolor=style.fill, edgecolor=style.line, linewidth=1.2 * scale, gid=item.name)
    ax.add_patch(outline)
    texts = [(_shorten_name(item.name), _NAME_FONT, "bold")]
    texts += [(_shorten(detail, _LONGEST_DETAIL), _DETAIL_FONT, "normal") for detail in item.details]
    x, y = centre
    for number, (text, size, weight) in enumerate(texts):
        look: dict[str, Any] = {
            "fontsize": size * scale,
            "weight": weight,
            "ha": "center",
            "va": "center",
            "parse_math": False,
        }
        ax.text(x, y + ((len(texts) - 1) / 2 - number) * _LINE, text, **look)


def _outline(shape: str, centre: tuple[float, float]) -> Patch:
    from matplotlib.patches import FancyBboxPatch, Polygon

    left, bottom = centre[0] - _BOX_WIDTH / 2, centre[1] - _BOX_HEIGHT / 2
    if shape != "hexagon":
        return FancyBboxPatch((left, bottom), _BOX_WIDTH, _BOX_HEIGHT, boxstyle=shape)
    right, top = left + _BOX_WIDTH, bottom + _BOX_HEIGHT
    inner_left, inner_right = left + _BOX_HEIGHT / 5, right - _BOX_HEIGHT / 5
    lower = [(left, centre[1]), (inner_left, bottom), (inner_right, bottom)]
    upper = [(right, centre[1]), (inner_right, top), (inner_left, top)]
    return Polygon([*lower, *upper], closed=True)


def _draw_edge(ax: Axes, path: Path, scale: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    size: dict[str, Any] = {"mutation_scale": 9 * scale, "linewidth": scale, "shrinkA": 0, "shrinkB": 0}
    ax.add_patch(FancyArrowPatch(path=path, arrowstyle="-|>", color="#555555", **size))


def _draw_legend(ax: Axes, kinds: Iterable[str], scale: float) -> None:
    from matplotlib.patches import Patch

    styles = {kind: _STYLES.get(kind, _UNKNOWN) for kind in kinds}
    handles = [Patch(facecolor=style.fill, edgecolor=style.line, label=kind) for kind, style in styles.items()]
    if handles:
        place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": len(handles)}
        ax.legend(handles=handles, fontsize=_NAME_FONT * scale, frameon=False, **place)


def _shorten(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _shorten_name(name: str) -> str:
    # Names in a pipeline often begin the same and differ at the end.
    end = _LONGEST_NAME // 3
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - end - 1]}…{name[-end:]}"

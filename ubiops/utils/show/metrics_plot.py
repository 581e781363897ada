"""Metrics over time, drawn by matplotlib."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ubiops.model import Model
from ubiops.models.metrics import Metrics
from ubiops.utils.arguments import invalid, wrong_type
from ubiops.utils.exceptions import MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


Series = Iterable[Metrics | tuple[datetime.datetime, float | None]]

__all__ = ["new_axes", "plot_metrics"]

_MOST_MARKERS = 100
_LARGE = 10_000
_UNITS = {
    **dict.fromkeys(("input_volume", "output_volume"), "bytes"),
    **dict.fromkeys(("active_time", "compute", "request_duration"), "s"),
    **dict.fromkeys(("batch_queue_time", "express_queue_time"), "s"),
}
"""Units of the API's metrics; counts have none, and that of ``memory_peak`` isn't documented."""


def new_axes(function: str, width: float, height: float) -> Axes:
    """Axes in a new figure: a notebook shows it below the cell, a program with ``pyplot.show()``."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingExtra("matplotlib", function) from None
    _, ax = pyplot.subplots(figsize=(width, height), layout="constrained")
    return ax


class _Line(NamedTuple):
    name: str
    points: list[tuple[datetime.datetime, float]]

    @property
    def unit(self) -> str | None:
        return _UNITS.get(self.name)

    @property
    def label(self) -> str:
        return f"{self.name} ({self.unit})" if self.unit else self.name


def plot_metrics(metrics: Series | Mapping[str, Series], *, ax: Axes | None = None) -> Axes:
    """Draw one or several metrics over time; needs matplotlib.

    Args:
        metrics: What `metrics` or `CoreApi.metrics_get` returned, or any pairs of a datetime and a value. A dict of
            them by name draws several, or one with its name; those with the name of a metric of the API are shown with
            its unit, seconds or bytes. A value of None leaves a gap.
        ax: The axes to draw on. By default new ones, in a figure of ``matplotlib.pyplot``, which needs no display.
            With the axes of a ``matplotlib.figure.Figure``, pyplot is not used.

    Returns:
        The axes. Metrics with a second unit get separate axes, with a scale on the right.

    Raises:
        MissingExtra: matplotlib isn't installed.
        ApiTypeError: An item is neither a metric nor a pair.
        ApiValueError: The metrics have more than two units, or times both with and without a zone.
    """
    named = metrics if isinstance(metrics, Mapping) else {None: metrics}
    lines = [_read_line(name, series) for name, series in named.items()]
    moments = [time for line in lines for time, _ in line.points]
    if len({moment.tzinfo is None for moment in moments}) > 1:
        raise invalid("metrics", "plot_metrics", "must have times with a zone or times without one, not both")
    units = list(dict.fromkeys(line.unit for line in lines))
    if len(units) > 2:
        names = ", ".join(unit or "counts" for unit in units)
        problem = f"must have two units at most, not {names}: draw them separately"
        raise invalid("metrics", "plot_metrics", problem)
    ax = new_axes("plot_metrics", 8, 3.5) if ax is None else ax
    handles = []
    for number, unit in enumerate(units):
        side = ax.twinx() if number else ax
        for index, line in enumerate(lines):
            if line.unit == unit:
                handles.append(_draw_line(side, line, f"C{index}"))
        _scale_values(side, [line for line in lines if line.unit == unit])
    _scale_times(ax, moments)
    if len(lines) > 1:
        # Above the axes: inside, and below the second ones, it would hide lines.
        ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    return ax


def _read_line(name: str | None, series: Any) -> _Line:
    place = "metrics" if name is None else f"metrics[{name!r}]"
    if isinstance(series, (str, Model)) or not isinstance(series, Iterable):
        raise wrong_type(place, "plot_metrics", "an iterable of metrics", series)
    points = [_read_point(f"{place}[{index}]", item) for index, item in enumerate(series)]
    return _Line(name or "value", points)


def _read_point(place: str, item: Any) -> tuple[datetime.datetime, float]:
    pair = (item.start_date, item.value) if isinstance(item, Metrics) else item
    if isinstance(pair, tuple) and len(pair) == 2:
        time, value = pair
        if isinstance(time, datetime.datetime) and isinstance(value, (int, float, type(None))):
            return time, math.nan if value is None else value
    raise wrong_type(place, "plot_metrics", "Metrics or a pair of a datetime and a number", item)


def _draw_line(ax: Axes, line: _Line, color: str) -> Line2D:
    points = sorted(line.points, key=itemgetter(0))
    # Of many points the line alone is clearer; a single one would not show without a marker.
    marker = "o" if len(points) <= _MOST_MARKERS else ""
    # matplotlib accepts datetimes, but its annotations don't say so.
    times: Any = [time for time, _ in points]
    values = [value for _, value in points]
    [drawn] = ax.plot(times, values, color=color, marker=marker, markersize=4, label=line.label)
    return drawn


def _scale_values(ax: Axes, lines: Sequence[_Line]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    ax.set_ylabel(lines[0].label if len(lines) == 1 else lines[0].unit or "value")
    values = [value for line in lines for _, value in line.points if not math.isnan(value)]
    ax.yaxis.set_major_locator(MaxNLocator("auto", integer=all(float(value).is_integer() for value in values)))
    if max(values, default=0) >= _LARGE:
        ax.yaxis.set_major_formatter(EngFormatter())
    if min(values, default=0) >= 0:
        ax.set_ylim(bottom=0)


def _scale_times(ax: Axes, moments: Sequence[datetime.datetime]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    ax.grid(alpha=0.3)
    if not moments:
        ax.set_xlabel("Time")
        ax.set_xticks([])
        ax.text(0.5, 0.5, "No values", transform=ax.transAxes, ha="center", va="center")
        return
    zone = moments[0].tzinfo
    locator = AutoDateLocator(tz=zone)  # type: ignore[no-untyped-call]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=zone))  # type: ignore[no-untyped-call]
    ax.set_xlabel(f"Time ({moments[0].tzname()})" if zone else "Time")
    if len(set(moments)) == 1:
        # matplotlib would show four years.
        hour: Any = datetime.timedelta(hours=1)
        ax.set_xlim(moments[0] - hour, moments[0] + hour)

"""Metrics over time, as what stands on the axes."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import pytest
from matplotlib import dates, pyplot
from matplotlib.figure import Figure

import ubiops
from test.emulator.project import TestProject
from ubiops import models
from ubiops.utils import MissingExtra, plot_metrics

UTC = datetime.timezone.utc
NOON = datetime.datetime(2022, 11, 13, 12, tzinfo=UTC)
HOUR = datetime.timedelta(hours=1)


class Point(NamedTuple):
    time: datetime.datetime
    value: float | None


def hourly(*values: float | None) -> list[Point]:
    """A value each hour from noon."""
    return [Point(NOON + index * HOUR, value) for index, value in enumerate(values)]


def moments(numbers: Any) -> list[datetime.datetime]:
    """The moments that matplotlib has made numbers of."""
    found: list[datetime.datetime] = dates.num2date(numbers)
    return found


@pytest.fixture(autouse=True)
def _no_window() -> Iterator[None]:
    matplotlib.use("Agg")
    yield
    pyplot.close("all")


def drawn(ax: Any) -> dict[str, list[tuple[datetime.datetime, float]]]:
    """The points of each line, by its label, after everything was drawn once."""
    ax.figure.canvas.draw()
    return {
        line.get_label(): list(zip(moments(line.get_xdata(orig=False)), line.get_ydata(), strict=True))
        for line in ax.get_lines()
    }


@pytest.mark.usefixtures("deployed")
def test_metrics_of_the_api_are_drawn(project: TestProject) -> None:
    for x in range(3):
        project.request({"x": x})
    now = datetime.datetime.now(UTC)
    times = ((now - HOUR).isoformat(), (now + HOUR).isoformat())
    metrics = project.api.metrics_get("lab", "requests", *times, "deployment_version")
    ax = plot_metrics({"requests": metrics})
    [points] = drawn(ax).values()
    assert [time for time, _ in points] == [metric.start_date for metric in metrics]
    assert sum(value for _, value in points) == 3
    assert ax.get_ylabel() == "requests"


def test_the_axes_say_what_is_shown_in_which_unit_and_zone() -> None:
    ax = plot_metrics({"compute": hourly(0.5, 1.5)})
    assert drawn(ax) == {"compute (s)": [(NOON, 0.5), (NOON + HOUR, 1.5)]}
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("Time (UTC)", "compute (s)")
    assert ax.get_legend() is None
    assert ax.get_ylim()[0] == 0


def test_the_zone_is_that_of_the_times() -> None:
    zone = datetime.timezone(datetime.timedelta(hours=2))
    ax = plot_metrics([(NOON.astimezone(zone) + index * HOUR, 1.0) for index in range(6)])
    ax.figure.canvas.draw()
    assert ax.get_xlabel() == "Time (UTC+02:00)"
    assert ax.get_xticklabels()[0].get_text() == "14:00"
    bare = plot_metrics([(NOON.replace(tzinfo=None), 1.0)])
    assert bare.get_xlabel() == "Time"


def test_the_order_of_the_points_is_that_of_the_times() -> None:
    ax = plot_metrics([(NOON + HOUR, 2.0), (NOON, 1.0)])
    assert drawn(ax) == {"value": [(NOON, 1.0), (NOON + HOUR, 2.0)]}


def test_several_metrics_of_one_unit_share_the_axes() -> None:
    ax = plot_metrics({"input_volume": hourly(5, 7), "output_volume": hourly(0, 1)})
    lines = drawn(ax)
    assert [value for _, value in lines["input_volume (bytes)"]] == [5, 7]
    assert [value for _, value in lines["output_volume (bytes)"]] == [0, 1]
    assert ax.get_ylabel() == "bytes"
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == list(lines)
    assert len({line.get_color() for line in ax.get_lines()}) == 2


def test_a_second_unit_has_its_scale_on_the_right() -> None:
    ax = plot_metrics({"requests": hourly(5, 7), "input_volume": hourly(1e8, 2e8)})
    right = next(other for other in ax.figure.axes if other is not ax)
    assert [*drawn(ax), *drawn(right)] == ["requests", "input_volume (bytes)"]
    assert (ax.get_ylabel(), right.get_ylabel()) == ("requests", "input_volume (bytes)")
    assert "200 M" in [label.get_text() for label in right.get_yticklabels()]
    assert ax.get_lines()[0].get_color() != right.get_lines()[0].get_color()
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["requests", "input_volume (bytes)"]


def test_a_missing_value_leaves_a_gap() -> None:
    [points] = drawn(plot_metrics(hourly(1, None, 3))).values()
    assert [value == value for _, value in points] == [True, False, True]


def test_a_single_value_shows_in_the_middle_of_two_hours() -> None:
    ax = plot_metrics([models.Metrics(value=3, start_date=NOON, end_date=NOON + HOUR)])
    assert drawn(ax) == {"value": [(NOON, 3)]}
    assert ax.get_lines()[0].get_marker() == "o"
    assert moments(ax.get_xlim()) == [NOON - HOUR, NOON + HOUR]


def test_no_values_are_said_to_be_none() -> None:
    ax = plot_metrics({"requests": []})
    assert [text.get_text() for text in ax.texts] == ["No values"]
    assert ax.get_ylabel() == "requests"


def test_counts_have_whole_numbers_on_their_scale() -> None:
    ax = plot_metrics(hourly(0, 1, 2))
    ax.figure.canvas.draw()
    assert all(label.get_text().isdigit() for label in ax.get_yticklabels())


def test_many_values_are_a_line_without_markers() -> None:
    assert plot_metrics(hourly(*range(1000))).get_lines()[0].get_marker() in ("", "None")


def test_axes_of_the_program_s_own_are_drawn_on() -> None:
    own = Figure().subplots()
    assert plot_metrics(hourly(1, 2), ax=own) is own
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        (5, "`metrics` when calling `plot_metrics`, expected an iterable of metrics, got int"),
        ("abc", "`metrics` when calling `plot_metrics`, expected an iterable of metrics, got str"),
        (
            models.Metrics(value=1, start_date=NOON),
            "`metrics` when calling `plot_metrics`, expected an iterable of metrics, got Metrics",
        ),
        (
            [("noon", 1)],
            "`metrics[0]` when calling `plot_metrics`, expected Metrics or a pair of a datetime and a number, "
            "got tuple",
        ),
        (
            {"a": [(NOON, 1)], "b": [(NOON, 1), (NOON, "1")]},
            "`metrics['b'][1]` when calling `plot_metrics`, expected Metrics or a pair of a datetime and a number, "
            "got tuple",
        ),
        (
            [(NOON, 1), (NOON.replace(tzinfo=None), 1)],
            "`metrics` when calling `plot_metrics`, must have times with a zone or times without one, not both",
        ),
        (
            dict.fromkeys(("compute", "input_volume", "requests"), hourly(1)),
            "`metrics` when calling `plot_metrics`, must have two units at most, not s, bytes, counts: "
            "draw them separately",
        ),
    ],
    ids=["number", "text", "one metric", "no time", "no number", "zones", "units"],
)
def test_what_can_not_be_drawn_is_refused(metrics: Any, message: str) -> None:
    with pytest.raises((ubiops.ApiTypeError, ubiops.ApiValueError)) as caught:
        plot_metrics(metrics)
    assert str(caught.value) == f"Invalid value for {message}"
    assert pyplot.get_fignums() == []


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # As on a machine without the extra.
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"^plot_metrics needs matplotlib: pip install matplotlib$"):
        plot_metrics(hourly(1))


HEADLESS = """
import sys
from ubiops.utils import plot_metrics, plot_pipeline
from matplotlib.figure import Figure
plot_pipeline({"objects": [], "attachments": []}, ax=plot_metrics([], ax=Figure().subplots()))
assert "matplotlib.pyplot" not in sys.modules
plot_metrics([]).figure.savefig("metrics.png")
plot_pipeline({"objects": [], "attachments": []}).figure.savefig("pipeline.png")
"""


def test_no_display_is_needed(tmp_path: Path) -> None:
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment |= {"PYTHONPATH": str(Path(ubiops.__file__).parents[1]), "MPLCONFIGDIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", HEADLESS]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=60)
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("metrics.png", "pipeline.png"))

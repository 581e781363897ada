"""Metrics of the system and of a project's own, as values over time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import make_line
from test.emulator.project import TestProject
from ubiops.utils import MetricClient

NOW = datetime.now(timezone.utc)
RANGE = {"start_date": (NOW - timedelta(hours=3)).isoformat(), "end_date": (NOW + timedelta(hours=3)).isoformat()}

ROOT = """
    class Deployment:
        def request(self, data):
            return {"y": data["x"] ** 0.5 + (1 / 0 if data["x"] < 0 else 0)}
"""

LARGE = {"date": "2022-01-01T00:00:00Z", "value": 1e101}

OLDER = {
    "requests": "requests",
    "failed_requests": "failed_requests",
    "input_volume": "input_volume",
    "output_volume": "output_volume",
    "request_duration": "compute",
    "memory_utilization": "memory_peak",
    "instances": "instances",
    "credits": "credits",
}


def values(project: TestProject, metric: str, **options: Any) -> list[float]:
    listed = project.api.time_series_data_list("lab", metric=metric, **{**RANGE, **options})
    return [point.value for point in listed.data_points]


@pytest.fixture
def used(project: TestProject) -> TestProject:
    project.deploy(ROOT)
    project.request({"x": 4})
    with pytest.raises(ubiops.exceptions.BadRequestError):
        project.request({"x": -4})
    return project


def test_both_kinds_of_metrics_tell_the_same(used: TestProject) -> None:
    make_line(used)
    used.api.pipeline_requests_create("lab", "line", {"x": 9})
    for name, older in OLDER.items():
        listed = used.api.metrics_get("lab", older, *RANGE.values(), "deployment_version")
        found = values(used, f"deployments.{name}", aggregation_period=3600)
        # The instance lives on from the one question to the other.
        assert [value.value for value in listed] == pytest.approx(found, abs=0.002), name
        assert sum(found) > 0, name
    assert sum(values(used, "deployments.requests")) == 3
    assert sum(values(used, "deployments.failed_requests")) == 1
    for name in ("requests", "object_requests"):
        assert sum(values(used, f"pipelines.{name}")) == 1
    assert sum(values(used, "pipelines.output_volume")) == len('{"y": 3.0}')


def test_periods_are_whole(project: TestProject) -> None:
    def listed(start: str, end: str, **options: Any) -> tuple[int, str, str, int]:
        found = project.api.time_series_data_list(
            "lab", "pipelines.requests", start_date=start, end_date=end, **options
        )
        bounds = (f"{date:%m-%dT%H:%M}" for date in (found.start_date, found.end_date))
        return found.aggregation_period, *bounds, len(found.data_points)

    assert listed("2026-10-12T10:00:30Z", "2026-10-12T10:02:00Z") == (60, "10-12T10:00", "10-12T10:02", 2)
    assert listed("2026-10-12T00:00:00Z", "2026-10-16T00:00:00Z") == (300, "10-12T00:00", "10-16T00:00", 1152)
    two_hours = listed("2026-10-12T03:00:00Z", "2026-10-12T05:00:00Z", aggregation_period=7200)
    assert two_hours == (7200, "10-12T02:00", "10-12T06:00", 2)


def test_the_values_of_a_metric_of_ones_own(project: TestProject) -> None:
    api = project.api
    created = api.metrics_create(
        "lab", {"name": "custom.load", "metric_type": "gauge", "unit": "MW", "labels": ["region", "unused"]}
    )
    assert (created.custom, created.metric_type, created.unit) == (True, "gauge", "MW")
    assert api.metrics_get("lab", "custom.load") == created
    api.metrics_create("lab", {"name": "custom.sales", "metric_type": "delta"})
    assert [metric.name for metric in api.metrics_list("lab", custom=True)] == ["custom.load", "custom.sales"]

    def points(*pairs: tuple[str, float]) -> list[dict[str, Any]]:
        return [{"date": f"2026-10-12T{time}Z", "value": value} for time, value in pairs]

    def insert(metric: str, data: list[dict[str, Any]], **labels: str) -> None:
        api.time_series_data_create("lab", {"metric": metric, "labels": labels, "data": data})

    insert("custom.load", points(("10:00:10", 1), ("10:01:00", 3), ("11:00:00", 8)), region="north")
    insert("custom.load", points(("10:00:00", 7), ("10:00:59", 5)), region="south")
    insert("custom.sales", points(("10:00:00", 2), ("10:30:00", 4)))
    hours = {"start_date": "2026-10-12T10:00:00Z", "end_date": "2026-10-12T12:00:00Z", "aggregation_period": 3600}
    # 1, 3 and the later of the two of one minute.
    assert values(project, "custom.load", **hours) == [3, 8]
    assert values(project, "custom.load", **hours, labels="region:north") == [2, 8]
    assert values(project, "custom.sales", **hours) == [6, 0]
    assert values(project, "custom.sales", **hours, unit_period=60) == [0.1, 0]
    assert values(project, "custom.load", **hours, unit_period=60) == [3, 8]
    found = api.time_series_search("lab", metric="custom.load", labels="region:north")
    assert [(series.metric, series.labels) for series in found] == [("custom.load", {"region": "north"})]
    api.time_series_delete("lab", str(found[0].id))
    assert values(project, "custom.load", **hours) == [5, 0]
    assert [series.labels for series in api.time_series_search("lab", exact_match=True)] == [{}]
    assert api.metrics_update("lab", "custom.load", {"name": "custom.power", "unit": "kW"}).unit == "kW"
    assert values(project, "custom.power", **hours) == [5, 0]
    api.metrics_delete("lab", "custom.power")
    assert [series.metric for series in api.time_series_search("lab")] == ["custom.sales"]


def test_many_count_together(project: TestProject) -> None:
    for kind in ("delta", "gauge"):
        project.api.metrics_create("lab", {"name": f"custom.{kind}", "metric_type": kind})
    clients = [MetricClient("lab", project.api) for _ in range(2)]
    for client in clients:
        client.start()
        for value in (2, 3):
            client.log_metric("custom.delta", {}, value)
            client.log_metric("custom.gauge", {}, value)
        client.stop()
    assert sum(values(project, "custom.delta")) == 10
    assert max(values(project, "custom.gauge")) == 3


def test_the_system_has_its_own_series(used: TestProject) -> None:
    version = used.api.deployment_versions_get("lab", "model", "v1")
    found = used.api.time_series_search("lab", metric="deployments.requests")
    assert [series.labels for series in found] == [{"deployment_version_id": version.id}]
    assert sum(values(used, "deployments.requests", labels=f"deployment_version_id:{version.id}")) == 2
    assert sum(values(used, "deployments.requests", labels="deployment_version_id:none")) == 0
    assert len(used.api.time_series_search("lab", limit=3, offset=1)) == 3
    assert used.api.time_series_search("lab", custom=True) == []
    with pytest.raises(ubiops.exceptions.BadRequestError, match="one of the system's metrics"):
        used.api.time_series_delete("lab", str(found[0].id))
    with pytest.raises(ubiops.exceptions.NotFoundError, match="The time series '7' was not found"):
        used.api.time_series_delete("lab", "7")


@pytest.mark.parametrize(
    ("operation", "arguments", "problem"),
    [
        ("metrics_create", [{"name": "load", "metric_type": "delta"}], "name: 'load' must be 'custom.' and more"),
        ("metrics_create", [{"name": "custom.a", "metric_type": "sum"}], "metric_type: it must be delta or gauge"),
        ("metrics_create", [{"name": "custom.taken", "metric_type": "delta"}], "exists already"),
        ("metrics_delete", ["deployments.requests"], "one of the system's"),
        ("metrics_update", ["pipelines.requests", {"unit": "a"}], "one of the system's"),
        (
            "time_series_data_aggregate",
            [{"metric": "custom.taken", "data": [{"date": "2022-01-01", "value": 1}]}],
            "two minutes",
        ),
        ("time_series_data_create", [{"metric": "custom.taken", "labels": {"a": "b"}, "data": []}], "no label 'a'"),
        ("time_series_data_create", [{"metric": "deployments.requests", "data": []}], "one of the system's"),
        ("time_series_data_create", [{"metric": "custom.taken", "data": [LARGE]}], "from -1e\\+100 to 1e\\+100"),
        ("time_series_data_list", ["custom.taken", "1980-01-01", "9000-01-01"], "more than 50000"),
        ("time_series_data_list", ["custom.none", *RANGE.values()], "metric: there is no 'custom.none'"),
        ("time_series_data_list", ["custom.taken", *RANGE.values(), 61], "aggregation_period: it must be one of 60"),
        ("time_series_data_list", ["custom.taken", "1980-01-01", "2020-01-01", 60], "more than 50000"),
        ("time_series_data_list", ["custom.taken"], "are required"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, operation: str, arguments: list[Any], problem: str) -> None:
    project.api.metrics_create("lab", {"name": "custom.taken", "metric_type": "delta"})
    names = ("metric", "start_date", "end_date", "aggregation_period") if operation.endswith("_list") else ()
    options = dict(zip(names, arguments, strict=False))
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        getattr(project.api, operation)("lab", *([] if names else arguments), **options)


def test_metrics_need_permissions(project: TestProject, callers: Callers) -> None:
    project.api.metrics_create("lab", {"name": "custom.load", "metric_type": "delta"})
    viewer = callers.service_user("project-viewer")
    assert viewer.metrics_get("lab", "custom.load").name == "custom.load"
    with pytest.raises(ubiops.exceptions.ForbiddenError, match=r"metrics\.create"):
        viewer.time_series_data_create("lab", {"metric": "custom.load", "data": []})

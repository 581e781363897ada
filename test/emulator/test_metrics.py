"""Metrics and usage, computed from what ran."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ubiops
from test.emulator.pipelines import finished, make_line
from test.emulator.project import TestProject, wait_until

HALF = """
    class Deployment:
        def requests(self, data):
            if any(item["x"] < 0 for item in data):
                raise ValueError("negative")
            return [{"y": item["x"] / 2} for item in data]
"""

NOW = datetime.now(timezone.utc)


def metric(project: TestProject, name: str, **options: Any) -> Any:
    """The sum of a metric since yesterday."""
    options = {"object_type": "deployment_version", **options}
    start, end = NOW - timedelta(days=1), NOW + timedelta(days=1)
    values = project.api.metrics_get("lab", name, start.isoformat(), end.isoformat(), **options)
    return sum(value.value for value in values)


def run(project: TestProject) -> None:
    """Three requests: one of two items, one that fails, and one of a batch."""
    project.deploy(HALF)
    project.request([{"x": 1}, {"x": 2}])
    with pytest.raises(ubiops.exceptions.BadRequestError):
        project.request({"x": -1})
    [queued] = project.api.batch_deployment_requests_create("lab", "model", [{"x": 3}])
    project.finished([queued.id])


def test_metrics_are_of_what_ran(project: TestProject) -> None:
    run(project)
    assert metric(project, "requests") == 3
    assert metric(project, "failed_requests") == 1
    assert metric(project, "input_volume") == len('[{"x": 1}, {"x": 2}]') + len('{"x": -1}') + len('{"x": 3}')
    assert metric(project, "output_volume") == len('[{"y": 0.5}, {"y": 1.0}]') + len('{"y": 1.5}')
    assert metric(project, "outputs") == 3
    assert 0 < metric(project, "compute") < 30
    # A Python takes some megabytes, and less than a gigabyte.
    assert 2**22 < metric(project, "memory_peak") < 2**30
    assert 0 < metric(project, "active_time") < 60
    assert metric(project, "credits") == pytest.approx(metric(project, "active_time") * 2 / 3600, rel=0.5)
    assert 0 < metric(project, "instances") < 1
    for name in ("express_queue_size", "express_queue_time", "batch_queue_size", "batch_queue_time"):
        assert 0 <= metric(project, name) < 30


def test_metrics_outlive_the_requests(project: TestProject) -> None:
    run(project)
    ids = [request.id for request in project.api.deployment_requests_list("lab", "model")]
    project.api.deployment_requests_batch_delete("lab", "model", ids)
    project.api.deployments_delete("lab", "model")
    assert metric(project, "requests") == 3


def test_metrics_are_of_an_object_or_a_user(project: TestProject) -> None:
    run(project)
    project.deploy_version(version="v2")
    project.api.deployment_version_requests_create("lab", "model", "v2", {"x": 1})
    first, second = (project.api.deployment_versions_get("lab", "model", name).id for name in ("v1", "v2"))
    assert [metric(project, "requests", object_id=id) for id in (first, second)] == [3, 1]
    [user] = project.api.organization_users_list("emulator")
    assert metric(project, "requests", user_id=user.id) == 4
    for options in ({"object_id": "nothing"}, {"user_id": "nobody"}):
        with pytest.raises(ubiops.exceptions.NotFoundError, match="was not found"):
            metric(project, "requests", **options)


@pytest.mark.parametrize(
    ("interval", "start", "end", "bounds"),
    [
        ("minute", "2019-11-13T12:00:00", "2019-11-13T12:02:00", ["13T12:00", "13T12:01", "13T12:02"]),
        (None, "2019-11-13T12:30:00", "2019-11-13T13:30:00", ["13T12:00", "13T13:00", "13T14:00"]),
        ("day", "2019-11-13T12:00:00", "2019-11-14T12:00:00", ["13T00:00", "14T00:00", "15T00:00"]),
    ],
)
def test_the_range_is_divided_into_whole_intervals(
    project: TestProject, interval: str | None, start: str, end: str, bounds: list[str]
) -> None:
    values = project.api.metrics_get("lab", "requests", start, end, "pipeline_version", interval=interval)
    found = [f"{value.start_date:%dT%H:%M}" for value in values] + [f"{values[-1].end_date:%dT%H:%M}"]
    assert found == bounds
    assert [value.value for value in values] == [0] * len(values)


def test_months_are_as_long_as_they_are(project: TestProject) -> None:
    args = ("2020-01-31", "2020-03-01T00:00:01", "deployment_version")
    values = project.api.metrics_get("lab", "credits", *args, interval="month")
    assert [f"{value.start_date:%Y-%m-%d}" for value in values] == ["2020-01-01", "2020-02-01", "2020-03-01"]


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("nothing", {}, "metric: there is no 'nothing' of a deployment_version"),
        ("compute", {"object_type": "pipeline_version"}, "metric: there is no 'compute' of a pipeline_version"),
        ("requests", {"object_type": "bucket"}, "object_type: it must be one of deployment_version, pipeline_version"),
        ("requests", {"interval": "year"}, "interval: it must be one of minute, hour, day, month"),
        ("requests", {"start_date": "2030-01-01"}, "end_date: it must come after start_date"),
        ("requests", {"start_date": "yesterday"}, "start_date: 'yesterday' is not a date"),
        ("requests", {"start_date": "1980-01-01", "interval": "minute"}, "there are more than 50000"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, name: str, options: dict[str, Any], problem: str) -> None:
    arguments = {"start_date": "2022-01-01", "end_date": "2022-01-02", "object_type": "deployment_version", **options}
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.api.metrics_get("lab", name, **arguments)


def usage(listed: Any) -> dict[tuple[str, str], list[float]]:
    return {(each.object_type, each.metric): [period.value for period in each.usage] for each in listed}


def test_usage_is_of_the_present_period_of_the_subscription(project: TestProject) -> None:
    run(project)
    for listed in (project.api.projects_usage_get("lab"), project.api.organizations_usage_get("emulator")):
        values = usage(listed)
        assert list(values) == [
            ("deployment_version", "credits"),
            ("deployment_version", "input_volume"),
            ("deployment_version", "output_volume"),
            ("pipeline_version", "input_volume"),
            ("pipeline_version", "output_volume"),
        ]
        assert values["deployment_version", "input_volume"] == [metric(project, "input_volume")]
        [period] = listed[0].usage
        assert period.start_date <= datetime.now(timezone.utc) < period.end_date
        assert 28 <= (period.end_date - period.start_date).days <= 31


def test_usage_is_of_the_period_given(project: TestProject) -> None:
    run(project)
    args = {"start_date": "2020-11-12T00:00:00Z", "end_date": "2020-12-12T00:00:00Z"}
    [period] = project.api.projects_usage_get("lab", **args)[0].usage
    assert (f"{period.start_date:%m-%d}", f"{period.end_date:%m-%d}", period.value) == ("11-12", "12-12", 0)
    days = project.api.organizations_usage_get("emulator", **args, interval="day")[0].usage
    assert len(days) == 30
    [period] = project.api.projects_usage_get("lab", start_date="2020-01-31T00:00:00Z")[0].usage
    assert f"{period.end_date:%m-%d}" == "02-29"
    [period] = project.api.projects_usage_get("lab", end_date="2020-03-15T00:00:00Z")[0].usage
    assert f"{period.start_date:%m-%d}" == "02-15"
    with pytest.raises(ubiops.exceptions.BadRequestError, match="interval: it must be day or month"):
        project.api.projects_usage_get("lab", interval="hour")


def test_resources_are_counted(project: TestProject) -> None:
    api = project.api
    project.create_deployment()
    project.create_version("v1")
    project.create_version("v2")
    api.projects_create({"name": "other", "organization_name": "emulator"})
    fields = {"input_type": "plain", "output_type": "plain"}
    api.pipelines_create("other", {"name": "p", **fields})
    api.pipeline_versions_create("other", "p", {"version": "v1"})
    assert api.projects_resource_usage("lab").to_dict() == {
        "deployments": 1,
        "deployment_versions": 2,
        "pipelines": 0,
        "pipeline_versions": 0,
        "gpus": 0,
        "buckets": 1,
        "environments": 0,
    }
    assert api.organizations_resource_usage("emulator").to_dict() == {
        "projects": 2,
        "users": 1,
        "deployments": 1,
        "deployment_versions": 2,
        "pipelines": 1,
        "pipeline_versions": 1,
        "gpus": 0,
        "buckets": 2,
        "environments": 0,
    }


def test_gpus_in_use_are_counted(project: TestProject) -> None:
    project.create_deployment()
    project.deploy_version(instance_type="16384mb_t4", minimum_instances=1)
    wait_until(lambda: project.api.projects_resource_usage("lab").gpus, lambda gpus: gpus == 1)


def test_pipelines_are_measured(project: TestProject) -> None:
    api = project.api
    project.deploy()
    fields: dict[str, Any] = {"input_type": "structured", "output_type": "structured"}
    fields |= {"input_fields": [{"name": "x", "data_type": "double"}]}
    fields |= {"output_fields": [{"name": "y", "data_type": "double"}]}
    api.pipelines_create("lab", {"name": "p", **fields})
    mapping = {"x": [{"source_field_name": "x", "destination_field_name": "x"}]}
    mapping |= {"y": [{"source_field_name": "y", "destination_field_name": "y"}]}
    attachments = [
        {"destination_name": "step", "sources": [{"source_name": "pipeline_start", "mapping": mapping["x"]}]},
        {"destination_name": "pipeline_end", "sources": [{"source_name": "step", "mapping": mapping["y"]}]},
    ]
    objects = [{"name": "step", "reference_name": "model"}]
    api.pipeline_versions_create("lab", "p", {"version": "v1", "objects": objects, "attachments": attachments})
    assert api.pipeline_requests_create("lab", "p", {"x": 2}).result == {"y": 4}
    assert metric(project, "requests", object_type="pipeline_version") == 1
    assert metric(project, "failed_requests", object_type="pipeline_version") == 0
    assert metric(project, "object_requests", object_type="pipeline_version") == 1
    assert metric(project, "input_volume", object_type="pipeline_version") == len('{"x": 2}')
    assert metric(project, "requests") == 1


def test_a_cancelled_request_has_not_failed(project: TestProject, gated: Callable[[], None]) -> None:
    [request] = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    wait_until(
        lambda: project.api.deployment_requests_get("lab", "model", request.id), lambda found: found.status != "pending"
    )
    project.api.deployment_requests_update("lab", "model", request.id, {"status": "cancelled"})
    assert project.finished([request.id])[request.id].status == "cancelled"
    assert (metric(project, "requests"), metric(project, "failed_requests")) == (1, 0)


def test_a_cancelled_request_to_a_pipeline_has_not_failed(project: TestProject, gated: Callable[[], None]) -> None:
    make_line(project)
    [request] = project.api.batch_pipeline_requests_create("lab", "line", [{"x": 1}])
    wait_until(lambda: project.api.deployment_requests_list("lab", "model"), lambda found: len(found) == 1)
    project.api.pipeline_requests_update("lab", "line", request.id, {"status": "cancelled"})
    assert finished(project, [request.id])[request.id].status == "cancelled"
    counts = [metric(project, name, object_type="pipeline_version") for name in ("requests", "failed_requests")]
    assert counts == [1, 0]

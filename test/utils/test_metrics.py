"""Metrics as points in time."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest

import ubiops
from test.emulator.pipelines import attach, deployment, make_pipeline
from test.emulator.project import TestProject
from ubiops.exceptions import ApiTypeError, ApiValueError, BadRequestError, NotFoundError
from ubiops.utils import MetricPoint, metrics


def total(points: list[MetricPoint]) -> float:
    return sum(point.value or 0 for point in points)


@pytest.fixture
def busy(project: TestProject) -> TestProject:
    """Two requests to the default version, three to the other, one of these through a pipeline."""
    project.deploy()
    project.deploy_version(version="v2")
    wires = [attach("m", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"m": {"y": "y"}})]
    make_pipeline(project, [deployment("m", version="v2")], wires)
    for number in range(2):
        project.request({"x": number})
        project.api.deployment_version_requests_create("lab", "model", "v2", {"x": number})
    project.api.pipeline_requests_create("lab", "line", {"x": 1})
    return project


def test_points_are_moments_and_values(busy: TestProject) -> None:
    now = datetime.now(timezone.utc)
    points = metrics(busy.api, "lab", "requests", now - timedelta(minutes=90), now + timedelta(seconds=1))
    hours = [point.date for point in points]
    assert hours[0] == (now - timedelta(minutes=90)).replace(minute=0, second=0, microsecond=0)
    assert {later - earlier for earlier, later in itertools.pairwise(hours)} == {timedelta(hours=1)}
    assert total(points) == 5
    dates, values = zip(*points, strict=True)
    assert (list(dates), sum(values)) == (hours, 5)
    minutes = metrics(busy.api, "lab", "requests", now - timedelta(minutes=5), interval="minute")
    assert len(minutes) in (6, 7)
    assert total(minutes) == 5


def test_a_moment_may_have_any_zone(busy: TestProject) -> None:
    start, end = datetime(2022, 11, 3, 9, 30), datetime(2022, 11, 3, 11)
    points = metrics(busy.api, "lab", "requests", start, end)
    assert [point.date.isoformat() for point in points] == ["2022-11-03T09:00:00+00:00", "2022-11-03T10:00:00+00:00"]
    east = timezone(timedelta(hours=5, minutes=30))
    aware = [moment.replace(tzinfo=timezone.utc).astimezone(east) for moment in (start, end)]
    assert metrics(busy.api, "lab", "requests", *aware) == points
    assert {point.value for point in points} == {0}


def test_a_version_is_found_by_its_name(busy: TestProject) -> None:
    read: Any = partial(metrics, busy.api.api_client, "lab", start=datetime.now(timezone.utc) - timedelta(hours=1))
    assert total(read("requests")) == 5
    assert total(read("requests", deployment_name="model")) == 2
    assert total(read("requests", deployment_name="model", version="v2")) == 3
    assert total(read("requests", pipeline_name="line")) == 1
    assert total(read("requests", pipeline_name="line", version="v1")) == 1
    assert total(read("object_requests", object_type="pipeline_version")) == 1
    user = busy.api.organization_users_list("emulator")[0].id
    assert total(read("requests", user_id=user, deployment_name="model")) == 2


def test_what_is_not_there(busy: TestProject) -> None:
    read: Any = partial(metrics, busy.api, start=datetime.now(timezone.utc) - timedelta(hours=1))
    for call in (
        partial(read, "nowhere", "requests"),
        partial(read, "lab", "requests", deployment_name="other"),
        partial(read, "lab", "requests", deployment_name="model", version="v3"),
        partial(read, "lab", "requests", pipeline_name="other"),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(BadRequestError, match="there is no 'request_duration' of a deployment_version"):
        read("lab", "request_duration")
    busy.create_deployment("empty")
    with pytest.raises(ApiValueError, match="the deployment empty has no default version"):
        read("lab", "requests", deployment_name="empty")
    busy.api.pipelines_create("lab", {"name": "bare", "input_type": "plain", "output_type": "plain"})
    with pytest.raises(ApiValueError, match="the pipeline bare has no default version"):
        read("lab", "requests", pipeline_name="bare")


def test_bad_arguments_are_refused_before_anything_is_sent(unreachable: ubiops.CoreApi) -> None:
    start = datetime(2022, 11, 3)
    read: Any = partial(metrics, unreachable, "lab", "requests")
    for call, kind, problem in (
        (partial(read, 5), ApiTypeError, "`start` .* expected datetime or str, got int"),
        (partial(read, "noon"), ApiValueError, "`start` .* ISO 8601, not 'noon'"),
        (partial(read, start, start), ApiValueError, "`end` .* must be after `start`"),
        (partial(read, datetime(2999, 1, 1)), ApiValueError, "`end` .* must be after `start`"),
        (partial(read, start, interval="week"), ApiValueError, "`interval` .* one of minute, hour, day, month"),
        (partial(read, start, version="v1"), ApiValueError, "`version` .* must come with `deployment_name`"),
        (partial(read, start, deployment_name="a", pipeline_name="b"), ApiValueError, "`pipeline_name` .* together"),
        (
            partial(read, start, deployment_name="a", object_type="pipeline_version"),
            ApiValueError,
            "`object_type` .* must be deployment_version",
        ),
    ):
        with pytest.raises(kind, match=problem):
            call()

"""The logs of a project."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

import ubiops
from test.emulator.log import write_log
from test.emulator.project import TestProject
from ubiops.emulator import Emulator

CODE = """
    import sys

    class Deployment:
        def __init__(self):
            print("initialized")

        def request(self, data):
            print("asked", data["x"])
            print("warned", data["x"], file=sys.stderr)
            return {"y": 0}
"""


@pytest.fixture
def talking(project: TestProject) -> TestProject:
    project.deploy(CODE)
    for number in (1, 2):
        project.request({"x": number})
    return project


def test_each_line_knows_where_it_is_from(talking: TestProject) -> None:
    requests = talking.api.deployment_requests_list("lab", "model", sort="asc")
    [line] = talking.api.projects_log_list(
        "lab", data={"filters": {"deployment_request_id": requests[1].id, "level": "info"}}
    )
    assert (line.log, line.level, line.system) == ("asked 2", "info", False)
    assert (line.deployment_name, line.deployment_version) == ("model", "v1")
    assert (line.deployment_request_id, line.build_id) == (requests[1].id, None)
    assert len(line.id or "") == 24
    [build] = talking.api.builds_list("lab", "model", "v1")
    assert talking.log(build_id=build.id) == ["initialized"]
    assert talking.log(build_id=build.id, system=True) == ["Build started", "Build finished"]


def test_filters_go_together(talking: TestProject) -> None:
    assert talking.log(level="error") == ["warned 1", "warned 2"]
    assert talking.log(deployment_name="model", deployment_version="v1", level="error") == ["warned 1", "warned 2"]
    assert talking.log(deployment_name="other") == []
    assert talking.log(pipeline_name="any") == []
    for filters, problem in (
        ({"deployment_version": "v1"}, "deployment_version needs deployment_name"),
        ({"color": "red"}, "there is no filter 'color'"),
        ({"system": "perhaps"}, "filters.system: it must be true or false"),
    ):
        with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
            talking.log(**filters)


def test_the_window_goes_back_from_now_or_forward_from_a_date(talking: TestProject) -> None:
    def logs(**data: Any) -> list[str | None]:
        data = {"filters": {"level": "error"}, **data}
        return [line.log for line in talking.api.projects_log_list("lab", data=data)]

    now = datetime.datetime.now(datetime.timezone.utc)
    hour = datetime.timedelta(hours=1)
    assert logs() == ["warned 2", "warned 1"]
    assert logs(date=(now - hour).isoformat(), date_range=7200) == ["warned 1", "warned 2"]
    assert logs(date=(now - hour).replace(tzinfo=None).isoformat(), date_range=60) == []
    assert logs(date=(now + hour).isoformat(), date_range=-60) == []
    assert logs(limit=1) == ["warned 2"]
    newest = talking.api.projects_log_list("lab", data={"filters": {"level": "error"}})[0]
    assert logs(id=newest.id) == ["warned 2", "warned 1"]
    assert logs(id=newest.id, date_range=100) == ["warned 2"]
    for data, problem in (
        ({"date_range": 86401}, "date_range"),
        ({"limit": 501}, "limit: it must be from 1 to 500, not 501"),
        ({"date": "soon"}, "date: 'soon' is not a date"),
        ({"id": "z" * 24}, "24 hexadecimal digits"),
    ):
        with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
            logs(**data)
    with pytest.raises(ubiops.exceptions.NotFoundError, match="log line"):
        logs(id="f" * 24)


def test_without_a_body_the_newest_lines_come(talking: TestProject) -> None:
    lines = talking.api.projects_log_list("lab")
    assert {"warned 2", "asked 2"} == {line.log for line in lines[:2]}
    assert lines[-1].log == "Build started"


def test_a_line_that_arrives_late_stands_where_its_moment_is(emulator: Emulator, project: TestProject) -> None:
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=5)
    moments = [start + datetime.timedelta(seconds=second) for second in (0, 2, 2, 4)]
    write_log(emulator, zip(moments, ("first", "third", "fourth", "fifth"), strict=True))
    write_log(emulator, [(start + datetime.timedelta(seconds=1), "second")])

    def logs(**data: Any) -> list[Any]:
        return list(project.api.projects_log_list("lab", data=data))

    forward = logs(date=start.isoformat(), date_range=600)
    assert [line.log for line in forward] == ["first", "second", "third", "fourth", "fifth"]
    assert logs() == forward[::-1]
    for index, line in enumerate(forward):
        assert logs(id=line.id, date_range=600) == forward[index:]
        assert logs(id=line.id, date_range=-600) == forward[index::-1]

"""Requests: direct and in batches, checked, run, listed, collected, cancelled, deleted."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import pytest

import ubiops
from test.each import each
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def fields(**types: str) -> list[dict[str, str]]:
    return [{"name": name, "data_type": data_type} for name, data_type in types.items()]


ECHOED: dict[str, Any] = {
    "int": 1,
    "double": 0.5,
    "string": "a",
    "bool": True,
    "array_int": [1],
    "array_double": [0.5],
    "array_string": ["a"],
}
"""A value of each type."""


@pytest.fixture
def echo(project: TestProject) -> TestProject:
    """With a deployment that returns its input: a field of each type, which it is named after."""
    types = fields(**{data_type: data_type for data_type in ECHOED})
    code = "class Deployment:\n    def request(self, data): return data"
    project.deploy(code, input_fields=types, output_fields=types)
    return project


@pytest.fixture
def deployed(project: TestProject) -> TestProject:
    """With a deployment that doubles."""
    project.deploy()
    return project


# Direct requests


@pytest.mark.usefixtures("deployed")
def test_a_direct_request_waits_for_its_result(project: TestProject) -> None:
    response = project.api.deployment_requests_create("lab", "model", {"x": 1.5})
    assert (response.deployment, response.version) == ("model", "v1")
    assert (response.success, response.result, response.error_message) == (True, {"y": 3.0}, None)
    stored = project.api.deployment_requests_get("lab", "model", response.id)
    assert (stored.status, stored.success, stored.request_data, stored.result) == (
        "completed",
        True,
        {"x": 1.5},
        {"y": 3.0},
    )
    assert stored.time_created <= stored.time_started <= stored.time_completed
    assert stored.created_by == "admin@emulator.local"
    assert stored.origin == {"deployment": "model", "deployment_version": "v1"}


@pytest.mark.usefixtures("deployed")
def test_a_version_other_than_the_default_is_asked_by_name(project: TestProject) -> None:
    project.deploy_version("class Deployment:\n    def request(self, data): return {'y': 0}", "v2")
    assert project.request({"x": 1}) == {"y": 2}
    response = project.api.deployment_version_requests_create("lab", "model", "v2", {"x": 1})
    assert (response.version, response.result) == ("v2", {"y": 0})
    with pytest.raises(ubiops.exceptions.NotFoundError, match=f"'{response.id}' was not found in the version 'v1'"):
        project.api.deployment_requests_get("lab", "model", response.id)


@each(
    ("data_type", "value"),
    [
        ("int", 2**60),
        ("int", 5.0),
        ("double", 5),
        ("double", -1e-3),
        ("double", 10**400),
        ("string", "ü\n\u2028 \x00"),
        ("bool", False),
        ("array_int", []),
        ("array_double", [1, 2.5]),
        ("array_string", ["", "a"]),
    ],
)
def test_values_of_each_type_go_in_and_out(echo: TestProject, data_type: str, value: Any) -> None:
    assert echo.request({**ECHOED, data_type: value}) == {**ECHOED, data_type: value}


@each(
    ("data_type", "value"),
    [
        ("int", 1.5),
        ("int", True),
        ("int", "1"),
        ("int", None),
        ("double", "1"),
        ("double", False),
        ("string", 1),
        ("bool", 0),
        ("array_int", 1),
        ("array_int", [1, "2"]),
        ("array_string", "ab"),
    ],
)
def test_a_value_of_another_type_is_400(echo: TestProject, data_type: str, value: Any) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match=f"field '{data_type}' must be of type {data_type}"):
        echo.request({**ECHOED, data_type: value})
    assert echo.api.deployment_requests_list("lab", "model") == []


@each(
    ("data", "problem"),
    [
        ({}, "The input lacks the field 'x'"),
        ({"x": 1, "z": 2}, "The input has the unknown field 'z'; its fields are 'x'"),
        ([{"x": 1}, {}], r"The input \[1\] lacks the field 'x'"),
        ([], "The list of inputs is empty"),
        ("text", "The input must be a dictionary of its fields, not str"),
        (5, "The input must be a dictionary of its fields, not int"),
    ],
)
def test_an_input_that_does_not_fit_is_400(deployed: TestProject, data: Any, problem: str) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        deployed.request(data)


def test_plain_data_is_text(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return data.upper()
    """
    plain: dict[str, Any] = {"input_type": "plain", "output_type": "plain", "input_fields": [], "output_fields": []}
    project.deploy(code, **plain)
    assert project.request("über") == "ÜBER"
    assert project.request(["a", "b"]) == ["A", "B"]
    assert project.request("") == ""
    with pytest.raises(ubiops.exceptions.BadRequestError, match="must be a string"):
        project.request({"x": 1})


@pytest.mark.usefixtures("deployed")
def test_timeouts_have_bounds(project: TestProject) -> None:
    assert project.request({"x": 1}, timeout=3600) == {"y": 2}
    for timeout in (9, 3601):
        with pytest.raises(ubiops.exceptions.BadRequestError, match=f"from 10 to 3600 seconds, not {timeout}"):
            project.request({"x": 1}, timeout=timeout)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="from 10 to 172800 seconds, not 172801"):
        project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}], timeout=172801)


# What the code does


def test_an_exception_fails_the_request_and_stays_in_the_log(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                raise ValueError("internal detail")
    """
    project.deploy(code)
    with pytest.raises(ubiops.exceptions.BadRequestError) as caught:
        project.request({"x": 1})
    assert caught.value.body is not None
    assert "An exception occurred in the request. See the logs for details." in caught.value.body
    assert "internal detail" not in caught.value.body
    [request] = project.api.deployment_requests_list("lab", "model")
    assert (request.status, request.success) == ("failed", False)
    lines = project.log(deployment_request_id=request.id, level="error")
    assert lines[-1] == "ValueError: internal detail"


def test_a_public_error_message_reaches_the_caller(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                error = ValueError("internal detail")
                error.public_error_message = "x is too large"
                raise error
    """
    project.deploy(code)
    with pytest.raises(ubiops.exceptions.BadRequestError, match="Error: x is too large"):
        project.request({"x": 1})


def test_numpy_in_outputs_becomes_numbers_and_lists(project: TestProject) -> None:
    code = """
        from numpy import arange, bool_, float32, int64

        class Deployment:
            def request(self, data):
                return {"n": int64(3), "y": float32(1.5), "b": bool_(True), "a": arange(3), "m": [int64(1)]}
    """
    types = {"n": "int", "y": "double", "b": "bool", "a": "array_int", "m": "array_int"}
    project.deploy(code, output_fields=[{"name": name, "data_type": kind} for name, kind in types.items()])
    assert project.request({"x": 1}) == {"n": 3, "y": 1.5, "b": True, "a": [0, 1, 2], "m": [1]}


@pytest.fixture
def failing(project: TestProject) -> TestProject:
    """With a deployment that runs the statement that it gets."""
    code = """
        class Deployment:
            def request(self, data):
                exec(f"def run():\\n    {data['statement']}", names := {})
                return names["run"]()
    """
    project.deploy(code, input_fields=fields(statement="string"))
    return project


@each(
    ("statement", "problem"),
    [
        ("return {}", "The output lacks the field 'y'"),
        ("return {'y': 'text'}", "The output field 'y' must be of type double, not str ('text')"),
        ("return {'y': 1, 'z': 1}", "The output has the unknown field 'z'"),
        ("return None", "The output must be a dictionary of its fields, not NoneType"),
        ("return {'y': float('nan')}", "The output can't be written as JSON"),
        ("return {'y': object()}", "The output can't be written as JSON"),
        ("import os; os._exit(9)", "The instance stopped unexpectedly (exit code 9)"),
        # The child holds the socket to the emulator open.
        (
            "import os, time; os.fork() or time.sleep(60); os._exit(9)",
            "The instance stopped unexpectedly (exit code 9)",
        ),
        ("import sys; sys.exit(1)", "The instance stopped unexpectedly (exit code 1)"),
        ("import os; os.kill(os.getpid(), 9)", "The instance stopped unexpectedly (SIGKILL)"),
    ],
)
def test_what_fails_a_request(failing: TestProject, statement: str, problem: str) -> None:
    for _ in range(2):
        with pytest.raises(ubiops.exceptions.BadRequestError) as caught:
            failing.request({"statement": statement})
        assert problem in str(caught.value)


def test_after_a_crash_there_is_a_new_instance(project: TestProject) -> None:
    code = """
        import os

        class Deployment:
            def request(self, data):
                if data["x"] < 0:
                    os._exit(1)
                return {"y": os.getpid()}
    """
    project.deploy(code)
    first = project.request({"x": 1})
    assert project.request({"x": 1}) == first
    with pytest.raises(ubiops.exceptions.BadRequestError, match="stopped unexpectedly"):
        project.request({"x": -1})
    assert project.request({"x": 1}) != first


def test_the_dispatch_of_lists(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return {"y": data["x"]}

            def requests(self, data):
                return [{"y": -len(data)} for item in data]
    """
    project.deploy(code)
    assert project.request({"x": 7}) == {"y": 7}
    assert project.request([{"x": 7}]) == [{"y": -1}]
    project.deploy_version(code.replace("def requests", "def other"), "v2")
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    assert project.request([{"x": 7}, {"x": 8}]) == [{"y": 7}, {"y": 8}]
    project.deploy_version(code.replace("def request(", "def other("), "v3")
    project.api.deployments_update("lab", "model", {"default_version": "v3"})
    assert project.request([{"x": 7}, {"x": 8}]) == [{"y": -2}, {"y": -2}]
    assert project.request({"x": 7}) == {"y": -1}


def test_code_is_told_who_asks_and_which_process_answers(project: TestProject) -> None:
    project.deploy(
        """
        class Deployment:
            def request(self, data, context):
                return {"y": [context["user_id"], str(context["process_id"])]}
    """,
        output_fields=fields(y="array_string"),
    )
    assert project.request({"x": 1}) == {"y": [project.api.user_get().id, "0"]}


def test_the_contexts(project: TestProject) -> None:
    code = """
        class Deployment:
            def __init__(self, base_directory, context):
                keys = ("project", "deployment", "version", "input_type", "output_type", "language")
                self.initial = [context[key] for key in keys] + [context["input_fields"][0]["name"]]

            def request(self, data, context):
                return {"y": self.initial + [context["id"], context["request_mode"]]}
    """
    project.deploy(code, output_fields=fields(y="array_string"))
    response = project.api.deployment_requests_create("lab", "model", {"x": 1})
    of_version = ["lab", "model", "v1", "structured", "structured", "python3.7", "x"]
    assert response.result["y"] == [*of_version, response.id, "express"]
    [queued] = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    assert project.finished([queued.id])[queued.id].result["y"] == [*of_version, queued.id, "batch"]


def test_what_the_code_writes_does_not_disturb_its_answers(project: TestProject) -> None:
    code = """
        import os
        import subprocess
        import sys

        class Deployment:
            def request(self, data):
                print("a" * 200_000)
                os.write(1, b'{"result": {"y": 0}}\\n')
                subprocess.run(["echo", "from a child"])
                sys.stderr.write("no newline at the end")
                return {"y": 1}
    """
    project.deploy(code)
    response = project.api.deployment_requests_create("lab", "model", {"x": 1})
    assert response.result == {"y": 1}
    lines = project.api.projects_log_list("lab", data={"filters": {"deployment_request_id": response.id}})
    assert [(line.level, line.log) for line in reversed(lines) if line.level == "info"] == [
        ("info", "a" * 200_000),
        ("info", '{"result": {"y": 0}}'),
        ("info", "from a child"),
    ]
    assert [line.log for line in lines if line.level == "error"] == ["no newline at the end"]


def test_large_data_goes_in_and_out(echo: TestProject) -> None:
    large = {**ECHOED, "string": "x" * 5_000_000}
    assert echo.request(large) == large


def test_text_that_is_no_utf8_comes_back_escaped(project: TestProject) -> None:
    code = "class Deployment:\n    def request(self, data):\n        return {'y': chr(0xD800)}\n"
    project.deploy(code, output_fields=fields(y="string"))
    assert project.request({"x": 1}) == {"y": "\ud800"}


# Batches


@pytest.mark.usefixtures("deployed")
def test_a_batch_is_queued_and_collected(project: TestProject) -> None:
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": number} for number in range(20)])
    assert {request.status for request in created} == {"pending"}
    finished = project.finished([request.id for request in created])
    assert [finished[request.id].result for request in created] == [{"y": number * 2} for number in range(20)]
    assert [finished[request.id].request_data for request in created] == [{"x": number} for number in range(20)]
    assert list(finished) != [request.id for request in created]


def test_a_batch_keeps_its_data_as_it_is(project: TestProject) -> None:
    inputs = [{"x": value} for value in (1, 2.5, -1e-300, 10**400)]
    project.deploy("class Deployment:\n    def request(self, data): return {'y': 0}")
    ids = [request.id for request in project.api.batch_deployment_requests_create("lab", "model", inputs)]
    requests = project.finished(ids)
    assert [requests[id].request_data for id in ids] == inputs


@pytest.mark.usefixtures("deployed")
def test_one_input_alone_is_a_batch_too(project: TestProject) -> None:
    [created] = project.api.batch_deployment_version_requests_create("lab", "model", "v1", {"x": 4})
    assert project.finished([created.id])[created.id].result == {"y": 8}


@each(
    ("data", "problem"),
    [
        ([{"x": 1}, {"x": "a"}], r"The input \[1\] field 'x' must be of type double"),
        ([{"x": 1}] * 251, "from 1 to 250 requests, not 251"),
        ([], "from 1 to 250 requests, not 0"),
        ([[{"x": 1}]], "Each input of a batch is one request"),
    ],
)
def test_a_batch_is_refused_as_a_whole(deployed: TestProject, data: Any, problem: str) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        deployed.api.batch_deployment_requests_create("lab", "model", data)
    assert deployed.api.deployment_requests_list("lab", "model") == []


@pytest.mark.usefixtures("deployed")
def test_a_notification_group_must_be_there(project: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.NotFoundError, match="notification group 'team' was not found"):
        project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}], notification_group="team")


@pytest.mark.usefixtures("deployed")
def test_a_full_queue_is_429(project: TestProject) -> None:
    project.api.deployment_versions_update("lab", "model", "v1", {"maximum_queue_size_batch": 3})
    project.api.api_client.configuration.retries = 0
    with pytest.raises(ubiops.exceptions.TooManyRequestsError, match=r"is full \(3 requests\)"):
        project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}] * 4)


def test_a_batch_stays_with_the_version_it_was_made_for(project: TestProject, gated: Callable[[], None]) -> None:
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    project.deploy_version(version="v2")
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    gated()
    finished = wait_until(
        lambda: project.api.deployment_version_requests_get("lab", "model", created[0].id, "v1"),
        lambda request: request.time_completed is not None,
    )
    assert (finished.version, finished.result) == ("v1", {"y": 1.0})


# Cancelling


def wait_for_status(project: TestProject, request_id: str, status: str) -> None:
    wait_until(
        lambda: project.api.deployment_requests_get("lab", "model", request_id),
        lambda request: request.status == status,
    )


def test_requests_are_cancelled(project: TestProject, gated: Callable[[], None]) -> None:
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}] * 3)
    running, waiting, last = [request.id for request in created]
    wait_for_status(project, running, "processing")
    cancel = {"status": "cancelled"}
    assert project.api.deployment_requests_update("lab", "model", waiting, cancel).status == "cancelled"
    stopping = project.api.deployment_version_requests_update("lab", "model", running, "v1", cancel)
    assert stopping.status == "cancelled_pending"
    wait_for_status(project, running, "cancelled")
    wait_for_status(project, last, "processing")
    gated()
    finished = project.finished([running, waiting, last])
    assert [(finished[id].status, finished[id].success) for id in (running, waiting, last)] == [
        ("cancelled", False),
        ("cancelled", False),
        ("completed", True),
    ]
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The request is completed; only one that"):
        project.api.deployment_requests_update("lab", "model", last, cancel)
    project.api.api_client.client_side_validation = False
    with pytest.raises(ubiops.exceptions.BadRequestError, match="status"):
        project.api.deployment_requests_update("lab", "model", last, {"status": "completed"})


@pytest.mark.usefixtures("deployed")
def test_one_that_was_cancelled_does_not_begin(emulator: Emulator, project: TestProject) -> None:
    [request] = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    project.finished([request.id])
    engine = emulator._engine
    running = engine._read(request.id)
    assert running is not None

    async def begin() -> None:
        # Below the API, since it happens by itself, 50 ms after the request has begun.
        engine._begin(running)

    emulator._in_server(begin)
    assert project.api.deployment_requests_get("lab", "model", request.id).status == "completed"


def test_a_cancelled_direct_request_answers(project: TestProject, gated: Callable[[], None]) -> None:
    waiting = project.api.deployment_requests_create("lab", "model", {"x": 1}, async_req=True)
    [request] = wait_until(
        lambda: project.api.deployment_requests_list("lab", "model", status="processing"), lambda found: len(found) == 1
    )
    project.api.deployment_requests_update("lab", "model", request.id, {"status": "cancelled"})
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The request was cancelled"):
        waiting.get(30)


def test_deleting_a_version_ends_what_runs_on_it(project: TestProject, gated: Callable[[], None]) -> None:
    waiting = project.api.deployment_requests_create("lab", "model", {"x": 1}, async_req=True)
    wait_until(
        lambda: project.api.deployment_requests_list("lab", "model", status="processing"), lambda found: len(found) == 1
    )
    project.api.deployment_versions_delete("lab", "model", "v1")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="instances of this version were stopped"):
        waiting.get(30)


# What is kept


@pytest.mark.usefixtures("deployed")
def test_all_or_nothing_is_collected(project: TestProject) -> None:
    created = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}] * 3)
    ids = [request.id for request in created]
    for collect in (project.api.deployment_requests_batch_get, project.api.deployment_requests_batch_delete):
        with pytest.raises(ubiops.exceptions.NotFoundError, match=UNKNOWN):
            collect("lab", "model", [*ids, UNKNOWN])
        with pytest.raises(ubiops.exceptions.BadRequestError, match="from 1 to 250 ids, not 251"):
            collect("lab", "model", [UNKNOWN] * 251)
    assert len(project.api.deployment_version_requests_batch_get("lab", "model", "v1", ids)) == 3
    assert project.api.deployment_version_requests_batch_delete("lab", "model", "v1", ids[:2]) == {}
    assert [request.id for request in project.api.deployment_requests_list("lab", "model")] == ids[2:]
    assert project.api.deployment_requests_batch_delete("lab", "model", ids[2:]) == {}
    assert project.api.deployment_requests_list("lab", "model") == []


@pytest.mark.usefixtures("deployed")
def test_a_request_is_deleted(project: TestProject) -> None:
    response = project.api.deployment_requests_create("lab", "model", {"x": 1})
    project.api.deployment_requests_delete("lab", "model", response.id)
    with pytest.raises(ubiops.exceptions.NotFoundError, match=f"request '{response.id}' was not found"):
        project.api.deployment_requests_get("lab", "model", response.id)
    other = project.api.deployment_version_requests_create("lab", "model", "v1", {"x": 1})
    project.api.deployment_version_requests_delete("lab", "model", other.id, "v1")
    assert project.api.deployment_version_requests_list("lab", "model", "v1") == []


@pytest.mark.usefixtures("deployed")
def test_metadata_only_leaves_the_data_out(project: TestProject) -> None:
    response = project.api.deployment_requests_create("lab", "model", {"x": 1})
    request = project.api.deployment_requests_get(
        "lab", "model", response.id, metadata_only=True, _preload_content=False
    ).json()
    assert request["status"] == "completed"
    assert {"request_data", "result"} & request.keys() == set()


@pytest.mark.parametrize(("mode", "number", "data"), [("full", 1, {"x": 1}), ("metadata", 1, None), ("none", 0, None)])
@pytest.mark.usefixtures("deployed")
def test_the_retention_mode_says_what_is_kept(project: TestProject, mode: str, number: int, data: Any) -> None:
    project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_mode": mode})
    assert project.request({"x": 1}) == {"y": 2}
    stored = project.api.deployment_requests_list("lab", "model")
    assert len(stored) == number
    for request in stored:
        detail = project.api.deployment_requests_get("lab", "model", request.id)
        assert (detail.status, detail.request_data) == ("completed", data)
        assert detail.result == (None if data is None else {"y": 2})


def test_the_filters_of_the_list(project: TestProject) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return {"y": 1 / data["x"]}
    """
    project.deploy(code)
    ids = []
    for x in (1, 2, 0):
        [created] = project.api.batch_deployment_requests_create("lab", "model", [{"x": x}])
        ids.append(created.id)
    finished = project.finished(ids)

    def listed(**filters: Any) -> list[int]:
        return [ids.index(request.id) for request in project.api.deployment_requests_list("lab", "model", **filters)]

    assert listed() == [2, 1, 0]
    assert listed(sort="asc") == [0, 1, 2]
    assert listed(status="failed") == listed(success=False) == [2]
    assert listed(success=True) == [1, 0]
    assert listed(limit=2) == [2, 1]
    assert listed(limit=2, offset=2) == [0]
    assert listed(pipeline=True) == []
    assert listed(pipeline=False) == [2, 1, 0]
    assert listed(search_id=ids[1][9:23]) == [1]
    created = finished[ids[1]].time_created
    millisecond = datetime.timedelta(milliseconds=1)
    assert listed(end_date=(created - millisecond).isoformat()) == [0]
    assert listed(start_date=(created + millisecond).isoformat()) == [2]
    assert listed(start_date="2022-01-01", end_date="2022-01-02T00:00:00Z") == []
    for filters in ({"status": "lost"}, {"sort": "up"}, {"limit": -1}, {"start_date": "yesterday"}):
        with pytest.raises(ubiops.exceptions.BadRequestError, match=next(iter(filters))):
            listed(**filters)


@pytest.mark.usefixtures("deployed")
def test_the_requests_of_a_project(project: TestProject) -> None:
    project.request({"x": 1})
    [request] = project.api.project_requests_list("lab", "deployment", success=True)
    assert (request.deployment, request.pipeline, request.version) == ("model", None, "v1")
    assert project.api.project_requests_list("lab", "pipeline") == []
    with pytest.raises(ubiops.exceptions.BadRequestError, match="object_type"):
        project.api.project_requests_list("lab", "schedule")


def test_without_a_default_version_there_are_no_requests(project: TestProject) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.NotFoundError, match="'model' has no default version"):
        project.request({"x": 1})

"""Requests whose updates are read while they run."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
import urllib3

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import attach, deployment, make_line, make_pipeline
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.execution import updates
from ubiops.emulator.execution.updates import Updates
from ubiops.utils import RequestFailed, stream_deployment_request, stream_pipeline_request

CHAT = """
    class Deployment:
        def request(self, data, context):
            update = context["streaming_update"]
            for text in ("Once", " upon", "a\\nb", "\\ud83d\\ude00 \\ud800"):
                update(text)
            return {"y": data["x"]}
"""
TEXTS = ["Once", " upon", "a\nb", "😀 ?"]


def post(emulator: Emulator, path: str) -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": emulator.token}
    return urllib3.request("POST", f"{emulator.url}{path}", json={"x": 1}, headers=headers, retries=False)


def test_updates_come_while_the_code_runs(project: TestProject, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    project.deploy(f"""
        class Deployment:
            def request(self, data, context):
                for number in range(3):
                    context["streaming_update"](str(number))
                    open({str(tmp_path / "gate")!r}).read()
                return {{"y": 7}}
    """)
    arrived = stream_deployment_request(project.api, "lab", "model", data={"x": 1}, full_response=True)
    for number in range(3):
        assert next(arrived) == str(number)
        (tmp_path / "gate").write_text("go")
    (finished,) = arrived
    assert isinstance(finished, ubiops.DeploymentRequestCreateResponse)
    assert (finished.success, finished.result) == (True, {"y": 7})
    assert project.api.deployment_requests_get("lab", "model", finished.id).status == "completed"


def test_events_are_lines_and_the_request_the_last(project: TestProject, emulator: Emulator) -> None:
    project.deploy(CHAT)
    response = post(emulator, "/projects/lab/deployments/model/versions/v1/requests/stream?timeout=60")
    assert response.headers["Content-Type"].startswith("text/event-stream")
    *events, last = response.data.decode().split("\n\n")
    assert events == ["data:Once", "data: upon", "data:a\ndata:b", "data:😀 ?"]
    answer = json.loads(last)
    assert last.endswith("}\n")
    stored = project.api.deployment_requests_get("lab", "model", answer["id"])
    assert (stored.success, answer["success"], answer["result"]) == (True, True, {"y": 1})


def test_a_pipeline_streams_what_its_deployments_send_and_those_of_pipelines_in_it(project: TestProject) -> None:
    project.deploy(CHAT)
    make_line(project, name="inner")
    inner = {"name": "inner", "reference_name": "inner", "reference_type": "pipeline"}
    make_pipeline(
        project,
        [inner, deployment("again")],
        [
            attach("inner", {"pipeline_start": {"x": "x"}}),
            attach("again", {"inner": {"y": "x"}}),
            attach("pipeline_end", {"again": {"y": "y"}}),
        ],
    )
    *texts, last = stream_pipeline_request(project.api, "lab", "line", "v1", {"x": 1}, full_response=True)
    assert texts == TEXTS * 2
    assert isinstance(last, ubiops.PipelineRequestCreateResponse)
    assert last.result == {"y": 1}


@pytest.mark.parametrize(
    ("ending", "message"),
    [
        ("raise ValueError('inside')", "An exception occurred in the request"),
        ("__import__('os')._exit(3)", "The instance stopped unexpectedly"),
        ("context['streaming_update'](5)", "An exception occurred in the request"),
    ],
)
def test_how_a_request_failed_comes_last(project: TestProject, ending: str, message: str) -> None:
    project.deploy(f"""
        class Deployment:
            def request(self, data, context):
                context["streaming_update"]("so far")
                {ending}
    """)
    arrived = stream_deployment_request(project.api, "lab", "model", data={"x": 1})
    assert next(arrived) == "so far"
    with pytest.raises(RequestFailed, match=message):
        next(arrived)


def test_a_request_goes_on_when_its_client_goes_away(project: TestProject, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "gate")
    project.deploy(f"""
        class Deployment:
            def request(self, data, context):
                context["streaming_update"]("begun")
                open({str(tmp_path / "gate")!r}).read()
                context["streaming_update"]("nobody hears this")
                return {{"y": 2}}
    """)
    arrived = stream_deployment_request(project.api, "lab", "model", data={"x": 1})
    assert next(arrived) == "begun"
    arrived.close()
    (tmp_path / "gate").write_text("go")
    (stored,) = wait_until(
        lambda: project.api.deployment_requests_list("lab", "model"),
        lambda requests: requests[0].time_completed is not None,
    )
    assert stored.success


def test_an_update_after_its_request_has_ended_is_no_update_of_the_next(project: TestProject) -> None:
    project.deploy("""
        class Deployment:
            kept = None
            def request(self, data, context):
                if self.kept is not None:
                    self.kept("late")
                self.kept = context["streaming_update"]
                self.kept("own")
                return {"y": 0}
    """)
    project.api.deployment_versions_update("lab", "model", "v1", {"maximum_instances": 1})
    for _ in range(2):
        assert list(stream_deployment_request(project.api, "lab", "model", data={"x": 1})) == ["own"]


def test_code_copies_its_context_and_writes_it_as_json(project: TestProject) -> None:
    project.deploy("""
        import copy, json, pickle

        class Deployment:
            def request(self, data, context):
                assert json.loads(json.dumps(context)) == pickle.loads(pickle.dumps(context)) == context
                copy.deepcopy(context)["streaming_update"]("from a copy")
                return {"y": 0}
    """)
    assert list(stream_deployment_request(project.api, "lab", "model", data={"x": 1})) == ["from a copy"]


def test_a_batch_request_sends_updates_that_nobody_reads(project: TestProject) -> None:
    project.deploy(CHAT)
    (created,) = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
    assert project.finished([created.id])[created.id].result == {"y": 1}


@pytest.mark.parametrize(
    ("path", "status", "problem"),
    [
        ("deployments/model/requests/stream?timeout=5", 400, "from 10 to 3600"),
        ("deployments/model/versions/v9/requests/stream", 404, "version was not found"),
        ("pipelines/model/requests/stream", 404, "pipeline 'model' was not found"),
    ],
)
def test_what_is_refused_is_no_stream(
    project: TestProject, emulator: Emulator, path: str, status: int, problem: str
) -> None:
    project.deploy(CHAT)
    response = post(emulator, f"/projects/lab/{path}")
    assert response.status == status
    assert problem in response.json()["error"]


def test_who_may_not_make_requests_may_not_stream_them(project: TestProject, callers: Callers) -> None:
    project.deploy(CHAT)
    viewer = callers.service_user("project-viewer")
    with pytest.raises(ubiops.exceptions.ForbiddenError, match=r"deployments\.versions\.requests\.create"):
        next(stream_deployment_request(viewer.api_client, "lab", "model", data={"x": 1}))


def test_the_oldest_service_has_no_streams() -> None:
    with Emulator(project="lab", generation="3.12") as emulator:
        response = post(emulator, "/projects/lab/deployments/model/requests/stream")
    assert response.status == 404
    assert "has no deployment_requests_stream" in response.json()["error"]


def test_a_follower_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "_MOST_WAITING", 10)

    async def follow() -> None:
        published = Updates()
        follower = published.follow("request", asyncio.get_running_loop().create_future())
        published.publish("request", "12345")
        published.publish("request", "123456")
        with pytest.raises(BufferError):
            await anext(aiter(follower))

    asyncio.run(follow())

"""Waiting: for builds, requests, exports and imports, and for what goes wrong with them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import attach, deployment, make_pipeline
from test.emulator.project import DOUBLE, TestProject, make_zip, wait_until
from test.unit.raw_server import RawServer, silent
from test.utils.clock import Clock
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.exceptions import (
    ApiConnectionError,
    ApiTimeoutError,
    ApiTypeError,
    ApiValueError,
    ForbiddenError,
    NotFoundError,
    ServerError,
)
from ubiops.utils import (
    BuildFailed,
    RequestFailed,
    TransferFailed,
    WaitError,
    WaitTimeout,
    wait_for,
    wait_for_deployment_request,
    wait_for_deployment_version,
    wait_for_deployment_version_request,
    wait_for_export,
    wait_for_import,
    wait_for_pipeline_request,
    wait_for_pipeline_version_request,
    wait_for_revision,
)
from ubiops.utils.polling import Outage


class Gate:
    """A file that user code waits for, so that tests say when it goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        # User code that a failed test leaves waiting must end some time.
        self.wait = f"import os, time; any(os.path.exists({str(path)!r}) or time.sleep(0.01) for _ in range(3000))"

    def open(self) -> None:
        self._path.touch()


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "open")


def slow_build(gate: Gate, end: str = "print('built')") -> str:
    return f"""
        class Deployment:
            def __init__(self):
                print("building", flush=True)
                {gate.wait}
                {end}
            def request(self, data):
                return {{"y": data["x"]}}
    """


def slow_request(gate: Gate) -> str:
    return f"""
        class Deployment:
            def request(self, data):
                print("one", flush=True)
                {gate.wait}
                print("two", flush=True)
                if data["x"] < 0:
                    raise ValueError("negative")
                return {{"y": data["x"] * 2}}
    """


def upload(project: TestProject, code: str, version: str = "v1") -> Any:
    return project.api.revisions_file_upload("lab", "model", version, file=make_zip({"deployment.py": code}))


def send(project: TestProject, x: float, version: str | None = None) -> str:
    """A batch request to the model; gives its id."""
    if version is None:
        [created] = project.api.batch_deployment_requests_create("lab", "model", [{"x": x}])
    else:
        [created] = project.api.batch_deployment_version_requests_create("lab", "model", version, [{"x": x}])
    return str(created.id)


def status_of(project: TestProject, request_id: str) -> str:
    return str(project.api.deployment_requests_get("lab", "model", request_id).status)


def in_turn(*actions: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        for action in actions:
            action()

    return act


@pytest.fixture
def building(project: TestProject, gate: Gate) -> Any:
    """A version whose build waits at the gate."""
    project.create_deployment()
    project.create_version()
    uploaded = upload(project, slow_build(gate))
    wait_until(lambda: project.log(build_id=uploaded.build), bool)
    return uploaded


@pytest.fixture
def processing(project: TestProject, gate: Gate) -> str:
    """A request that waits at the gate."""
    project.deploy(slow_request(gate))
    request_id = send(project, 1)
    wait_until(lambda: project.log(deployment_request_id=request_id), bool)
    return request_id


# Builds


def test_a_version_is_returned_when_it_takes_requests(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    uploaded = upload(project, DOUBLE)
    version = wait_for_deployment_version(project.api, "lab", "model", "v1")
    assert (version.version, version.status, version.latest_build) == ("v1", "available", uploaded.build)
    assert project.request({"x": 2}) == {"y": 4}
    again = wait_for_deployment_version(project.api.api_client, "lab", "model", "v1", uploaded.revision, timeout=0)
    assert again == version


def test_a_revision_is_returned_when_it_is_built(project: TestProject, building: Any, gate: Gate, clock: Clock) -> None:
    clock.plan.append(lambda: None)
    clock.plan.append(in_turn(gate.open, lambda: project.wait_for_build(building.build)))
    revision = wait_for_revision(project.api, "lab", "model", "v1", building.revision)
    assert (revision.id, revision.version) == (building.revision, "v1")
    assert clock.pauses == [0.5, 0.75]


def test_a_failed_build_says_why(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    print_many = "\n".join(f"print('line {index}')" for index in range(30))
    uploaded = upload(project, f"{print_many}\nraise ValueError('no model')")
    for last, wait in (
        (uploaded.revision, lambda: wait_for_revision(project.api, "lab", "model", "v1", uploaded.revision)),
        (uploaded.revision, lambda: wait_for_deployment_version(project.api, "lab", "model", "v1", uploaded.revision)),
        (uploaded.build, lambda: wait_for_deployment_version(project.api, "lab", "model", "v1")),
    ):
        with pytest.raises(BuildFailed, match="version v1 of deployment model failed: Failed to load") as failed:
            wait()
        assert (failed.value.last.id, failed.value.last.status) == (last, "failed")
        assert len(failed.value.logs) == 20
        assert "line 29" in failed.value.logs
        assert "ValueError: no model" in failed.value.logs
        assert failed.value.logs[-1].startswith("Build failed")
        assert "  ValueError: no model" in str(failed.value)


def test_without_a_revision_the_last_upload_counts(project: TestProject, gate: Gate, clock: Clock) -> None:
    project.create_deployment()
    project.create_version()
    first = upload(project, slow_build(gate, "raise ValueError('too old')"))
    uploads: list[Any] = []
    clock.plan.append(lambda: uploads.append(upload(project, DOUBLE)))
    clock.plan.append(in_turn(gate.open, lambda: project.wait_for_build(first.build)))
    clock.plan.append(lambda: project.wait_for_build(uploads[0].build))
    version = wait_for_deployment_version(project.api, "lab", "model", "v1")
    assert (version.active_revision, version.latest_build) == (uploads[0].revision, uploads[0].build)
    with pytest.raises(BuildFailed, match="too old") as failed:
        wait_for_deployment_version(project.api, "lab", "model", "v1", first.revision)
    assert failed.value.last.id == first.revision


def test_a_version_without_a_package_is_an_error_at_once(project: TestProject, clock: Clock) -> None:
    project.create_deployment()
    project.create_version()
    with pytest.raises(WaitError, match="Version v1 of deployment model has no package") as failed:
        wait_for_deployment_version(project.api, "lab", "model", "v1")
    assert type(failed.value) is WaitError
    assert failed.value.last.version == "v1"
    assert clock.pauses == []


@pytest.mark.usefixtures("deployed")
def test_what_is_not_there_is_not_waited_for(project: TestProject, clock: Clock) -> None:
    api, nothing = project.api, "8bd3b4c5-7a61-4be2-9d40-f93c85f0c1e2"
    for wait in (
        lambda: wait_for_deployment_version(api, "lab", "other", "v1"),
        lambda: wait_for_deployment_version(api, "lab", "model", "v2"),
        lambda: wait_for_deployment_version(api, "lab", "model", "v1", nothing),
        lambda: wait_for_revision(api, "lab", "model", "v1", nothing),
        lambda: wait_for_deployment_request(api, "lab", "model", nothing),
        lambda: wait_for_deployment_version_request(api, "lab", "model", "v1", nothing),
        lambda: wait_for_pipeline_request(api, "lab", "line", nothing),
        lambda: wait_for_pipeline_version_request(api, "lab", "line", "v1", nothing),
        lambda: wait_for_export(api, "lab", nothing),
        lambda: wait_for_import(api, "nowhere", nothing),
    ):
        with pytest.raises(NotFoundError):
            wait()
    assert clock.pauses == []


# Requests


def test_a_request_is_returned_with_its_result(project: TestProject, processing: str, gate: Gate, clock: Clock) -> None:
    clock.plan.append(in_turn(gate.open, lambda: project.finished([processing])))
    request = wait_for_deployment_request(project.api, "lab", "model", processing)
    assert (request.id, request.status, request.success) == (processing, "completed", True)
    assert (request.request_data, request.result) == ({"x": 1}, {"y": 2})


def test_data_and_result_are_read_once(project: TestProject, processing: str, gate: Gate, clock: Clock) -> None:
    asked = []

    class Recording(ubiops.CoreApi):
        def deployment_requests_get(self, *args: Any, **options: Any) -> Any:
            asked.append(options.get("metadata_only"))
            return super().deployment_requests_get(*args, **options)

    clock.plan.extend([lambda: None, in_turn(gate.open, lambda: project.finished([processing]))])
    wait_for_deployment_request(Recording(project.api.api_client), "lab", "model", processing)
    assert asked == [True, True, True, None]


@pytest.mark.usefixtures("deployed")
def test_a_request_to_a_version(project: TestProject) -> None:
    project.deploy_version(version="v2")
    request_id = send(project, 3, "v2")
    request = wait_for_deployment_version_request(project.api, "lab", "model", "v2", request_id)
    assert (request.version, request.result) == ("v2", {"y": 6})
    with pytest.raises(NotFoundError):
        wait_for_deployment_request(project.api, "lab", "model", request_id)


def test_a_failed_request_says_why(project: TestProject, gate: Gate) -> None:
    gate.open()
    project.deploy(slow_request(gate))
    request_id = send(project, -1)
    with pytest.raises(RequestFailed, match=f"Request {request_id} to deployment model failed: ") as failed:
        wait_for_deployment_request(project.api, "lab", "model", request_id)
    assert failed.value.last.error_message
    assert failed.value.last.error_message in str(failed.value)
    assert (failed.value.last.status, failed.value.last.request_data) == ("failed", {"x": -1})


def test_a_cancelled_request_is_an_error(project: TestProject, processing: str, clock: Clock) -> None:
    waiting_id = send(project, 2)
    for request_id in (waiting_id, processing):
        clock.plan.append(
            partial(project.api.deployment_requests_update, "lab", "model", request_id, {"status": "cancelled"})
        )
        clock.plan.append(partial(project.finished, [request_id]))
        with pytest.raises(RequestFailed, match="was cancelled") as failed:
            wait_for_deployment_request(project.api, "lab", "model", request_id)
        assert failed.value.last.status == "cancelled"


def test_requests_to_pipelines(project: TestProject, capsys: pytest.CaptureFixture[str]) -> None:
    project.deploy("""
        class Deployment:
            def request(self, data):
                print("asked", data["x"], flush=True)
                return {"y": 10 / data["x"]}
    """)
    wires = [attach("m", {"pipeline_start": {"x": "x"}}), attach("pipeline_end", {"m": {"y": "y"}})]
    make_pipeline(project, [deployment("m")], wires)
    for x in (5, 0):
        [first] = project.api.batch_pipeline_requests_create("lab", "line", [{"x": x}])
        [second] = project.api.batch_pipeline_version_requests_create("lab", "line", "v1", [{"x": x}])
        for wait in (
            partial(wait_for_pipeline_request, project.api, "lab", "line", first.id),
            partial(wait_for_pipeline_version_request, project.api, "lab", "line", "v1", second.id),
        ):
            if x:
                request = wait(stream_logs=True)
                assert (request.status, request.result) == ("completed", {"y": 2})
                assert capsys.readouterr().out == f"asked {x}\n"
            else:
                with pytest.raises(RequestFailed, match=r"pipeline line failed: .") as failed:
                    wait()
                assert failed.value.last.deployment_requests


# Exports and imports


@pytest.mark.usefixtures("deployed")
def test_an_export_and_its_import(project: TestProject) -> None:
    project.api.deployment_environment_variables_create("lab", "model", {"name": "TOKEN", "value": "t", "secret": True})
    contents: dict[str, Any] = {
        "deployments": {"model": {"versions": {"v1": {}}, "environment_variables": {"TOKEN": {}}}}
    }
    exported = wait_for_export(project.api, "lab", project.api.exports_create("lab", contents).id)
    assert exported.status == "completed"
    assert exported.size
    assert exported.deployments is not None
    assert "model" in exported.deployments
    project.api.deployments_delete("lab", "model")

    created = project.api.imports_create("lab", export_id=exported.id)
    found = wait_for_import(project.api, "lab", created.id)
    assert (found.status, list(found.deployments or {})) == ("confirmation", ["model"])
    [variable] = found.deployments["model"]["environment_variables"].values() if found.deployments else []
    variable["value"] = "t"
    project.api.imports_update("lab", created.id, {"deployments": found.deployments})
    imported = wait_for_import(project.api, "lab", created.id)
    assert imported.status == "completed"
    assert wait_for_deployment_version(project.api, "lab", "model", "v1").status == "available"
    again = project.api.imports_create("lab", export_id=exported.id, skip_confirmation=True)
    with pytest.raises(TransferFailed, match=f"Import {again.id} failed: ") as failed:
        wait_for_import(project.api, "lab", again.id)
    assert failed.value.last.status == "failed"
    assert failed.value.last.error_message in str(failed.value)


# Time


def test_it_asks_ever_more_rarely_and_once_more_when_the_time_is_up(
    emulator: Emulator, project: TestProject, processing: str, clock: Clock
) -> None:
    with pytest.raises(WaitTimeout, match="is still processing after 60 s") as late:
        wait_for_deployment_request(project.api, "lab", "model", processing, timeout=60)
    assert late.value.last.id == processing
    assert isinstance(late.value, TimeoutError)
    assert clock.pauses[:4] == [0.5, 0.75, 1.125, 1.6875]
    assert max(clock.pauses) == 10
    assert sum(clock.pauses) == pytest.approx(60)
    # A server that fails when the time is up, too.
    clock.plan.extend([lambda: None, lambda: emulator.faults.add(Fault(status=503, times=10))])
    with pytest.raises(WaitTimeout, match="the server didn't answer in time, after 1 s") as late:
        wait_for_deployment_request(project.api, "lab", "model", processing, timeout=1)
    assert isinstance(late.value.__cause__, ServerError)


@pytest.mark.parametrize("timeout", [0, -5, -float("inf")])
def test_without_time_it_asks_once(project: TestProject, processing: str, clock: Clock, timeout: float) -> None:
    with pytest.raises(WaitTimeout, match="is still processing after 0 s"):
        wait_for_deployment_request(project.api, "lab", "model", processing, timeout=timeout)
    assert clock.pauses == []


def test_a_build_that_takes_too_long_shows_its_log(project: TestProject, building: Any, clock: Clock) -> None:
    for last, status, wait in (
        (
            building.revision,
            "building",
            lambda: wait_for_revision(project.api, "lab", "model", "v1", building.revision, timeout=5),
        ),
        (
            building.build,
            "validating",
            lambda: wait_for_deployment_version(project.api, "lab", "model", "v1", timeout=5),
        ),
    ):
        with pytest.raises(WaitTimeout, match=f"is still {status} after 5 s") as late:
            wait()
        assert late.value.last.id == last
        assert late.value.logs == ["Build started", "building"]


def test_a_server_that_hangs_takes_no_longer(
    emulator: Emulator, project: TestProject, processing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The last question may take 5 s, which this test would rather not.
    monkeypatch.setattr(wait_for._Wait, "least_seconds", 0.2)
    with RawServer(silent) as server, ubiops.ApiClient(ubiops.Configuration(host=server.url)) as client:
        with pytest.raises(WaitTimeout, match=r"the server didn't answer in time, after 0\.3 s") as late:
            wait_for_deployment_request(client, "lab", "model", processing, timeout=0.3)
        assert late.value.last is None
    emulator.faults.add(Fault(path=f"*/{processing}", latency=2, times=20))
    with pytest.raises(WaitTimeout, match="didn't answer in time") as late:
        wait_for_deployment_request(project.api, "lab", "model", processing, timeout=0.3)
    assert isinstance(late.value.__cause__, ApiTimeoutError)


@pytest.mark.parametrize(
    ("timeout", "kind"),
    [("60", ApiTypeError), (True, ApiTypeError), (float("nan"), ApiValueError)],
)
def test_bad_timeouts_are_refused_before_anything_is_sent(
    unreachable: ubiops.CoreApi, timeout: Any, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="`timeout` when calling `wait_for_export`"):
        wait_for_export(unreachable, "lab", "id", timeout=timeout)


# Trouble on the way


def test_a_server_that_fails_for_a_while_is_borne_with(
    emulator: Emulator, project: TestProject, processing: str, gate: Gate, clock: Clock
) -> None:
    project.api.api_client.configuration.retries = 0
    clock.plan.extend(
        [
            lambda: emulator.faults.add(Fault(status=503, times=2)),
            lambda: emulator.faults.add(Fault(status=429, times=2)),
            lambda: None,
            lambda: emulator.faults.add(Fault(drop=True, times=2)),
            lambda: None,
            in_turn(emulator.faults.clear, gate.open, lambda: project.finished([processing])),
        ]
    )
    assert wait_for_deployment_request(project.api, "lab", "model", processing).result == {"y": 2}
    assert len(clock.pauses) == 6


def test_but_not_for_ever(emulator: Emulator, project: TestProject, processing: str, clock: Clock) -> None:
    project.api.api_client.configuration.retries = 0
    emulator.faults.add(Fault(status=500, times=1000))
    with pytest.raises(ServerError):
        wait_for_deployment_request(project.api, "lab", "model", processing)
    assert Outage.longest < sum(clock.pauses) <= Outage.longest + 10


def test_an_address_that_is_wrong_is_an_error_at_once(unreachable: ubiops.CoreApi, clock: Clock) -> None:
    with pytest.raises(ApiConnectionError):
        wait_for_export(unreachable, "lab", "id")
    assert clock.pauses == []


def test_what_is_deleted_meanwhile_is_not_waited_for(project: TestProject, processing: str, clock: Clock) -> None:
    clock.plan.append(lambda: project.api.deployment_requests_delete("lab", "model", processing))
    with pytest.raises(WaitError, match=f"Request {processing} .* doesn't exist any more") as gone:
        wait_for_deployment_request(project.api, "lab", "model", processing)
    assert type(gone.value) is WaitError
    assert gone.value.last.id == processing
    assert len(clock.pauses) == 1


def test_a_version_that_is_deleted_meanwhile(project: TestProject, building: Any, clock: Clock) -> None:
    project.create_version("v2")
    clock.plan.append(
        in_turn(
            lambda: project.api.deployments_update("lab", "model", {"default_version": None}),
            lambda: project.api.deployments_delete("lab", "model"),
        )
    )
    with pytest.raises(WaitError, match=r"The build of version v1 .* doesn't exist any more") as gone:
        wait_for_deployment_version(project.api, "lab", "model", "v1")
    assert gone.value.last.id == building.build


def test_a_token_that_may_not_read_logs(
    project: TestProject, callers: Callers, capsys: pytest.CaptureFixture[str]
) -> None:
    project.create_deployment()
    project.create_version()
    upload(project, "raise ValueError('no model')")
    viewer = callers.service_user("deployment-viewer")
    with pytest.raises(BuildFailed, match="no model") as failed:
        wait_for_deployment_version(viewer, "lab", "model", "v1")
    assert failed.value.logs == []
    with pytest.raises(ForbiddenError):
        wait_for_deployment_version(viewer, "lab", "model", "v1", stream_logs=True)
    with pytest.raises(ForbiddenError):
        wait_for_deployment_version(callers.service_user(), "lab", "model", "v1")


# What is shown


def test_log_lines_are_printed_as_they_come(
    project: TestProject, processing: str, gate: Gate, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    printed: list[str] = []

    def look() -> None:
        printed.append(capsys.readouterr().out)

    clock.plan.extend([look, look, in_turn(gate.open, lambda: project.finished([processing]))])
    wait_for_deployment_request(project.api, "lab", "model", processing, stream_logs=True, quiet=True)
    look()
    assert printed == ["one\n", "", "two\n"]
    assert len(clock.pauses) == 3


def test_the_lines_of_a_build(
    project: TestProject, building: Any, gate: Gate, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.plan.append(in_turn(gate.open, lambda: project.wait_for_build(building.build)))
    wait_for_deployment_version(project.api, "lab", "model", "v1", stream_logs=True)
    assert capsys.readouterr().out.splitlines() == ["Build started", "building", "built", "Build finished"]
    wait_for_revision(project.api, "lab", "model", "v1", building.revision, stream_logs=True)
    assert capsys.readouterr().out.splitlines() == ["Build started", "building", "built", "Build finished"]


def test_a_log_that_fails_costs_no_line_and_holds_nothing_up(
    emulator: Emulator,
    project: TestProject,
    processing: str,
    gate: Gate,
    clock: Clock,
    capsys: pytest.CaptureFixture[str],
) -> None:
    emulator.faults.add(Fault(path="*/logs", status=503))
    clock.plan.append(in_turn(gate.open, lambda: project.finished([processing])))
    wait_for_deployment_request(project.api, "lab", "model", processing, stream_logs=True)
    assert capsys.readouterr().out == "one\ntwo\n"
    emulator.faults.add(Fault(path="*/logs", status=503, times=1000))
    wait_for_deployment_request(project.api, "lab", "model", processing, stream_logs=True)
    assert len(clock.pauses) == 1


@pytest.mark.parametrize("quiet", [False, True])
def test_each_status_is_told_once_unless_it_is_to_be_quiet(
    project: TestProject,
    processing: str,
    gate: Gate,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    quiet: bool,
) -> None:
    clock.plan.extend([lambda: None, lambda: None, in_turn(gate.open, lambda: project.finished([processing]))])
    with caplog.at_level(logging.INFO, "ubiops.utils"):
        wait_for_deployment_request(project.api, "lab", "model", processing, quiet=quiet)
    what = f"Request {processing} to deployment model"
    steps = ("started", "processing", "completed", "finished")
    assert [*caplog.messages] == ([] if quiet else [f"{what}: {step}" for step in steps])
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_ends_it(project: TestProject, processing: str, clock: Clock) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    clock.plan.append(interrupt)
    with pytest.raises(KeyboardInterrupt):
        wait_for_deployment_request(project.api, "lab", "model", processing)
    assert status_of(project, processing) == "processing"

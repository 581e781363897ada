"""An emulator that is killed at random points under load, again and again: what it has accepted is looked for."""

from __future__ import annotations

import contextlib
import operator
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

import ubiops
from test.emulator import pipelines
from test.emulator.project import TestProject, make_zip, wait_until
from test.server import Answer, Recorded, Server

ROOT = Path(ubiops.__file__).parents[1]
DEPLOYMENT = """
    class Deployment:
        def request(self, data, context):
            print("request", context["id"])
            return {"y": data["x"] * 2}
"""


@contextlib.contextmanager
def running(directory: Path) -> Iterator[tuple[subprocess.Popen[str], TestProject]]:
    """An emulator in a process of its own, and a client that tries once."""
    command = [
        sys.executable,
        "-m",
        "ubiops.emulator",
        "--data-dir",
        str(directory),
        "--token",
        "t",
        "--project",
        "lab",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            host = process.stdout.readline().strip().partition("=")[2]
            configuration = ubiops.Configuration(host, {"Authorization": "Token t"})
            configuration.retries = 0
            with ubiops.ApiClient(configuration) as client:
                yield process, TestProject(ubiops.CoreApi(client), "lab")
        finally:
            process.kill()


@dataclass
class Accepted:
    """What the emulator has said that it keeps."""

    batches: list[str] = field(default_factory=list)
    pipeline_batches: list[str] = field(default_factory=list)
    direct: dict[str, float] = field(default_factory=dict)
    revisions: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    log_lines: set[str] = field(default_factory=set)
    values: list[datetime] = field(default_factory=list)

    def post_batch(self, project: TestProject) -> None:
        requests = project.api.batch_deployment_requests_create("lab", "model", [{"x": x} for x in range(5)])
        self.batches += [request.id for request in requests]

    def post_pipeline_batch(self, project: TestProject) -> None:
        requests = project.api.batch_pipeline_requests_create("lab", "line", [{"x": x} for x in range(3)])
        self.pipeline_batches += [request.id for request in requests]

    def post_direct(self, project: TestProject) -> None:
        x = len(self.direct)
        response = project.api.deployment_requests_create("lab", "model", {"x": x})
        assert response.result == {"y": 2 * x}
        self.direct[response.id] = 2.0 * x

    def upload_revision(self, project: TestProject) -> None:
        package = make_zip({"deployment.py": DEPLOYMENT, "number": str(len(self.revisions))})
        content = package.getvalue()
        upload = project.api.revisions_file_upload("lab", "model", "v2", file=package)
        self.revisions[upload.revision] = upload.build, content

    def upload_file(self, project: TestProject) -> None:
        name, content = f"folder/{len(self.files)}", random.randbytes(100_000)
        url = project.api.files_upload("lab", "default", name).url
        with urllib3.PoolManager() as http:
            response = http.request("PUT", url, body=content, retries=False)
        assert response.status < 300
        self.files[name] = content

    def read_log(self, project: TestProject) -> None:
        lines = project.api.projects_log_list("lab", data={"limit": 100})
        self.log_lines |= {line.id for line in lines}

    def insert_value(self, project: TestProject) -> None:
        minute = datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(minutes=len(self.values))
        values = [{"date": minute.isoformat(), "value": 1}]
        project.api.time_series_data_create("lab", {"metric": "custom.count", "data": values})
        self.values.append(minute)

    def of_each(self) -> bool:
        """Whether there is some of each."""
        return all(vars(self).values())

    def works(self) -> list[Callable[[TestProject], None]]:
        batches = [self.post_batch, self.post_pipeline_batch]
        return [*batches, self.post_direct, self.upload_revision, self.upload_file, self.read_log, self.insert_value]

    def load(self, process: subprocess.Popen[str], project: TestProject, seconds: float) -> None:
        """Do all at once, for some seconds from when there is some of each, then kill the emulator amid it."""
        failures: list[BaseException] = []
        all_accepted = threading.Event()

        def repeat(work: Callable[[TestProject], None]) -> None:
            try:
                while True:
                    work(project)
                    if self.of_each():
                        all_accepted.set()
            except (ubiops.exceptions.ApiConnectionError, urllib3.exceptions.HTTPError):
                pass
            except BaseException as error:
                failures.append(error)
                all_accepted.set()

        threads = [threading.Thread(target=repeat, args=[work]) for work in self.works()]
        for thread in threads:
            thread.start()
        if not self.of_each():
            all_accepted.wait()
        # The point of the test: a kill at a point in time that nothing chooses.
        time.sleep(seconds)
        assert not failures, failures
        process.send_signal(signal.SIGKILL)
        process.wait()
        for thread in threads:
            thread.join()
        assert not failures, failures


class Told(Server):
    """Receives the messages of a webhook."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.default = self._take

    def _take(self, request: Recorded) -> Answer:
        self.ids.add(request.json["request_id"])
        return Answer()


def in_parts(ids: list[str], size: int = 250) -> Iterator[list[str]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def run(directory: Path, kills: int) -> str:
    """Kills an emulator with this data directory so often; returns what was kept."""
    accepted, told = Accepted(), Told()
    with contextlib.closing(told):
        with running(directory) as (_, project):
            project.deploy(DEPLOYMENT)
            project.create_version("v2")
            pipelines.make_line(project)
            project.api.metrics_create("lab", {"name": "custom.count", "metric_type": "delta"})
            watched = {"object_type": "deployment", "object_name": "model", "event": "deployment_request_finished"}
            project.api.webhooks_create("lab", {"name": "hook", **watched, "url": told.origin})
        for _ in range(kills):
            with running(directory) as (process, project):
                accepted.load(process, project, random.uniform(0, 1))
        with running(directory) as (_, project):
            check(project, accepted)
            wanted = {*accepted.batches, *accepted.direct}
            wait_until(lambda: project.api.service_status() and wanted - told.ids, operator.not_)
    return (
        f"{kills} kills; kept: {len(accepted.batches)} requests of batches, {len(accepted.direct)} direct ones, "
        f"{len(accepted.pipeline_batches)} to a pipeline, "
        f"{len(accepted.revisions)} revisions and builds, {len(accepted.files)} files, "
        f"{len(accepted.log_lines)} log lines that were read, {len(accepted.values)} values of a metric; "
        f"messages of webhooks for all requests to the deployment"
    )


def check(project: TestProject, accepted: Accepted) -> None:
    api = project.api
    for revision, (build, content) in accepted.revisions.items():
        assert project.wait_for_build(build, "v2").status == "success"
        with api.revisions_file_download("lab", "model", revision, "v2", _preload_content=False) as response:
            assert response.read() == content
    for ids in in_parts(accepted.batches):
        for request in project.finished(ids).values():
            assert (request.status, request.result) == ("completed", {"y": request.request_data["x"] * 2})
    for ids in in_parts(accepted.pipeline_batches, 100):
        for request in pipelines.finished(project, ids).values():
            assert (request.status, request.result) == ("completed", {"y": request.request_data["x"] * 2})
    for ids in in_parts(list(accepted.direct)):
        for id, request in project.finished(ids).items():
            assert (request.status, request.result) == ("completed", {"y": accepted.direct[id]})
    for unfinished in ("pending", "processing", "cancelled_pending"):
        wait_until(partial(api.deployment_requests_list, "lab", "model", status=unfinished), operator.not_)
        wait_until(partial(api.pipeline_requests_list, "lab", "line", status=unfinished), operator.not_)
    for request in api.deployment_requests_list("lab", "model", status="failed", limit=10_000):
        # Direct requests whose answer was never sent.
        assert api.deployment_requests_get("lab", "model", request.id).error_message
    for id in accepted.log_lines:
        assert api.projects_log_list("lab", data={"id": id, "limit": 1, "date_range": 1})[0].id == id
    for name, content in accepted.files.items():
        with urllib3.PoolManager() as http:
            assert http.request("GET", api.files_download("lab", "default", name).url).data == content
    end = accepted.values[-1] + timedelta(minutes=1)
    range_ = {"start_date": accepted.values[0].isoformat(), "end_date": end.isoformat(), "aggregation_period": 60}
    kept = api.time_series_data_list("lab", metric="custom.count", **range_).data_points
    assert [point.value for point in kept] == [1] * len(accepted.values)
    assert_logged(api, accepted)


def assert_logged(api: Any, accepted: Accepted) -> None:
    """Each request that ran has written its line."""
    for ids in (accepted.batches, list(accepted.direct)):
        for id in random.sample(ids, min(20, len(ids))):
            lines = api.projects_log_list("lab", data={"filters": {"deployment_request_id": id}})
            assert f"request {id}" in [line.log for line in lines]

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
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import urllib3

import ubiops
from test.emulator import pipelines
from test.emulator.project import TestProject, make_zip, own_port, wait_until
from test.server import Answer, Recorded, Server

ROOT = Path(ubiops.__file__).parents[1]
PYTHON = f"python{sys.version_info.major}-{sys.version_info.minor}"
PORT = own_port()
DEPLOYMENT = """
    class Deployment:
        def request(self, data, context):
            print("request", context["id"])
            context["streaming_update"](str(data["x"]))
            return {"y": data["x"] * 2}
"""
PAGE = """
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"hi")

        def log_message(self, *args):
            pass

    class Deployment:
        def __init__(self):
            threading.Thread(target=ThreadingHTTPServer(("", 8080), Page).serve_forever, daemon=True).start()

        def request(self, data):
            return data
""".replace("8080", str(PORT))
TRAIN = "def train(training_data, parameters, context):\n    return {'metadata': parameters}\n"

_MOST_CALLS = 200
"""Calls that are answered before a kill, at most; not seconds, in which a busy machine does next to nothing."""

_LONGEST_AFTER = 0.2


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
    """What the emulator has said that it keeps.

    Args:
        directory: Where the code of the training runs is.
    """

    directory: Path
    batches: list[str] = field(default_factory=list)
    pipeline_batches: list[str] = field(default_factory=list)
    direct: dict[str, float] = field(default_factory=dict)
    revisions: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    log_lines: set[str] = field(default_factory=set)
    values: list[datetime] = field(default_factory=list)
    streamed: dict[str, float] = field(default_factory=dict)
    environments: dict[str, str] = field(default_factory=dict)
    runs: dict[str, int] = field(default_factory=dict)
    visits: list[int] = field(default_factory=list)

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

    def stream(self, project: TestProject) -> None:
        x = len(self.streamed)
        *updates, request = ubiops.utils.stream_deployment_request(
            project.api.api_client, "lab", "model", data={"x": x}, full_response=True
        )
        assert updates == [str(x)]
        assert not isinstance(request, str)
        self.streamed[request.id] = 2.0 * x

    def build_environment(self, project: TestProject) -> None:
        files = make_zip({"requirements.txt": "ubiops\n", "number": str(len(self.environments))})
        upload = project.api.environment_revisions_file_upload("lab", "mill", file=files)
        self.environments[upload.build] = upload.revision

    def train(self, project: TestProject) -> None:
        number = len(self.runs)
        code = self.directory / "train.py"
        run = ubiops.Training(project.api.api_client).experiment_runs_create(
            "lab", "first", {"name": "run", "training_code": str(code), "parameters": {"number": number}}
        )
        self.runs[run.id] = number

    def visit(self, project: TestProject) -> None:
        url = project.api.services_get("lab", "page").endpoint + "/"
        with urllib3.PoolManager(headers={"Authorization": "Token t"}) as http:
            # After a start, the page is there as soon as its instance is.
            answer = wait_until(
                lambda: http.request("GET", url, retries=False), lambda answer: answer.status not in (502, 503)
            )
        assert (answer.status, answer.data) == (200, b"hi")
        self.visits.append(answer.status)

    def of_each(self) -> bool:
        """Whether there is some of each."""
        return all(getattr(self, kept.name) for kept in fields(self))

    def works(self) -> list[Callable[[TestProject], None]]:
        batches = [self.post_batch, self.post_pipeline_batch]
        newer = [self.stream, self.build_environment, self.train, self.visit]
        older = [self.post_direct, self.upload_revision, self.upload_file, self.read_log, self.insert_value]
        return [*batches, *older, *newer]

    def load(self, process: subprocess.Popen[str], project: TestProject, calls: int, seconds: float) -> None:
        """Do all at once, until there is some of each and so many calls were answered; kill the emulator amid the next.

        Args:
            process: The emulator.
            project: Its project.
            calls: How many calls.
            seconds: How long after them.
        """
        failures: list[BaseException] = []
        answered: list[None] = []
        enough = threading.Event()

        def repeat(work: Callable[[TestProject], None]) -> None:
            try:
                while True:
                    work(project)
                    answered.append(None)
                    if len(answered) > calls and self.of_each():
                        enough.set()
            except (ubiops.exceptions.ApiConnectionError, urllib3.exceptions.HTTPError):
                pass
            except BaseException as error:
                failures.append(error)
                enough.set()

        threads = [threading.Thread(target=repeat, args=[work]) for work in self.works()]
        for thread in threads:
            thread.start()
        enough.wait()
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


def run(directory: Path, kills: int, most_calls: int = _MOST_CALLS) -> str:
    """Kills an emulator with this data directory so often; returns what was kept."""
    accepted, told = Accepted(directory), Told()
    with contextlib.closing(told):
        with running(directory) as (_, project):
            project.deploy(DEPLOYMENT)
            project.create_version("v2")
            pipelines.make_line(project)
            make_newer(project)
            (directory / "train.py").write_text(TRAIN)
            project.api.metrics_create("lab", {"name": "custom.count", "metric_type": "delta"})
            watched = {"object_type": "deployment", "object_name": "model", "event": "deployment_request_finished"}
            project.api.webhooks_create("lab", {"name": "hook", **watched, "url": told.origin})
        for _ in range(kills):
            with running(directory) as (process, project):
                accepted.load(process, project, random.randrange(most_calls), random.uniform(0, _LONGEST_AFTER))
        with running(directory) as (_, project):
            check(project, accepted)
            wanted = {*accepted.batches, *accepted.direct, *accepted.streamed}
            wait_until(lambda: project.api.service_status() and wanted - told.ids, operator.not_)
    return (
        f"{kills} kills; kept: {len(accepted.batches)} requests of batches, {len(accepted.direct)} direct ones, "
        f"{len(accepted.pipeline_batches)} to a pipeline, "
        f"{len(accepted.revisions)} revisions and builds, {len(accepted.files)} files, "
        f"{len(accepted.log_lines)} log lines that were read, {len(accepted.values)} values of a metric, "
        f"{len(accepted.streamed)} streamed requests, {len(accepted.environments)} builds of an environment, "
        f"{len(accepted.runs)} training runs; {len(accepted.visits)} answers of a service; "
        f"messages of webhooks for all requests to the deployment"
    )


def make_newer(project: TestProject) -> None:
    """What the newer kinds of load are about: an environment, an experiment, a service."""
    project.api.environments_create("lab", {"name": "mill", "base_environment": PYTHON})
    training = ubiops.Training(project.api.api_client)
    training.initialize("lab")
    training.experiments_create("lab", {"name": "first"})
    ubiops.utils.wait_for_experiment(project.api, "lab", "first", quiet=True)
    project.create_deployment("page", input_type="plain", output_type="plain", input_fields=None, output_fields=None)
    project.create_version("v1", "page")
    assert project.upload({"deployment.py": PAGE}, deployment="page").status == "success"
    project.api.services_create("lab", {"name": "page", "deployment": "page", "port": PORT})


def check(project: TestProject, accepted: Accepted) -> None:
    api = project.api
    for build, revision in accepted.environments.items():
        ended = wait_until(
            partial(api.environment_builds_get, "lab", build, "mill", revision),
            lambda build: build.status not in ("queued", "processing"),
        )
        assert ended.status == "success", ended.error_message
    for id, number in accepted.runs.items():
        run = wait_until(
            partial(ubiops.Training(api.api_client).experiment_runs_get, "lab", "first", id),
            lambda run: run.status not in ("pending", "processing"),
        )
        assert (run.status, run.result["metadata"]) == ("completed", {"number": number})
    accepted.visit(project)
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
    results = accepted.direct | accepted.streamed
    for ids in in_parts(list(results)):
        for id, request in project.finished(ids).items():
            assert (request.status, request.result) == ("completed", {"y": results[id]})
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

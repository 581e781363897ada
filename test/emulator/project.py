"""A project to test in: deployments in a line each."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import textwrap
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import ubiops

T = TypeVar("T")

DOUBLE = """
    class Deployment:
        def request(self, data):
            return {"y": data["x"] * 2}
"""

_DEADLINE = 60


def make_zip(files: Mapping[str, str | bytes]) -> io.BytesIO:
    """A zip of files, which upload as ``package.zip``."""
    archive = io.BytesIO()
    archive.name = "package.zip"
    with zipfile.ZipFile(archive, "w") as package:
        for name, text in files.items():
            package.writestr(name, textwrap.dedent(text) if isinstance(text, str) else text)
    archive.seek(0)
    return archive


def wait_until(ask: Callable[[], T], condition: Callable[[T], bool]) -> T:
    """Ask until the answer is as it should be."""
    started = time.monotonic()
    while not condition(answer := ask()):
        waited = time.monotonic() - started
        assert waited < _DEADLINE, f"still {answer}"
        # What is waited for needs the processor that asking takes: the longer it takes, the more rarely.
        time.sleep(min(0.04 + waited / 5, 0.25))
    return answer


@contextlib.contextmanager
def kept_signals() -> Iterator[None]:
    """Keeps the handlers of this process, which `main` replaces."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def own_port() -> int:
    """A port for the code of a deployment that no other process of the tests uses; systems give out those above."""
    return 20_000 + os.getpid() % 10_000


class TestProject:
    """A project and its client."""

    __test__ = False

    def __init__(self, api: ubiops.CoreApi, name: str) -> None:
        # Any: to a type checker nearly all that models hold may be None, and tests look right into them.
        self.api: Any = api
        self.name = name

    def create_deployment(self, name: str = "model", **settings: Any) -> Any:
        """A deployment that takes an ``x`` and gives a ``y``, unless the settings say otherwise."""
        data = {
            "name": name,
            "input_type": "structured",
            "output_type": "structured",
            "input_fields": [{"name": "x", "data_type": "double"}],
            "output_fields": [{"name": "y", "data_type": "double"}],
            **settings,
        }
        return self.api.deployments_create(self.name, data)

    def create_version(self, version: str = "v1", deployment: str = "model", **settings: Any) -> Any:
        return self.api.deployment_versions_create(self.name, deployment, {"version": version, **settings})

    def upload(self, files: Mapping[str, str | bytes], version: str = "v1", deployment: str = "model") -> Any:
        """Upload a package of these files; gives the build when it is over."""
        upload = self.api.revisions_file_upload(self.name, deployment, version, file=make_zip(files))
        return self.wait_for_build(upload.build, version, deployment)

    def wait_for_build(self, build: str, version: str = "v1", deployment: str = "model") -> Any:
        return wait_until(
            lambda: self.api.builds_get(self.name, build, deployment, version),
            lambda build: build.status in ("success", "failed"),
        )

    def deploy(self, code: str = DOUBLE, version: str = "v1", **settings: Any) -> None:
        """A deployment ``model`` with a version that runs this ``deployment.py``; settings go to the deployment."""
        self.create_deployment(**settings)
        self.deploy_version(code, version)

    def deploy_version(self, code: str = DOUBLE, version: str = "v1", **settings: Any) -> None:
        # Instances start as requests queue up: one is enough, unless a test needs several at once.
        self.create_version(version, **{"maximum_instances": 1, **settings})
        build = self.upload({"deployment.py": code}, version)
        assert build.status == "success", build.error_message

    def request(self, data: Any, **options: Any) -> Any:
        """The result of a direct request."""
        return self.api.deployment_requests_create(self.name, "model", data, **options).result

    def finished(self, ids: list[str]) -> dict[str, Any]:
        """Requests by their ids, when all have ended."""
        requests = wait_until(
            lambda: self.api.deployment_requests_batch_get(self.name, "model", ids),
            lambda requests: all(request.time_completed is not None for request in requests),
        )
        return {request.id: request for request in requests}

    def log(self, **filters: Any) -> list[str]:
        """What user code wrote, oldest first."""
        filters = {"system": False, **filters}
        lines = self.api.projects_log_list(self.name, data={"filters": filters, "limit": 500})
        return [line.log for line in reversed(lines)]

"""What the tests of `map_requests` share: deployments that wait for a gate, and the calls that were made."""

from __future__ import annotations

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject

FAILING = """
    class Deployment:
        def request(self, data):
            if data["x"] < 0:
                raise ValueError(data["x"])
            return {"y": data["x"] * 2}
"""


class Gate:
    """Holds up requests with an x of 0 or less until it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.code = textwrap.dedent(f"""
            import os, time

            class Deployment:
                def request(self, data):
                    while data["x"] <= 0 and not os.path.exists({str(path)!r}):
                        time.sleep(0.01)
                    return {{"y": data["x"] * 2}}
            """)

    def open(self) -> None:
        self._path.touch()


class Calls:
    """The calls of a client, noted where it sends them: the emulator keeps no list of them."""

    def __init__(self, api: ubiops.CoreApi, monkeypatch: pytest.MonkeyPatch) -> None:
        self.urls: list[str] = []
        self.statuses: Counter[int | None] = Counter()
        send = api.api_client.rest_client.send

        def noting(method: str, url: str, *args: Any, **kwargs: Any) -> Any:
            self.urls.append(url)
            try:
                return send(method, url, *args, **kwargs)
            except ubiops.ApiException as error:
                self.statuses[error.status] += 1
                raise

        monkeypatch.setattr(api.api_client.rest_client, "send", noting)

    def count(self, end: str) -> int:
        """How many paths end so."""
        return sum(url.partition("?")[0].endswith(end) for url in self.urls)

    @property
    def batches(self) -> int:
        return self.count("/requests/batch")


def requested(project: TestProject, name: str = "model") -> Counter[Any]:
    """How often each x was requested of a deployment."""
    found: Counter[Any] = Counter()
    ids = [request.id for request in project.api.project_requests_list(project.name, "deployment", limit=100_000)]
    for start in range(0, len(ids), 250):
        for request in project.api.deployment_requests_batch_get(project.name, name, ids[start : start + 250]):
            found[request.request_data["x"]] += 1
    return found


def statuses(project: TestProject) -> Counter[str]:
    """How many requests to deployments have each status."""
    requests = project.api.project_requests_list(project.name, "deployment", limit=100_000)
    return Counter(request.status for request in requests)


def xs(count: int, start: int = 1) -> list[dict[str, int]]:
    return [{"x": x} for x in range(start, start + count)]


@pytest.fixture
def calls(api: ubiops.CoreApi, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(api, monkeypatch)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path / "gate")

"""The emulator, in a process of its own, beside bare Starlette routes on uvicorn in another."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import urllib3

import ubiops
from test.benchmarks import starlette_server
from test.benchmarks.measure import MIB, Figure
from test.emulator.project import TestProject, make_zip, wait_until

_THREADS = 16
_ROUNDS = 5
_STATUS_CALLS = 2_000
_DIRECT_REQUESTS = 800
_BATCH = 250
_BATCHES = 15
_STORED = 100_000
_SIZE = 1 << 30
_GROWTH_CALLS = 50_000
_TOKEN = "Token benchmark"
_DIRECT = "/projects/lab/deployments/model/requests"
_STREAMS = 200
_PROCESSES = 10

# All are open when the last of them begins.
_STREAMING = """
    import time

    class Deployment:
        def request(self, data, context):
            context["streaming_update"](repr(time.time()))
            time.sleep(data["x"])
            return {"y": 0}
"""


def figures(_url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder, starlette_server.serving(Path(folder)) as (url, process):
        reference = _Server(url + "/v2.1", process)
        with running_emulator(Path(folder, "load")) as emulator:
            emulator.project().deploy()
            yield from _rates(emulator, reference)
            yield from _batches(emulator)
            yield from _growth(emulator)
        yield from _pages(Path(folder, "stored"))
        with running_emulator(Path(folder, "streams")) as emulator:
            yield from _streams(emulator)
        with running_emulator(Path(folder, "environments"), "--install-requirements") as emulator:
            yield from _environments(emulator)
        with running_emulator(Path(folder, "files")) as emulator:
            yield from _transfers(emulator, reference, Path(folder, "source.bin"))


class _Server:
    """A server to measure.

    Attributes:
        http: Keeps its connections.
        base: URL without the version of the API.
    """

    def __init__(self, url: str, process: int) -> None:
        self.http = urllib3.PoolManager(maxsize=_THREADS, headers={"Authorization": _TOKEN}, retries=False)
        self.base = url.removesuffix("/v2.1")
        self._url = url
        self._process = process

    def call(self, path: str, data: Any = None) -> Any:
        """Make a call; data makes it a POST."""
        method, body = ("GET", None) if data is None else ("POST", json.dumps(data))
        response = self.http.request(method, self._url + path, body=body, headers=self._headers(data))
        assert response.status < 300, response.data
        return response.json()

    def _headers(self, data: Any) -> dict[str, str]:
        return {"Authorization": _TOKEN, **({} if data is None else {"Content-Type": "application/json"})}

    def rate(self, path: str, data: Any, times: int) -> float:
        """Calls per second, in 16 threads."""
        with ThreadPoolExecutor(_THREADS) as executor:
            start = time.perf_counter()
            for _ in executor.map(lambda _: self.call(path, data), range(times)):
                pass
            return times / (time.perf_counter() - start)

    def seconds(self, path: str, data: Any = None) -> float:
        """What one call takes."""
        start = time.perf_counter()
        self.call(path, data)
        return time.perf_counter() - start

    def cpu_time(self, work: Callable[[], None]) -> float:
        """Seconds of CPU time that the server takes for the work."""
        start = self._cpu_time()
        work()
        return self._cpu_time() - start

    def _cpu_time(self) -> float:
        fields = Path(f"/proc/{self._process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self, field: str = "VmRSS") -> float:
        """MiB that the server has now, or (VmHWM) had at most since `forget_peak`."""
        status = Path(f"/proc/{self._process}/status").read_text()
        return int(status.partition(f"{field}:")[2].split()[0]) / 1024

    def forget_peak(self) -> None:
        Path(f"/proc/{self._process}/clear_refs").write_text("5")

    def api(self) -> ubiops.CoreApi:
        return ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration(self._url, {"Authorization": _TOKEN})))

    def project(self) -> TestProject:
        return TestProject(self.api(), "lab")


@contextmanager
def running_emulator(directory: Path, *more: str) -> Iterator[_Server]:
    options = ["--data-dir", str(directory), "--token", _TOKEN, "--project", "lab", *more]
    command = [sys.executable, "-m", "ubiops.emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield _Server(process.stdout.readline().strip().partition("=")[2], process.pid)
        finally:
            process.terminate()


def _rates(emulator: _Server, reference: _Server) -> Iterator[Figure]:
    status, direct = [], []
    for server in (emulator, reference):
        server.rate("/status", None, _STATUS_CALLS)
    emulator.rate(_DIRECT, {"x": 1}, _DIRECT_REQUESTS)
    for _ in range(_ROUNDS):
        bare = reference.rate("/status", None, _STATUS_CALLS)
        calls = emulator.rate("/status", None, _STATUS_CALLS)
        status.append(calls / bare)
        direct.append(emulator.rate(_DIRECT, {"x": 1}, _DIRECT_REQUESTS) / calls)
    yield Figure("status calls per second", median(status), 0.4, "x bare Starlette, 16 threads", at_least=True)
    yield Figure("direct requests per second", median(direct), 0.3, "x status calls, 16 threads", at_least=True)
    taken = median(emulator.seconds(_DIRECT, {"x": 1}) for _ in range(_DIRECT_REQUESTS))
    yield Figure("one direct request", taken * 1000, 30, "ms")


def _batches(emulator: _Server) -> Iterator[Figure]:
    project, accepted, status = emulator.project(), [], []
    for _ in range(_BATCHES):
        status += [emulator.seconds("/status") for _ in range(20)]
        start = time.perf_counter()
        requests = emulator.call(f"{_DIRECT}/batch", [{"x": 1}] * _BATCH)
        accepted.append(time.perf_counter() - start)
        project.finished([request["id"] for request in requests])
    yield Figure(f"a batch of {_BATCH} accepted", median(accepted) / median(status), 10, "x one status call")


def _growth(emulator: _Server) -> Iterator[Figure]:
    def make_calls(times: int) -> float:
        emulator.rate("/status", None, times // 2)
        emulator.rate(_DIRECT, {"x": 1}, times // 10)
        emulator.rate("/projects/lab/deployments/model", None, times * 2 // 5)
        return emulator.memory()

    # The first calls fill caches, and the database's page cache.
    before = make_calls(_GROWTH_CALLS // 5)
    yield Figure("50,000 requests, growth of memory", make_calls(_GROWTH_CALLS) - before, 8, "MiB")


def _pages(directory: Path) -> Iterator[Figure]:
    with running_emulator(directory) as emulator:
        emulator.project().deploy()
        emulator.call(_DIRECT, {"x": 1})
    _multiply(directory / "emulator.db")
    with running_emulator(directory) as emulator:
        pages = {offset: f"{_DIRECT}?limit=50&offset={offset}" for offset in (0, _STORED - 50)}
        for path in pages.values():
            assert len(emulator.call(path)) == 50
        taken = [[emulator.seconds(path) for path in pages.values()] for _ in range(100)]
        yield Figure(
            "the last page of 100,000 requests", median(last / first for first, last in taken), 3, "x the first"
        )


def _multiply(database: Path) -> None:
    """Copy the one request that is stored, below the API, which would take minutes."""
    with sqlite3.connect(database) as connection:
        cursor = connection.execute("SELECT * FROM deployment_request")
        columns = [column[0] for column in cursor.description]
        row = dict(zip(columns, cursor.fetchone(), strict=True))
        rows = ({**row, "number": None, "id": str(UUID(int=number))} for number in range(_STORED - 1))
        values = ", ".join(f":{column}" for column in columns)
        connection.executemany(f"INSERT INTO deployment_request VALUES ({values})", rows)
    connection.close()


def _streams(emulator: _Server) -> Iterator[Figure]:
    project = emulator.project()
    project.deploy(_STREAMING)
    instances = _STREAMS // _PROCESSES
    scaling = {"maximum_instances": instances, "minimum_instances": instances, "instance_processes": _PROCESSES}
    project.api.deployment_versions_update("lab", "model", "v1", scaling)

    def delays(number: int, seconds: float) -> list[float]:
        async def together() -> list[float]:
            return await asyncio.gather(*(_first_update(emulator.base, seconds) for _ in range(number)))

        return asyncio.run(together())

    # Until all processes are there.
    delays(_STREAMS, 3)
    single = median(delays(1, 0)[0] for _ in range(20))
    yield Figure("first byte of a stream", single * 1000, 20, "ms after the code's first update")
    burst = median(median(delays(_STREAMS, 2)) for _ in range(3))
    yield Figure(f"the same, {_STREAMS} streams at once", burst * 1000, 20, "ms, as the median of them")


async def _first_update(base: str, seconds: float) -> float:
    """Seconds between a process's update and its arrival; the request then goes on for some seconds.

    Over a bare socket: two hundred threads of a client would take longer than what is measured.
    """
    url, body = urlsplit(base), json.dumps({"x": seconds})
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    head = [
        f"POST /v2.1{_DIRECT}/stream HTTP/1.1",
        *("Host: localhost", f"Authorization: {_TOKEN}", "Content-Type: application/json"),
        *(f"Content-Length: {len(body)}", "Connection: close"),
    ]
    writer.write("\r\n".join([*head, "", body]).encode())
    try:
        while not (line := await reader.readline()).startswith(b"data:"):
            assert line, "the request failed"
        delay = time.time() - float(line.removeprefix(b"data:"))
        await reader.read()
        return delay
    finally:
        writer.close()
        await writer.wait_closed()


def _environments(emulator: _Server) -> Iterator[Figure]:
    api: Any = emulator.api()
    python = f"python3-{sys.version_info.minor}"
    # Of this package alone, which needs no index.
    files = {"requirements.txt": "ubiops\n"}

    def build(number: int) -> float:
        api.environments_create("lab", {"name": f"own-{number}", "base_environment": python})
        start = time.perf_counter()
        upload = api.environment_revisions_file_upload("lab", f"own-{number}", file=make_zip(files))
        place = ("lab", upload.build, f"own-{number}", upload.revision)
        built = wait_until(
            lambda: api.environment_builds_get(*place), lambda build: build.status in ("success", "failed")
        )
        assert built.status == "success", built.error_message
        return time.perf_counter() - start

    build(0)
    shared = median(build(number) for number in range(1, 10))
    yield Figure("an environment that exists, shared", shared, 0.2, "s from its upload to the end of its build")


def _transfers(emulator: _Server, reference: _Server, source: Path) -> Iterator[Figure]:
    source.touch()
    # Sparse: it reads as 1 GiB of zeros and takes no space.
    os.truncate(source, _SIZE)
    api: Any = emulator.api()
    url = reference.base + "/file"
    emulator.forget_peak()
    before = emulator.memory()
    upload = api.files_upload("lab", "default", "big").url
    up = _relative(emulator, partial(_put, upload, source), reference, partial(_put, url, source))
    download = api.files_download("lab", "default", "big").url
    down = _relative(emulator, partial(_get, download), reference, partial(_get, url))
    for name, ratio in (("up", up), ("down", down)):
        yield Figure(f"1 GiB {name} through a bucket, CPU", ratio, 2, "x bare Starlette")
    yield Figure("1 GiB up and down, growth of memory", emulator.memory("VmHWM") - before, 16, "MiB")


def _relative(emulator: _Server, work: Callable[[], None], reference: _Server, bare: Callable[[], None]) -> float:
    """CPU time that the emulator takes relative to the reference, as a median."""
    return median(emulator.cpu_time(work) / reference.cpu_time(bare) for _ in range(3))


def _put(url: str, source: Path) -> None:
    with urllib3.PoolManager(blocksize=MIB, retries=False) as http, source.open("rb") as file:
        response = http.request("PUT", url, body=file, headers={"Content-Length": str(_SIZE)})
        assert response.status < 300, response.data


def _get(url: str) -> None:
    with urllib3.PoolManager(retries=False) as http:
        response = http.request("GET", url, preload_content=False)
        assert sum(len(block) for block in response.stream(MIB)) == _SIZE

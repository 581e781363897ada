"""The emulator, in a process of its own, beside bare Starlette routes on uvicorn in another."""

from __future__ import annotations

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
from uuid import UUID

import urllib3

import ubiops
from test.benchmarks import starlette_server
from test.benchmarks.measure import MIB, Figure
from test.emulator.project import TestProject

_THREADS = 16
_ROUNDS = 5
_STATUS_CALLS = 2_000
_DIRECT_REQUESTS = 800
_BATCH = 250
_BATCHES = 15
_STORED = 100_000
_SIZE = 1 << 30
_GROWTH_CALLS = 50_000
TOKEN = "Token benchmark"
DIRECT = "/projects/lab/deployments/model/requests"


def figures(_url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder, starlette_server.serving(Path(folder)) as (url, process):
        reference = Server(url + "/v2.1", process)
        with running_emulator(Path(folder, "load")) as emulator:
            emulator.project().deploy()
            yield from _rates(emulator, reference)
            yield from _batches(emulator)
            yield from _growth(emulator)
        yield from _pages(Path(folder, "stored"))
        with running_emulator(Path(folder, "files")) as emulator:
            yield from _transfers(emulator, reference, Path(folder, "source.bin"))


class Server:
    """A server to measure.

    Attributes:
        http: Keeps its connections.
        base: URL without the version of the API.
    """

    def __init__(self, url: str, process: int) -> None:
        self.http = urllib3.PoolManager(maxsize=_THREADS, headers={"Authorization": TOKEN}, retries=False)
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
        return {"Authorization": TOKEN, **({} if data is None else {"Content-Type": "application/json"})}

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
        return ubiops.CoreApi(ubiops.ApiClient(ubiops.Configuration(self._url, {"Authorization": TOKEN})))

    def project(self) -> TestProject:
        return TestProject(self.api(), "lab")


@contextmanager
def running_emulator(directory: Path, *more: str) -> Iterator[Server]:
    options = ["--data-dir", str(directory), "--token", TOKEN, "--project", "lab", *more]
    command = [sys.executable, "-m", "ubiops.emulator", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Server(process.stdout.readline().strip().partition("=")[2], process.pid)
        finally:
            process.terminate()


def _rates(emulator: Server, reference: Server) -> Iterator[Figure]:
    status, direct = [], []
    for server in (emulator, reference):
        server.rate("/status", None, _STATUS_CALLS)
    emulator.rate(DIRECT, {"x": 1}, _DIRECT_REQUESTS)
    for _ in range(_ROUNDS):
        bare = reference.rate("/status", None, _STATUS_CALLS)
        calls = emulator.rate("/status", None, _STATUS_CALLS)
        status.append(calls / bare)
        direct.append(emulator.rate(DIRECT, {"x": 1}, _DIRECT_REQUESTS) / calls)
    yield Figure("status calls per second", median(status), 0.4, "x bare Starlette, 16 threads", at_least=True)
    yield Figure("direct requests per second", median(direct), 0.3, "x status calls, 16 threads", at_least=True)
    taken = median(emulator.seconds(DIRECT, {"x": 1}) for _ in range(_DIRECT_REQUESTS))
    yield Figure("one direct request", taken * 1000, 30, "ms")


def _batches(emulator: Server) -> Iterator[Figure]:
    project, accepted, status = emulator.project(), [], []
    for _ in range(_BATCHES):
        status += [emulator.seconds("/status") for _ in range(20)]
        start = time.perf_counter()
        requests = emulator.call(f"{DIRECT}/batch", [{"x": 1}] * _BATCH)
        accepted.append(time.perf_counter() - start)
        project.finished([request["id"] for request in requests])
    yield Figure(f"a batch of {_BATCH} accepted", median(accepted) / median(status), 10, "x one status call")


def _growth(emulator: Server) -> Iterator[Figure]:
    def make_calls(times: int) -> float:
        emulator.rate("/status", None, times // 2)
        emulator.rate(DIRECT, {"x": 1}, times // 10)
        emulator.rate("/projects/lab/deployments/model", None, times * 2 // 5)
        return emulator.memory()

    # The first calls fill caches, and the database's page cache.
    before = make_calls(_GROWTH_CALLS // 5)
    yield Figure("50,000 requests, growth of memory", make_calls(_GROWTH_CALLS) - before, 8, "MiB")


def _pages(directory: Path) -> Iterator[Figure]:
    with running_emulator(directory) as emulator:
        emulator.project().deploy()
        emulator.call(DIRECT, {"x": 1})
    _multiply(directory / "emulator.db")
    with running_emulator(directory) as emulator:
        pages = {offset: f"{DIRECT}?limit=50&offset={offset}" for offset in (0, _STORED - 50)}
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


def _transfers(emulator: Server, reference: Server, source: Path) -> Iterator[Figure]:
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


def _relative(emulator: Server, work: Callable[[], None], reference: Server, bare: Callable[[], None]) -> float:
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

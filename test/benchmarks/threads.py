"""One client in 16 threads, beside one pool manager in 16 threads; and what 20,000 calls leave behind."""

from __future__ import annotations

import gc
import json
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import urllib3

import ubiops
from test.benchmarks.data import CREDENTIALS, DEPLOYMENT_PATH
from test.benchmarks.measure import Figure, in_fresh_process, ratio, resident, wall_time
from test.benchmarks.server import connections

_ROUNDS = 7
_THREADS = 16
_CALLS = 1_000


def figures(url: str) -> Iterator[Figure]:
    for name, rate, opened in in_fresh_process(_rates, url):
        yield Figure(f"calls per second by {name}", rate, 0.8, "x urllib3 in 16 threads", at_least=True)
        yield Figure(f"connections by {name}", opened, _THREADS, "")
    growth = in_fresh_process(_growth, url)
    yield Figure("20,000 calls, growth of memory", growth.memory, 1, "MiB")
    yield Figure("20,000 calls, growth of descriptors", growth.descriptors, 0, "")
    yield Figure("20,000 calls, growth of threads", growth.threads, 0, "")


class _Callers:
    """The ways to make many calls at once."""

    def __init__(self, url: str, executor: ThreadPoolExecutor) -> None:
        self._url = url
        self._executor = executor
        self._api = self._new_api()
        self._async_api = self._new_api()
        self._http = urllib3.PoolManager(maxsize=_THREADS)

    def _new_api(self) -> ubiops.CoreApi:
        configuration = ubiops.Configuration(host=self._url, api_key=CREDENTIALS)
        return ubiops.CoreApi(ubiops.ApiClient(configuration, pool_threads=_THREADS))

    def by_executor(self) -> None:
        self._in_executor(lambda _: self._api.deployments_get("project", "deployment"))

    def by_async_req(self) -> None:
        results: list[Any] = [
            self._async_api.deployments_get("project", "deployment", async_req=True) for _ in range(_CALLS)
        ]
        for result in results:
            result.get()

    def reference(self) -> None:
        target = self._url + DEPLOYMENT_PATH
        self._in_executor(lambda _: json.loads(self._http.request("GET", target, headers=CREDENTIALS).data))

    def _in_executor(self, call: Any) -> None:
        for _ in self._executor.map(call, range(_CALLS)):
            pass


def _rates(url: str) -> list[tuple[str, float, int]]:
    """Name, relative rate and number of connections of each way."""
    rates = []
    with ThreadPoolExecutor(_THREADS) as executor:
        callers = _Callers(url, executor)
        callers.reference()
        for name, work in (("ThreadPoolExecutor", callers.by_executor), ("async_req", callers.by_async_req)):
            before = connections(url) + 1
            rate = 1 / ratio(work, callers.reference, _ROUNDS, wall_time)
            rates.append((name, rate, connections(url) - before))
    return rates


class _State(NamedTuple):
    memory: float
    descriptors: int
    threads: int

    @classmethod
    def now(cls) -> _State:
        gc.collect()
        return cls(resident(), len(os.listdir("/proc/self/fd")), threading.active_count())


def _growth(url: str) -> _State:
    with ThreadPoolExecutor(_THREADS) as executor:
        callers = _Callers(url, executor)

        def make_calls(times: int) -> _State:
            for _ in range(times):
                callers.by_executor()
                callers.by_async_req()
            return _State.now()

        # The first calls start the threads and open the connections.
        before, after = make_calls(2), make_calls(20_000 // (2 * _CALLS))
    return _State(*(late - early for early, late in zip(before, after, strict=True)))  # type: ignore[arg-type]

"""10,000 inputs through `map_requests`, beside a loop written by hand; and the memory that 20,000 take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import ubiops
from test.benchmarks.emulator import running_emulator
from test.benchmarks.measure import MIB, Figure, in_fresh_process, traced_peak, wall_time
from ubiops.utils import map_requests

_INPUTS = 10_000
_ROUNDS = 3
_BATCH = 250
_IN_FLIGHT = 4
_PAUSE = 0.5
_FEW, _MANY = 2_000, 20_000


def figures(_url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder, running_emulator(Path(folder)) as emulator:
        emulator.project().deploy()
        api = emulator.api()
        for work in (_by_hand, _mapped):
            # The first batches start the instances.
            work(api, _BATCH)
        ratios = []
        for number in range(_ROUNDS):
            # Each is the first in turn: the emulator has more to keep with every request.
            works = [_by_hand, _mapped][:: (-1) ** number]
            taken = {work: wall_time(partial(work, api, _INPUTS)) for work in works}
            ratios.append(taken[_by_hand] / taken[_mapped])
        yield Figure("10,000 inputs by map_requests", median(ratios), 0.9, "x a loop by hand", at_least=True)
        growth = in_fresh_process(_growth, api.api_client.configuration)
        yield Figure("20,000 inputs after 2,000, growth of memory", growth / MIB, 0.5, "MiB")


def _inputs(count: int) -> Iterator[dict[str, int]]:
    return ({"x": x} for x in range(count))


def _mapped(api: Any, count: int) -> None:
    for item in map_requests(api, "lab", "model", inputs=_inputs(count)):
        assert item.result == {"y": 2 * item.index}


def _by_hand(api: Any, count: int) -> None:
    """Batches at the limit, four at a time; the oldest is collected in one page, until all of it is there."""
    inputs, batches, index = _inputs(count), deque[list[str]](), 0
    while index < count:
        while len(batches) < _IN_FLIGHT and (data := [one for _, one in zip(range(_BATCH), inputs, strict=False)]):
            created = api.batch_deployment_requests_create("lab", "model", data)
            batches.append([request.id for request in created])
        found = {request.id: request for request in api.deployment_requests_batch_get("lab", "model", batches[0])}
        if not all(request.status == "completed" for request in found.values()):
            time.sleep(_PAUSE)
            continue
        for id in batches.popleft():
            assert found[id].result == {"y": 2 * index}
            index += 1


def _growth(configuration: ubiops.Configuration) -> float:
    """Bytes by which many inputs need more than few."""
    with ubiops.ApiClient(configuration) as client:
        api = ubiops.CoreApi(client)
        _mapped(api, _BATCH)
        few = traced_peak(lambda: _mapped(api, _FEW))
        return traced_peak(lambda: _mapped(api, _MANY)) - few

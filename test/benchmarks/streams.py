"""How soon an update of code reaches who reads the stream, with two hundred streams open at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from test.benchmarks.emulator import DIRECT, TOKEN, Server, running_emulator
from test.benchmarks.measure import Figure

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
    with TemporaryDirectory() as folder, running_emulator(Path(folder)) as emulator:
        yield from _delays(emulator)


def _delays(emulator: Server) -> Iterator[Figure]:
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
        f"POST /v2.1{DIRECT}/stream HTTP/1.1",
        *("Host: localhost", f"Authorization: {TOKEN}", "Content-Type: application/json"),
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

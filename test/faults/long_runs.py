"""Runs that take minutes: interrupts, many threads, many calls, kills."""

from __future__ import annotations

import os
import random
import signal
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import ubiops
import ubiops.rest
import ubiops.utils
from test.emulator import kills as emulator_kills
from test.faults.calls import KINDS, right_answer
from test.faults.table import descriptors
from test.server import Answer
from test.unit.raw_server import RawServer

Result = tuple[str, list[str]]
"""What was counted, and what is bad."""


def _echoing(failing: float) -> Callable[[RawServer, socket.socket], None]:
    """A server whose answers name what was asked for; some share of them fails, in different ways."""

    def serve(server: RawServer, connection: socket.socket) -> None:
        chance = random.Random(id(connection))
        with suppress(OSError):
            while True:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    data = connection.recv(1 << 14)
                    if not data:
                        return
                    head += data
                name = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
                answer = Answer.json({"id": name, "name": name, "project": "lab"}).raw()
                if chance.random() < failing:
                    kind = chance.randrange(5)
                    if kind == 0:
                        return
                    if kind == 1:
                        connection.sendall(answer[: len(answer) // 2])
                        return
                    answer = (
                        Answer.json({"error": "busy"}, 503).raw(),
                        b"HTTP/1.1 103 Hints\r\n\r\n" + answer,
                        answer + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
                    )[kind - 2]
                connection.sendall(answer)

    return serve


def _memory() -> int:
    """Resident memory in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


def _client(server: RawServer) -> ubiops.ApiClient:
    configuration = ubiops.Configuration(server.url)
    configuration.retries = 2
    return ubiops.ApiClient(configuration)


def _no_pauses() -> Any:
    return mock.patch.object(ubiops.rest, "time", SimpleNamespace(sleep=lambda seconds: None))


def calls(count: int = 200_000) -> Result:
    """Calls one after the other, of which 5 % fail at first: memory, descriptors and threads stay where they are."""
    outcomes: Counter[str] = Counter()
    bad = []
    with _no_pauses(), RawServer(_echoing(0.05)) as server, _client(server) as client:
        api = ubiops.CoreApi(client)
        marks = []
        for number in range(count):
            outcomes[_ask(api, f"n{number}")] += 1
            if number in (count // 10, count - 1):
                server._threads[:] = [thread for thread in server._threads if thread.is_alive()]
                server._open[:] = [one for one in server._open if one.fileno() != -1]
                marks.append((_memory(), descriptors()))
    (memory, opened), (memory_after, opened_after) = marks
    if memory_after > memory + 10_000:
        bad.append(f"memory grew from {memory} to {memory_after} KiB")
    if opened_after > opened + 4:
        bad.append(f"descriptors grew from {opened} to {opened_after}")
    bad += [f"{number} calls: {text}" for text, number in outcomes.items() if text.startswith("BAD")]
    return f"{count} calls, {dict(outcomes)}, memory {memory} -> {memory_after} KiB, descriptors {opened_after}", bad


def _ask(api: ubiops.CoreApi, name: str) -> str:
    try:
        answer = api.deployments_get("lab", name, _request_timeout=60)
    except ubiops.ApiException as error:
        return type(error).__name__
    return "right" if answer.name == name else f"BAD: {answer.name} for {name}"


def threads(seconds: int = 120, count: int = 64) -> Result:
    """Many threads that share a client, closed now and then: each gets the answer to its own request."""
    outcomes: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with _no_pauses(), RawServer(_echoing(0.05)) as server, _client(server) as client:
        api = ubiops.CoreApi(client)

        def work(which: int) -> None:
            number = 0
            while time.monotonic() < end:
                number += 1
                outcomes[_ask(api, f"t{which}n{number}")] += 1

        workers = [threading.Thread(target=work, args=(which,), daemon=True) for which in range(count)]
        for worker in workers:
            worker.start()
        while time.monotonic() < end:
            time.sleep(0.5)
            client.close()
        for worker in workers:
            worker.join(100)
        hanging = sum(worker.is_alive() for worker in workers)
    bad = [f"{number} calls: {text}" for text, number in outcomes.items() if text.startswith("BAD")]
    bad += [f"{hanging} threads hang"] if hanging else []
    return f"{count} threads, {seconds} s, {sum(outcomes.values())} calls: {dict(outcomes)}", bad


def _works(api: ubiops.CoreApi) -> bool:
    """Whether a call works; in a thread, since what hangs here would hang for ever."""
    names = []
    thread = threading.Thread(
        target=lambda: names.append(api.deployments_get("lab", "model", _request_timeout=60).name), daemon=True
    )
    thread.start()
    thread.join(100)
    return names == ["model"]


def interrupts(count: int = 3000) -> Result:
    """Ctrl-C at random moments of calls, transfers and `close`: what follows works."""
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    main = threading.main_thread().ident
    assert main is not None
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = [KINDS[name] for name in ("read", "create", "upload", "download", "stream", "upload_file", "paginate")]

    def serve(server: RawServer, connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                head = server.read_head(connection)
                left = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0] or 0)
                while left > 0:
                    left -= len(connection.recv(min(left, 1 << 16)))
                connection.sendall(right_answer(head))

    with RawServer(serve) as server, tempfile.TemporaryDirectory() as folder:
        client = _client(server)
        api = ubiops.CoreApi(client)
        for number in range(count):
            kind = random.choice(chosen)
            timer = threading.Timer(random.uniform(0, 0.02), os.kill, (os.getpid(), signal.SIGINT))
            try:
                timer.start()
                while True:
                    kind.run(api, Path(folder))
                    if number % 10 == 0:
                        client.close()
            except KeyboardInterrupt:
                outcomes["interrupted"] += 1
            except ubiops.ApiException as error:
                outcomes[f"{type(error).__name__} before it"] += 1
                with suppress(KeyboardInterrupt):
                    timer.join()
                    time.sleep(0.01)
            if not _works(api):
                bad.append(f"after interrupt {number} the next call hangs or fails")
                client = _client(server)
                api = ubiops.CoreApi(client)
        client.close()
        server.heads.clear()
    return f"{count} interrupts: {dict(outcomes)}", bad


def kills(count: int = 20) -> Result:
    """An emulator that is killed under load: nothing that it has accepted is lost."""
    with tempfile.TemporaryDirectory() as folder:
        return emulator_kills.run(Path(folder), count), []


RUNS: dict[str, Callable[..., Result]] = {
    "interrupts": interrupts,
    "threads": threads,
    "calls": calls,
    "kills": kills,
}

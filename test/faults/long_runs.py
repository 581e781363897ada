"""Runs that take minutes: interrupts, many threads, many calls, forks, programs that end, kills."""

from __future__ import annotations

import gc
import importlib
import multiprocessing
import os
import random
import signal
import socket
import subprocess
import sys
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
from test.emulator import kills as emulator_kills
from test.faults.answers import right_answer
from test.faults.faults import read_body
from test.faults.helpers import KINDS, impatient
from test.faults.table import descriptors
from test.server import Answer, Recorded, Server
from test.unit.raw_server import RawServer
from ubiops.exceptions import OpenApiException

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
            if number % 1000 == 999:
                # What the server keeps of connections that have ended.
                server._threads[:] = [thread for thread in server._threads if thread.is_alive()]
                server._open[:] = [one for one in server._open if one.fileno() != -1]
            if number in (count // 10, count - 1):
                gc.collect()
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


def _answer_rightly(server: RawServer, connection: socket.socket) -> None:
    with suppress(OSError):
        while True:
            head = server.read_head(connection)
            read_body(connection, head)
            connection.sendall(right_answer(server, head))
            if len(server.heads) > 1000:
                del server.heads[:-10]


def interrupts(count: int = 3000) -> Result:
    """Ctrl-C at random moments of calls, transfers, maps, waits and `close`: what follows works."""
    outcomes: Counter[str] = Counter()
    bad: list[str] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = [name for name in KINDS if ":" not in name]
    # An import of numpy that was interrupted can't be repeated.
    importlib.import_module("pandas")
    importlib.import_module("matplotlib.figure")
    with impatient(), RawServer(_answer_rightly) as server, tempfile.TemporaryDirectory() as folder:
        client = _client(server)
        api = ubiops.CoreApi(client)
        for number in range(count):
            name = random.choice(names)
            outcome = _interrupt(api, name, Path(tempfile.mkdtemp(dir=folder)), closing=number % 4 == 0)
            outcomes[outcome] += 1
            if not _works(api):
                bad.append(f"after interrupt {number}, of {name}, the next call hangs or fails")
                client = _client(server)
                api = ubiops.CoreApi(client)
        client.close()
        gc.collect()
        outcomes["files left"] = sum(1 for path in Path(folder).rglob(".ubiops-*"))
    return f"{count} interrupts: {dict(outcomes)}", bad


def _interrupt(api: ubiops.CoreApi, name: str, folder: Path, closing: bool) -> str:
    """Make calls of a kind until the signal comes; what came of it."""
    timer = threading.Timer(random.uniform(0, 0.03), os.kill, (os.getpid(), signal.SIGINT))
    # Python swallows what is raised in a finalizer.
    end = time.monotonic() + 30
    number = 0
    try:
        timer.start()
        while time.monotonic() < end:
            number += 1
            (folder / str(number)).mkdir()
            KINDS[name].run(api, folder / str(number))
            if closing:
                api.api_client.close()
        return "swallowed"
    except KeyboardInterrupt:
        return "interrupted"
    except (ubiops.ApiException, OpenApiException) as error:
        with suppress(KeyboardInterrupt):
            timer.join()
            time.sleep(0.01)
        return f"{type(error).__name__} before it"


def forks(count: int = 200) -> Result:
    """Children by fork and by spawn while threads call: each makes calls of its own, and the parent's go on."""
    outcomes: Counter[str] = Counter()
    stopped = threading.Event()
    with _no_pauses(), RawServer(_echoing(0)) as server, _client(server) as client:
        api = ubiops.CoreApi(client)

        def work(which: int) -> None:
            number = 0
            while not stopped.is_set():
                number += 1
                outcomes[_ask(api, f"t{which}n{number}")] += 1

        workers = [threading.Thread(target=work, args=(which,), daemon=True) for which in range(8)]
        for worker in workers:
            worker.start()
        codes: Counter[int] = Counter(_in_a_child(api, number) for number in range(count))
        with multiprocessing.get_context("spawn").Pool(2) as processes:
            spawned = processes.starmap(_ask, [(api, f"s{number}") for number in range(count)])
        stopped.set()
        for worker in workers:
            worker.join(100)
        hanging = sum(worker.is_alive() for worker in workers)
    bad = [f"{number} calls: {text}" for text, number in (outcomes + Counter(spawned)).items() if text != "right"]
    bad += [f"{number} children ended with {code}" for code, number in codes.items() if code]
    bad += [f"{hanging} threads hang"] if hanging else []
    return f"{count} forks, {count} calls in spawned processes, {sum(outcomes.values())} calls of the parent", bad


def _in_a_child(api: ubiops.CoreApi, number: int) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            # Kills what hangs.
            signal.alarm(100)
            code = 0 if all(_ask(api, f"c{number}n{which}") == "right" for which in range(3)) else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


_ENDING = """
import sys, threading, time
import ubiops
from ubiops.utils import MetricClient
configuration = ubiops.Configuration(sys.argv[1])
client = ubiops.ApiClient(configuration, pool_threads=4)
api = ubiops.CoreApi(client)
metrics = MetricClient("lab", client)
metrics.start()
for number in range(int(sys.argv[2])):
    metrics.log_metric("custom.m", {}, float(number))
for number in range(int(sys.argv[3])):
    api.deployment_requests_create("lab", f"n{number}", {"a": number}, async_req=True)
time.sleep(float(sys.argv[4]))
print("ends", flush=True)
if sys.argv[5] == "close":
    client.close()
elif sys.argv[5] == "raise":
    raise RuntimeError("the program's own")
elif sys.argv[5] == "exit":
    sys.exit(1)
"""


def _late(request: Recorded) -> Answer:
    time.sleep(random.uniform(0, 0.05))
    return Answer.json({})


def ends(count: int = 50) -> Result:
    """Programs that end with asynchronous calls and values of metrics on their way: all arrive, once."""
    bad: list[str] = []
    sent = 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in range(count):
        server = Server()
        server.default = _late
        values, calls, how = random.randrange(20), random.randrange(20), random.choice(["", "close", "raise", "exit"])
        command = [sys.executable, "-c", _ENDING, server.url, str(values), str(calls), str(random.uniform(0, 0.2)), how]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
        arrived = _calls(server)
        points = sum(len(request.json["data"]) for request in server.requests if request.path.endswith("aggregate"))
        if len(arrived) != calls or set(arrived.values()) > {1} or points != values:
            bad.append(f"{arrived} of {calls} calls and {points} of {values} values arrived: {done.stderr}")
        if done.returncode != (how in ("raise", "exit")):
            bad.append(f"it ended with {done.returncode} after {how!r}: {done.stderr}")
        sent += values + calls
        server.close()
    return f"{count} programs, with {sent} calls and values", bad


def exits(count: int = 200) -> Result:
    """Ctrl-C while the interpreter ends, with calls and values on their way: none is sent twice, and it ends."""
    outcomes: Counter[int] = Counter()
    bad: list[str] = []
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for _ in range(count):
        server = Server()
        server.default = _late
        command = [sys.executable, "-c", _ENDING, server.url, "5", "5", "0", random.choice(["", "close", "exit"])]
        program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(random.uniform(0, 0.1))
        program.send_signal(signal.SIGINT)
        try:
            _, shown = program.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            program.kill()
            _, shown = program.communicate()
            bad.append(f"it hangs: {shown}")
        outcomes[program.returncode] += 1
        repeated = [path for path, times in _calls(server).items() if times > 1]
        if repeated:
            bad.append(f"sent twice: {repeated}")
        if "Traceback" in shown and "KeyboardInterrupt" not in shown:
            bad.append(f"it broke: {shown}")
        server.close()
    return f"{count} interrupts while a program ends, by its exit status: {dict(outcomes)}", bad


def _calls(server: Server) -> Counter[str]:
    return Counter(request.path for request in server.requests if not request.path.endswith("aggregate"))


def kills(count: int = 20) -> Result:
    """An emulator that is killed under load: nothing that it has accepted is lost."""
    with tempfile.TemporaryDirectory() as folder:
        return emulator_kills.run(Path(folder), count), []


RUNS: dict[str, Callable[..., Result]] = {
    "interrupts": interrupts,
    "threads": threads,
    "calls": calls,
    "forks": forks,
    "ends": ends,
    "exits": exits,
    "kills": kills,
}

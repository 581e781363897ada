"""An instance: the process that holds the user's code and answers requests over a private socket.

It runs as a script, not as a module of the emulator, so that it starts without the emulator's dependencies. The
messages are JSON, one a line; the standard streams belong to the user's code.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import resource
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Channel:
    """The line to the emulator."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._socket = socket.socket(fileno=descriptor)
        self._incoming: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # Killed before it read all that was sent, the emulator leaves a reset connection, not the end of one.
        with contextlib.suppress(ConnectionError), self._socket.makefile("rb") as lines:
            for line in lines:
                self._incoming.put(line)
        # The emulator is gone. The user's code may be busy, and may have started processes: all end with it.
        os.killpg(0, signal.SIGKILL)

    def receive(self) -> Any:
        return json.loads(self._incoming.get())

    def send(self, message: dict[str, Any]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self._socket.sendall(_encode(message) + b"\n")


def _encode(message: dict[str, Any]) -> bytes:
    try:
        return json.dumps(message, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        return json.dumps({"error": f"The output can't be written as JSON: {error}"}).encode()


def _report(error: Exception) -> None:
    """Write what the user's code raised to the log."""
    if error.__cause__ is not None:
        traceback.print_exception(error.__cause__)


def main() -> None:
    # The folder of this script would hide modules of the user; the one that holds ubiops comes last.
    sys.path[:1] = []
    sys.path.append(str(Path(__file__).resolve().parents[3]))
    from ubiops.deployment_package import Deployment, PackageError, RequestError, absolute_paths, load

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    channel = Channel(int(sys.argv.pop()))
    start = channel.receive()

    def answer(deployment: Deployment, work: dict[str, Any]) -> dict[str, Any]:
        try:
            result = deployment.run(work["data"], work["context"])
            memory_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
            return {"result": absolute_paths(result, start["context"]["output_fields"]), "memory_peak": memory_peak}
        except RequestError as error:
            _report(error)
            return {"error": str(error)}

    try:
        deployment = load(Path(start["directory"]), start["context"])
    except PackageError as error:
        _report(error)
        channel.send({"error": str(error)})
        return
    channel.send(
        {
            "has_request_method": deployment.has_request_method,
            "has_requests_method": deployment.has_requests_method,
        }
    )
    while True:
        channel.send(answer(deployment, channel.receive()))


if __name__ == "__main__":
    main()

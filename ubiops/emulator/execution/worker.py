"""A worker process of an instance: it runs the user's code and answers requests over a private socket.

It runs as a script, passed to the interpreter as text since ubiops may be a zip, and not as a module of the emulator,
so that it starts without the emulator's dependencies. Messages are lines of JSON; the standard streams belong to the
user's code. It imports little, since that delays every start.
"""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Channel:
    """The connection to the emulator."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._reader = os.fdopen(descriptor, "rb")
        self._writer = os.fdopen(descriptor, "wb", closefd=False)
        self._incoming: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._sending = threading.Lock()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        # An emulator that is killed before it has read everything leaves a reset connection, not a closed one.
        try:
            for line in self._reader:
                self._incoming.put(line)
        except ConnectionError:
            pass
        # The emulator has ended. The user's code may be busy, and may have started processes: end them all.
        os.killpg(0, signal.SIGKILL)

    def receive(self) -> Any:
        return json.loads(self._incoming.get())

    def send(self, message: str) -> None:
        with self._sending:
            self._writer.write(message.encode() + b"\n")
            self._writer.flush()

    def answer(self, message: str) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.send(message)


def _report(error: Exception) -> None:
    """Write the exception of the user's code to the log."""
    if error.__cause__ is not None:
        import traceback

        traceback.print_exception(error.__cause__)


def main() -> None:
    # The current folder would hide modules of the user; the folder or zip of ubiops comes last.
    sys.path[:1] = []
    sys.path.append(sys.argv.pop())
    from ubiops.deployment_package import (
        DataError,
        Deployment,
        PackageError,
        RequestError,
        StreamingUpdate,
        absolute_paths,
        load,
        to_json,
    )

    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    channel = Channel(int(sys.argv.pop()))
    start = channel.receive()

    def answer(deployment: Deployment, work: dict[str, Any]) -> str:
        streaming_update = StreamingUpdate(lambda text: channel.send(json.dumps({"update": text})))
        context = {**work["context"], "streaming_update": streaming_update}
        try:
            result = absolute_paths(deployment.run(work["data"], context), start["context"]["output_fields"])
            memory_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT
            return to_json({"result": result, "memory_peak": memory_peak})
        except RequestError as error:
            _report(error)
            return to_json({"error": str(error)})
        except DataError as error:
            return to_json({"error": str(error)})
        finally:
            streaming_update.close()

    try:
        deployment = load(start["directory"], start["context"])
    except PackageError as error:
        _report(error)
        channel.answer(to_json({"error": str(error)}))
        return
    methods = ("has_request_method", "has_requests_method")
    channel.answer(to_json({name: getattr(deployment, name) for name in methods}))
    while True:
        channel.answer(answer(deployment, channel.receive()))


if __name__ == "__main__":
    main()

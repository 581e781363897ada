"""Every request that the operations of 3.12 make, byte for byte: `recording-3.12.1.jsonl.xz`, and how it was made.

It was made with release 3.12.1, by `python -m test.wire.recording FILE`, and stays as it is: what a program of that
release sends must never change. So each line holds the call too, not just the request; the document may grow.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ubiops
from test.unit.raw_server import RawServer
from test.wire.document import cases, sample, schema_name

RECORDING = Path(__file__).with_name("recording-3.12.1.jsonl.xz")
CONTENT = "PK\x03\x04 \r\n--not a boundary\r\n\x00"


class Call(NamedTuple):
    """A call of a method by keywords.

    Attributes:
        method: Name of the method.
        arguments: Its arguments, as JSON has them.
        model: The model that the argument `data` is made into, as its keywords; None for none.
        files: The arguments that become open files with the name that is their value.
    """

    method: str
    arguments: dict[str, Any]
    model: str | None = None
    files: tuple[str, ...] = ()

    def make(self, api: ubiops.CoreApi) -> None:
        given = dict(self.arguments)
        if self.model is not None:
            given["data"] = getattr(ubiops, self.model)(**given["data"])
        for name in self.files:
            file = io.BytesIO(CONTENT.encode())
            file.name = given[name]
            given[name] = file
        getattr(api, self.method)(**given)


class Recorder:
    """A server that answers 204 to everything, and a client of it."""

    def __init__(self) -> None:
        self._requests: list[bytes] = []
        self._server = RawServer(self._serve)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.close()

    def _serve(self, server: RawServer, connection: socket.socket) -> None:
        while True:
            head = server.read_head(connection)
            length = re.search(r"\r\nContent-Length: (\d+)\r\n", head)
            with connection.makefile("rb") as stream:
                body = stream.read(int(length[1]) if length else 0)
            self._requests.append(head.encode("latin-1") + body)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    def request_of(self, call: Call, client: ubiops.ApiClient) -> str:
        """The request that a call makes, but for what differs by run: port, versions, the boundary of a form."""
        self._requests.clear()
        call.make(ubiops.CoreApi(client))
        (request,) = self._requests
        text = request.decode("latin-1").replace(f"Host: 127.0.0.1:{self._server.port}\r\n", "Host: HOST\r\n")
        boundary = re.search(r"; boundary=(\w{32})\r\n", text)
        text = text.replace(boundary[1], "0" * 32) if boundary else text
        # A list may come compressed since 5.0: the one header that differs.
        head, gap, body = text.partition("\r\n\r\n")
        if head.endswith("\r\nAccept-Encoding: gzip"):
            head = head.removesuffix("\r\nAccept-Encoding: gzip")
            text = head.replace("Host: HOST\r\n", "Host: HOST\r\nAccept-Encoding: identity\r\n", 1) + gap + body
        return re.sub(r"\r\nUser-Agent: ubiops/\S+ \(Python \S+\)\r\n", "\r\nUser-Agent: ubiops\r\n", text)

    def client(self) -> ubiops.ApiClient:
        return ubiops.ApiClient(ubiops.Configuration(self._server.url, {"Authorization": "Token secret-token"}))


def recorded() -> Iterator[tuple[Call, str]]:
    """The calls and their requests, as release 3.12.1 made them."""
    with lzma.open(RECORDING, "rt", encoding="utf-8") as lines:
        for line in lines:
            *call, request = json.loads(line)
            yield Call(*call), request


def _calls() -> Iterator[Call]:
    for case in cases().values():
        files = tuple(argument.name for argument in case.arguments if argument.place == "file")

        def values(names: Iterator[Any], turn: int, full: bool, files: tuple[str, ...] = files) -> dict[str, Any]:
            return {
                argument.name: "pack age.zip" if argument.name in files else _value(argument, turn + index, full)
                for index, argument in enumerate(names)
            }

        required = values(iter(case.required), 0, False)
        full = [values(iter(case.arguments), turn, True) for turn in range(3)]
        yield Call(case.name, required, None, tuple(name for name in files if name in required))
        for given in full:
            yield Call(case.name, given, None, files)
        if model := case.body and schema_name(case.body.schema):
            yield from [Call(case.name, given, model) for given in (required, *full) if "data" in given]
        if case.text_when_str:
            yield Call(case.name, {**required, "data": "größe \U0001f680\r\n"})
            yield Call(case.name, {**required, "data": {"a": None, "ü": [1.5, True]}})


def _value(argument: Any, turn: int, full: bool) -> Any:
    return f"{argument.name} {turn}/%ü" if argument.place == "path" else sample(argument.schema, turn, full=full)


def main(path: str) -> None:
    with (
        Recorder() as recorder,
        recorder.client() as client,
        lzma.open(path, "wt", encoding="utf-8", preset=9 | lzma.PRESET_EXTREME) as lines,
    ):
        for call in _calls():
            lines.write(json.dumps([*call, recorder.request_of(call, client)], ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])

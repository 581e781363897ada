"""What a server answers where nothing is wrong: enough of the API for every kind of call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from test.server import Answer
from test.unit.raw_server import RawServer

__all__ = ["CONTENT", "DETAIL", "SIGNATURE", "STREAM", "right_answer"]

SIGNATURE = "s1gnature-of-the-tests"
CONTENT = bytes(range(256)) * 400
DATE = "2026-11-27T10:00:00.000000Z"
DETAIL = {
    "id": "d1",
    "name": "model",
    "project": "lab",
    "labels": {},
    "description": "x" * 300,
    "default_version": "v1",
    "input_type": "plain",
    "input_fields": [],
    "output_type": "plain",
    "output_fields": [],
}
VERSION = {
    "id": "v1",
    "deployment": "model",
    "version": "v1",
    "status": "available",
    "language": "r4.3",
    "active_revision": "old",
    "latest_revision": "r1",
    "latest_build": "b1",
    "request_retention_mode": "full",
    "creation_date": DATE,
}
BUILD = {"id": "b1", "revision": "r1", "status": "success", "error_message": "", "creation_date": DATE}
REQUEST = {
    "id": "q1",
    "status": "completed",
    "success": True,
    "request_data": "in",
    "result": "out",
    "error_message": None,
    "time_created": DATE,
    "version": "v1",
    "deployment": "model",
}
ENDED = {"id": "t1", "status": "completed", "error_message": None, "creation_date": DATE}
VARIABLE = {"id": "e1", "name": "A", "value": "1", "secret": False}
TEMPLATE = {"id": "t1", "details": {"name": "training-base-deployment", "input_type": "structured"}}
GRAPH = {
    "id": "v1",
    "pipeline": "line",
    "version": "v1",
    "objects": [{"name": "first", "reference_name": "model", "reference_type": "deployment", "version": "v1"}],
    "attachments": [
        {"destination_name": "first", "sources": [{"source_name": "pipeline_start", "mapping": []}]},
        {"destination_name": "pipeline_end", "sources": [{"source_name": "first", "mapping": []}]},
    ],
}
STREAM = b"data:one\n\ndata:two\n\n" + json.dumps(REQUEST).encode() + b"\n"

_OF_VERSION = r".*/deployments/[^/]+/versions/[^/]+"
_ANSWERS: Sequence[tuple[str, str, Any]] = (
    ("POST", r".*/logs", [{"id": "l1", "date": DATE, "log": "a line"}]),
    ("GET", r".*/metrics/.*", [{"start_date": DATE, "value": 1.5}]),
    ("POST", r".*/time-series/aggregate", {}),
    ("GET", r".*/environment-variables", []),
    ("POST", r".*/environment-variables", VARIABLE),
    ("GET", r".*/(exports|imports)/t1", ENDED),
    ("GET", r".*/environments/env/tags/t1", {**ENDED, "name": "t1", "status": "available"}),
    ("GET", r".*/environments/env/revisions/r1/builds/b1", BUILD),
    ("POST", r".*/environments/env/revisions", {"revision": "r1", "build": "b1"}),
    ("GET", r".*/environments/env", {"id": "e1", "name": "env", "latest_build": "b1", "latest_revision": "r1"}),
    ("POST", r".*/requests/(batch|collect)", [REQUEST]),
    ("GET", r".*/requests/q1", REQUEST),
    ("GET", rf"{_OF_VERSION}/builds/b1", BUILD),
    ("GET", rf"{_OF_VERSION}/builds", [BUILD]),
    ("GET", rf"{_OF_VERSION}/revisions/r1", {"id": "r1", "version": "v1", "creation_date": DATE}),
    ("POST", rf"{_OF_VERSION}/revisions", {"revision": "r1", "build": "b1"}),
    ("GET", _OF_VERSION, VERSION),
    ("GET", r".*/buckets/default/files", {"files": [{"file": "file", "size": len(CONTENT)}], "prefixes": []}),
    ("POST", r".*/files/[^/]+/start-multipart-upload", {"upload_id": "u1", "provider": "google_cloud_storage"}),
    ("POST", r".*/files/[^/]+/complete-multipart-upload", {}),
    ("POST", r".*/deployments/[^/]+/versions", VERSION),
    ("GET", r".*/template-deployments", [TEMPLATE]),
    ("GET", r".*/pipelines/[^/]+/versions/[^/]+", GRAPH),
    ("GET", r".*/deployments", [DETAIL, {**DETAIL, "name": "other"}]),
    ("POST", r".*/blobs", {"id": "b1", "filename": "file", "size": len(CONTENT)}),
)
"""The answers in JSON, each with a method and a pattern of paths; anything else is answered with `DETAIL`."""


def right_answer(server: RawServer, head: str, of_json: Callable[[Any], Any] = lambda value: value) -> bytes:
    """The right answer to a request.

    Args:
        server: The server that was asked.
        head: The head of the request.
        of_json: Is given each value that is answered in JSON, and returns what to answer in its place.
    """
    method, target, _ = head.split(" ", 2)
    path = target.partition("?")[0]
    if path.endswith("/storage"):
        return Answer(200, CONTENT if method == "GET" else b"", {"ETag": '"1"'}).raw()
    if path.endswith("/blobs/b1"):
        return Answer(200, CONTENT, {"Content-Disposition": 'attachment; filename="file"'}).raw()
    if path.endswith("/requests/stream"):
        return Answer(200, STREAM, {"Content-Type": "text/event-stream"}).raw()
    if method == "DELETE":
        return Answer(204).raw()
    return Answer.json(of_json(_json(server, method, path, head)), 201 if method == "POST" else 200).raw()


def _json(server: RawServer, method: str, path: str, head: str) -> Any:
    if re.fullmatch(r".*/files/[^/]+(/download)?", path):
        return {"provider": "google_cloud_storage", "url": f"{server.origin}/storage?signature={SIGNATURE}"}
    if re.fullmatch(r".*/versions/[^/]+/requests", path):
        # What was sent is there, whatever became of the answer.
        sent = any(re.match(r"POST \S+/requests/batch ", one) for one in server.heads)
        return [REQUEST] if sent and not re.search(r"[?&]offset=[1-9]", head) else []
    for wanted, pattern, value in _ANSWERS:
        if method == wanted and re.fullmatch(pattern, path):
            return value
    return DETAIL

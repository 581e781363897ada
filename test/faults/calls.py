"""The kinds of call that are put before the faults, and what each may come to."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ubiops
import ubiops.utils
from test.server import Answer

CONTENT = bytes(range(256)) * 400
DETAIL = {"id": "d1", "name": "model", "project": "lab", "labels": {}, "description": "x" * 300}
NEW = {"name": "model", "input_type": "plain", "output_type": "plain"}
TIMEOUT = 0.7


class Kind(NamedTuple):
    """A kind of call.

    Attributes:
        run: Called with the client and a folder; returns what it came to.
        right: What it must come to where nothing is wrong.
        once: Whether it may be sent only once, since it may have been carried out.
        applies: Whether a request of it is one to misbehave at, by its head.
    """

    run: Callable[[ubiops.CoreApi, Path], Any]
    right: Any
    once: bool = False
    applies: Callable[[str], bool] = lambda head: True


def right_answer(head: str) -> bytes:
    """The right answer to a request."""
    method, target, _ = head.split(" ", 2)
    path = target.partition("?")[0]
    if path.endswith("/storage"):
        return Answer(200, CONTENT if method == "GET" else b"", {"ETag": '"1"'}).raw()
    if "/files/" in path:
        host = head.lower().partition("host: ")[2].partition("\r\n")[0]
        url = f"http://{host}/storage?signature=s1gnature-of-the-tests"
        return Answer.json({"provider": "google_cloud_storage", "url": url}).raw()
    if path.endswith("/blobs/b1"):
        return Answer(200, CONTENT, {"Content-Disposition": 'attachment; filename="file"'}).raw()
    if method == "DELETE":
        return Answer(204).raw()
    if method == "GET" and path.endswith("/deployments"):
        return Answer.json([DETAIL, {**DETAIL, "name": "other"}]).raw()
    if method == "POST" and path.endswith("/blobs"):
        return Answer.json({"id": "b1", "filename": "file", "size": len(CONTENT)}, 201).raw()
    return Answer.json(DETAIL, 201 if method == "POST" else 200).raw()


def _name(model: Any) -> Any:
    """What is compared of an answer; the answer itself where it is of another shape."""
    return getattr(model, "name", None) or getattr(model, "filename", None) or model


def _at_storage(head: str) -> bool:
    return not head or "/storage" in head


def _download(api: ubiops.CoreApi, folder: Path) -> Any:
    target = folder / "target"
    target.mkdir()
    (target / "file").write_bytes(b"older")
    try:
        ubiops.utils.download_file(
            api.api_client, "lab", file_name="file", output_path=target, quiet=True, _request_timeout=TIMEOUT
        )
    except Exception:
        kept = sorted((path.name, path.read_bytes()) for path in target.iterdir())
        assert kept == [("file", b"older")], "half a file, or a temporary one"
        raise
    assert [path.name for path in target.iterdir()] == ["file"], "a temporary file"
    return (target / "file").read_bytes()


def _saved(api: ubiops.CoreApi, folder: Path) -> Any:
    api.api_client.configuration.temp_folder_path = str(folder)
    try:
        path: Any = api.blobs_get("lab", "b1", _preload_content=True, _request_timeout=TIMEOUT)
    except Exception:
        assert list(folder.iterdir()) == [], "half a file, or a temporary one"
        raise
    return Path(path).read_bytes()


def _raw(api: ubiops.CoreApi) -> Any:
    # The time of an answer that is left unread is the caller's.
    return api.deployments_get("lab", "model", _preload_content=False, _request_timeout=(TIMEOUT, TIMEOUT))


def _stream(api: ubiops.CoreApi, folder: Path) -> Any:
    with _raw(api) as response:
        return b"".join(response.stream(100))


def _opened(api: ubiops.CoreApi, folder: Path) -> Any:
    with api.blobs_get("lab", "b1", _request_timeout=(TIMEOUT, TIMEOUT)) as response:
        return response.read()


KINDS: dict[str, Kind] = {
    "read": Kind(lambda api, folder: _name(api.deployments_get("lab", "model", _request_timeout=TIMEOUT)), "model"),
    "list": Kind(
        lambda api, folder: [_name(one) for one in api.deployments_list("lab", _request_timeout=TIMEOUT) or ()],
        ["model", "other"],
    ),
    "create": Kind(
        lambda api, folder: _name(api.deployments_create("lab", NEW, _request_timeout=TIMEOUT)),
        "model",
        once=True,
    ),
    "update": Kind(
        lambda api, folder: _name(api.projects_update("lab", {"name": "model"}, _request_timeout=TIMEOUT)),
        "model",
        once=True,
    ),
    "delete": Kind(lambda api, folder: api.deployments_delete("lab", "model", _request_timeout=TIMEOUT), None),
    "upload": Kind(
        lambda api, folder: _name(api.blobs_create("lab", io.BytesIO(CONTENT), _request_timeout=TIMEOUT)),
        "file",
        once=True,
    ),
    "download": Kind(_opened, CONTENT),
    "download to disk": Kind(_saved, CONTENT),
    "stream": Kind(_stream, json.dumps(DETAIL).encode()),
    "asynchronous": Kind(
        lambda api, folder: _name(
            api.deployments_get("lab", "model", async_req=True, _request_timeout=TIMEOUT).get(60)
        ),
        "model",
    ),
    "paginate": Kind(
        lambda api, folder: [
            _name(one) for one in ubiops.utils.paginate(api.deployments_list, "lab", _request_timeout=TIMEOUT)
        ],
        ["model", "other"],
    ),
    "upload_file": Kind(
        lambda api, folder: ubiops.utils.upload_file(
            api.api_client, "lab", io.BytesIO(CONTENT), file_name="file", quiet=True, _request_timeout=TIMEOUT
        ),
        "ubiops-file://default/file",
        applies=_at_storage,
    ),
    "download_file": Kind(_download, CONTENT, applies=_at_storage),
}

"""The calls of operations that are put before the faults, and what each must come to where nothing is wrong."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ubiops
from test.faults.answers import CONTENT, DETAIL

NEW = {"name": "model", "input_type": "plain", "output_type": "plain"}
TIMEOUT = 0.7


class Kind(NamedTuple):
    """A kind of call.

    Attributes:
        run: Called with the client and a folder; returns what it came to.
        right: What it must come to where nothing is wrong.
        once: The beginning, as a pattern, of a request that may be sent only once, since it may have been carried out.
        at: The beginning, as a pattern, of the requests to misbehave at.
    """

    run: Callable[[ubiops.CoreApi, Path], Any]
    right: Any
    once: str | None = None
    at: str = ""


class Logged(str):
    """What became of a call that raises nothing, as it was logged."""

    __slots__ = ()


def name_of(model: Any) -> Any:
    """What is compared of an answer; the answer itself where it is of another shape."""
    return getattr(model, "name", None) or getattr(model, "filename", None) or model


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


CALLS: dict[str, Kind] = {
    "read": Kind(lambda api, folder: name_of(api.deployments_get("lab", "model", _request_timeout=TIMEOUT)), "model"),
    "list": Kind(
        lambda api, folder: [name_of(one) for one in api.deployments_list("lab", _request_timeout=TIMEOUT) or ()],
        ["model", "other"],
    ),
    "create": Kind(
        lambda api, folder: name_of(api.deployments_create("lab", NEW, _request_timeout=TIMEOUT)),
        "model",
        once="POST",
    ),
    "update": Kind(
        lambda api, folder: name_of(api.projects_update("lab", {"name": "model"}, _request_timeout=TIMEOUT)),
        "model",
        once="PATCH",
    ),
    "delete": Kind(lambda api, folder: api.deployments_delete("lab", "model", _request_timeout=TIMEOUT), None),
    "upload": Kind(
        lambda api, folder: name_of(api.blobs_create("lab", io.BytesIO(CONTENT), _request_timeout=TIMEOUT)),
        "file",
        once="POST",
    ),
    "download": Kind(_opened, CONTENT),
    "download to disk": Kind(_saved, CONTENT),
    "stream": Kind(_stream, json.dumps(DETAIL).encode()),
    "asynchronous": Kind(
        lambda api, folder: name_of(
            api.deployments_get("lab", "model", async_req=True, _request_timeout=TIMEOUT).get(60)
        ),
        "model",
    ),
}

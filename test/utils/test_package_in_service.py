"""Whether a package is the one in service, as `deploy` tells it: a length that differs is enough."""

from __future__ import annotations

import hashlib
import io
from types import SimpleNamespace
from typing import Any

import pytest

import ubiops
from test.utils.planned import Planned
from ubiops.utils.deployment import _Target

CONTENT = b"a zip"
CURRENT: Any = SimpleNamespace(status="available", active_revision="r", latest_build="b")


class Download(io.BytesIO):
    """The open response of a download, which tells whether it was read."""

    def __init__(self, length: str | None) -> None:
        super().__init__(CONTENT)
        self.headers = {} if length is None else {"Content-Length": length}


@pytest.mark.parametrize(
    ("length", "sha256", "read", "serves"),
    [
        ("5", hashlib.sha256(CONTENT).hexdigest(), True, True),
        (None, hashlib.sha256(CONTENT).hexdigest(), True, True),
        ("5", hashlib.sha256(b"other").hexdigest(), True, False),
        # What has another length isn't read: it may be 2 GB.
        ("6", hashlib.sha256(CONTENT).hexdigest(), False, False),
    ],
)
def test_a_length_that_differs_is_enough(length: str | None, sha256: str, read: bool, serves: bool) -> None:
    download = Download(length)
    position = []
    download.close = lambda: position.append(download.tell())  # type: ignore[method-assign]
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        build = SimpleNamespace(revision="r", status="success")
        api = Planned(client, builds_get=[build], revisions_file_download=[download])
        archive: Any = SimpleNamespace(size=len(CONTENT), sha256=sha256)
        assert _Target(api, "lab", "d", "v1").serves(CURRENT, archive) is serves
    assert set(position) == {len(CONTENT) if read else 0}

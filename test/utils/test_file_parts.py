"""Uploads in parts: what breaks off is one part, and a service that takes none gets the file whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ubiops
import ubiops.utils.files.transfer
from test.server import Answer, Recorded, Server
from test.utils.storage import Storage
from ubiops.utils import upload_file

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Shrunk: it is 1 GiB, in parts of 128 MiB.
    monkeypatch.setattr(ubiops.utils.files.transfer, "_LARGE", 5000)
    monkeypatch.setattr(ubiops.utils.files.transfer, "_PART", 4000)


class Parts:
    """The API and the storage of a service that takes parts."""

    def __init__(self, api: Server, storage: Storage, provider: str) -> None:
        self.completed: dict[str, Any] | None = None
        self.received: dict[str, bytes] = {}
        self._provider, self._storage = provider, storage
        api.default = self.answer
        storage.default = self.store

    def answer(self, request: Recorded) -> Answer:
        if request.path.endswith("/start-multipart-upload"):
            return Answer.json({"upload_id": "u", "provider": self._provider})
        if request.path.endswith("/complete-multipart-upload"):
            self.completed = json.loads(request.body)
            return Answer.json({"upload_id": "u", "provider": self._provider})
        number = request.query.get("part_number", "whole")
        return Answer.json({"url": f"{self._storage.origin}/{number}", "provider": self._provider})

    def store(self, request: Recorded) -> Answer:
        number = request.path[1:]
        self.received[number] = request.body
        return Answer(200, b"", {"ETag": f'"{number}"'})


@pytest.fixture
def large(tmp_path: Path) -> Path:
    file = tmp_path / "large.bin"
    file.write_bytes(CONTENT)
    return file


def test_a_large_file_goes_in_parts_and_a_broken_part_goes_again(
    server: Server, storage: Storage, client: ubiops.ApiClient, large: Path
) -> None:
    parts = Parts(server, storage, "ubiops")
    # The second part is refused once.
    storage.answers = [parts.store, Answer(503)]
    with large.open("rb") as opened:
        for source in (large, opened):
            uri = upload_file(client, "p", source, file_name="large.bin", quiet=True)
            assert uri == "ubiops-file://default/large.bin"
        assert b"".join(parts.received[number] for number in ("1", "2", "3")) == CONTENT
        assert parts.completed == {
            "upload_id": "u",
            "parts": [{"PartNumber": number, "ETag": f'"{number}"'} for number in ("1", "2", "3")],
        }
    assert [request.path for request in storage.requests] == ["/1", "/2", "/2", "/3", "/1", "/2", "/3"]


@pytest.mark.parametrize("provider", ["azure_blob_storage", None])
def test_it_goes_whole_where_parts_are_not_taken(
    server: Server, storage: Storage, client: ubiops.ApiClient, large: Path, provider: str | None
) -> None:
    parts = Parts(server, storage, provider or "ubiops")
    if provider is None:
        server.answers = [Answer(404)]
    upload_file(client, "p", large, quiet=True)
    assert parts.received == {"whole": CONTENT}
    assert parts.completed is None

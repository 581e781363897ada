"""Uploads in parts: what breaks off is one part, a call that died is continued, and a service may take none."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import ubiops
import ubiops.utils.files.upload
from test.emulator.project import TestProject
from test.server import Answer, Recorded, Server
from test.utils.storage import Storage
from ubiops.emulator import Emulator
from ubiops.files import Upload
from ubiops.utils import download_file, upload_file
from ubiops.utils.files.upload import _Storage, upload
from ubiops.utils.files.uri import UbiOpsFile

CONTENT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    # Shrunk: it is 1 GiB, in parts of 128 MiB.
    monkeypatch.setattr(ubiops.utils.files.upload, "_LARGE", 5000)
    monkeypatch.setattr(ubiops.utils.files.upload, "_PART", 4000)


class Parts:
    """The API and the storage of a service that takes parts."""

    def __init__(self, api: Server, storage: Storage, provider: str) -> None:
        self.started = 0
        self.completed: dict[str, Any] | None = None
        self.received: dict[str, bytes] = {}
        self.present: dict[str, Any] | None = None
        self._provider, self._storage = provider, storage
        api.default = self.answer
        storage.default = self.store

    def answer(self, request: Recorded) -> Answer:
        if request.path.endswith("/start-multipart-upload"):
            self.started += 1
            return Answer.json({"upload_id": "u", "provider": self._provider})
        if request.path.endswith("/complete-multipart-upload"):
            self.completed = json.loads(request.body)
            return Answer.json({"upload_id": "u", "provider": self._provider})
        if request.method == "GET":
            return Answer(404) if self.present is None else Answer.json(self.present)
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
    upload_file(client, "p", large, checkpoint=large.parent / "upload.jsonl", quiet=True)
    assert parts.received == {"whole": CONTENT}
    assert parts.completed is None
    assert not [path for path in large.parent.iterdir() if path != large]


UPLOADER = """
    import io, sys
    import ubiops
    from ubiops.utils.files import upload

    upload._LARGE, upload._PART = 5000, 4000

    class Slow(io.FileIO):
        def read(self, size=-1):
            if self.tell() == 8000:
                print("the second part is there", flush=True)
                sys.stdin.read()
            return super().read(size)

    host, token, path, checkpoint = sys.argv[1:]
    client = ubiops.ApiClient(ubiops.Configuration(host=host, api_key={"Authorization": token}))
    ubiops.utils.upload_file(client, "lab", Slow(path), checkpoint=checkpoint, quiet=True)
"""


def test_an_upload_whose_program_was_killed_goes_on(emulator: Emulator, project: TestProject, large: Path) -> None:
    checkpoint = large.parent / "upload.jsonl"
    configuration = project.api.api_client.configuration
    arguments = [configuration.host, configuration.api_key["Authorization"], str(large), str(checkpoint)]
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(UPLOADER), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "the second part is there\n"
        process.kill()
    with mock.patch.object(_Storage, "put_part", autospec=True, side_effect=_Storage.put_part) as sent:
        upload_file(project.api, "lab", large, checkpoint=checkpoint, quiet=True)
    assert [call.args[2] for call in sent.call_args_list] == [3]
    downloaded = download_file(project.api, "lab", file_name="large.bin", output_path=large.parent / "copy", quiet=True)
    assert Path(downloaded).read_bytes() == CONTENT
    assert not checkpoint.exists()


@pytest.fixture
def broken_off(server: Server, storage: Storage, client: ubiops.ApiClient, large: Path) -> Parts:
    """The service after an upload of which the third part was refused."""
    parts = Parts(server, storage, "ubiops")
    storage.answers = [parts.store, parts.store, Answer(409)]
    with pytest.raises(ubiops.ApiException) as caught:
        upload_file(client, "p", large, checkpoint=large.parent / "upload.jsonl", quiet=True)
    assert caught.value.status == 409
    storage.requests.clear()
    return parts


def go_on(client: ubiops.ApiClient, large: Path) -> None:
    upload_file(client, "p", large, checkpoint=large.parent / "upload.jsonl", quiet=True)
    assert not (large.parent / "upload.jsonl").exists()


def test_it_goes_on_in_parts_of_the_size_that_it_began_with(
    broken_off: Parts, storage: Storage, client: ubiops.ApiClient, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As another release may have it.
    monkeypatch.setattr(ubiops.utils.files.upload, "_PART", 1000)
    go_on(client, large)
    assert [request.path for request in storage.requests] == ["/3"]
    assert b"".join(broken_off.received[number] for number in ("1", "2", "3")) == CONTENT


@pytest.mark.parametrize("change", ["content", "size"])
def test_a_file_that_has_changed_is_sent_again(
    broken_off: Parts, storage: Storage, client: ubiops.ApiClient, large: Path, change: str
) -> None:
    large.write_bytes(b"x" + CONTENT[1:] if change == "content" else CONTENT[:-1])
    file = UbiOpsFile("default", "large.bin")
    reported: list[int] = []
    checkpoint = large.parent / "upload.jsonl"
    upload(ubiops.CoreApi(client), "p", file, Upload(large), reported.append, checkpoint=checkpoint)
    # What was read in vain doesn't count.
    assert sum(reported) == large.stat().st_size
    assert broken_off.started == 2
    assert [request.path for request in storage.requests] == ["/1", "/2", "/3"]
    assert b"".join(broken_off.received[number] for number in ("1", "2", "3")) == large.read_bytes()


def test_an_upload_that_the_service_has_given_up_starts_over(
    broken_off: Parts, server: Server, storage: Storage, client: ubiops.ApiClient, large: Path
) -> None:
    server.answers = [Answer(404)]
    go_on(client, large)
    assert broken_off.started == 2
    assert [request.path for request in storage.requests] == ["/1", "/2", "/3"]


def test_a_completion_whose_answer_was_lost_is_found(
    broken_off: Parts, server: Server, storage: Storage, client: ubiops.ApiClient, large: Path
) -> None:
    broken_off.present = {"file": "large.bin", "size": len(CONTENT), "time_created": "2026-01-01T00:00:00Z"}
    # The third part's URL, the file that is there, and the completion, whose answer is lost.
    server.answers = [broken_off.answer, broken_off.answer, Answer(502)]
    with pytest.raises(ubiops.ServerError):
        go_on(client, large)
    # Nothing is new there, or it is of another upload: it starts over, and the same happens.
    for size, minute in ((len(CONTENT), "00"), (7, "05")):
        broken_off.present |= {"size": size, "time_created": f"2026-01-01T00:{minute}:00Z"}
        server.answers = [Answer(404), *[broken_off.answer] * 6, Answer(502)]
        with pytest.raises(ubiops.ServerError):
            go_on(client, large)
    assert broken_off.started == 3
    storage.requests.clear()
    broken_off.present |= {"size": len(CONTENT), "time_created": "2026-01-01T00:10:00Z"}
    server.answers = [Answer(404)]
    go_on(client, large)
    assert (broken_off.started, storage.requests) == (3, [])


def test_a_checkpoint_is_for_one_upload(broken_off: Parts, client: ubiops.ApiClient, large: Path) -> None:
    checkpoint = large.parent / "upload.jsonl"
    with pytest.raises(ubiops.ApiValueError, match=r"`checkpoint` when .*ubiops-file://default/large"):
        upload_file(client, "p", large, file_name="other", checkpoint=checkpoint, quiet=True)
    large.with_name("notes.txt").write_text("{}")
    with pytest.raises(ubiops.ApiValueError, match="isn't a checkpoint of upload_file"):
        upload_file(client, "p", large, checkpoint=large.with_name("notes.txt"), quiet=True)
    with pytest.raises(ubiops.ApiTypeError, match="`checkpoint` when calling `upload_file`, expected a path"):
        upload_file(client, "p", large, checkpoint=5, quiet=True)  # type: ignore[arg-type]
    assert broken_off.started == 1

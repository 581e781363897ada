"""Transfers that break off: they go on where that is safe, begin anew where it isn't, and end some time."""

from __future__ import annotations

import gzip
import io
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import urllib3

import ubiops
import ubiops.rest
import ubiops.utils.files.transfer
from test.server import Answer, Recorded
from test.utils.storage import ETAG, Signer, Storage
from ubiops.exceptions import ApiConnectionError, ApiException, ForbiddenError, NotFoundError
from ubiops.files import Upload
from ubiops.utils import UbiOpsFile, download_file, download_files, upload_file
from ubiops.utils.files.transfer import Download
from ubiops.utils.files.upload import upload

MIB = 1 << 20
CONTENT = bytes(range(256)) * 9000
HALF = MIB + 7
EXPIRED = [
    Answer(403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
    Answer(403),
    Answer(400, b"<Error><Code>ExpiredToken</Code></Error>"),
]


@pytest.fixture(autouse=True)
def _content(storage: Storage) -> None:
    storage.files = {"x": CONTENT}


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    # Replaced: the real waits take seconds, and how often it waits is what is tested.
    waits: list[float] = []
    for module in (ubiops.rest, ubiops.utils.files.transfer):
        clock = SimpleNamespace(**{**vars(module.time), "sleep": waits.append})
        monkeypatch.setattr(module, "time", clock)
    return waits


def download(client: ubiops.ApiClient, folder: Path) -> bytes:
    """The file ``x``, and nothing else in the folder."""
    download_file(client, "p", file_name="x")
    assert os.listdir(folder) == ["x"]
    return (folder / "x").read_bytes()


def ranges(storage: Storage) -> list[tuple[str | None, str | None]]:
    return [(request.headers.get("Range"), request.headers.get("If-Range")) for request in storage.requests]


@pytest.mark.usefixtures("signer", "waits")
class TestDownload:
    def test_it_goes_on_where_it_broke_off(
        self, signer: Signer, storage: Storage, client: ubiops.ApiClient, folder: Path, waits: list[float]
    ) -> None:
        storage.answers = [storage.cut(HALF), storage.cut(HALF + 5)]
        assert download(client, folder) == CONTENT
        assert ranges(storage) == [(None, None), (f"bytes={HALF}-", ETAG), (f"bytes={HALF + 5}-", ETAG)]
        # Each time with a URL of its own.
        assert [request.query for request in storage.requests] == [{"signature": str(n)} for n in (1, 2, 3)]
        assert len(waits) == 2
        for request in storage.requests:
            assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}

    @pytest.mark.parametrize("etag", [None, 'W/"1"', "1"])
    def test_it_begins_anew_where_nothing_shows_that_the_file_is_the_same(
        self, etag: str | None, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.etag = etag
        storage.answers = [storage.cut(HALF)]
        assert download(client, folder) == CONTENT
        assert ranges(storage) == [(None, None)] * 2

    @pytest.mark.parametrize("content", [CONTENT[::-1], b"short", b"", CONTENT * 2])
    def test_a_file_that_has_changed_comes_whole(
        self, content: bytes, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        def change(request: Recorded) -> Any:
            storage.files["x"], storage.etag = content, '"2"'
            return storage.part(request)

        storage.answers = [storage.cut(HALF), change]
        assert download(client, folder) == content
        assert ranges(storage) == [(None, None), (f"bytes={HALF}-", ETAG)]

    def test_a_storage_that_knows_no_ranges_sends_it_again(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.answers = [storage.cut(HALF), storage.whole]
        assert download(client, folder) == CONTENT

    @pytest.mark.parametrize(
        "headers",
        [
            {"ETag": '"2"'},
            {"ETag": ""},
            {"Content-Range": ""},
            {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"},
            {"Content-Range": f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT) + 1}"},
            {"Content-Range": f"items {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}"},
            {"Content-Range": "bytes"},
            # The body has 9 bytes.
            {"Content-Range": f"bytes {HALF}-{HALF + 99}/{len(CONTENT)}"},
        ],
    )
    def test_a_part_that_does_not_fit_is_not_taken(
        self,
        headers: dict[str, str],
        storage: Storage,
        client: ubiops.ApiClient,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        responses: list[Any] = []

        # Replaced to see the responses, which must not be left open.
        def send(*args: Any, _send: Any = ubiops.utils.files.transfer.send) -> Any:
            responses.append(_send(*args))
            return responses[-1]

        monkeypatch.setattr(ubiops.utils.files.transfer, "send", send)
        storage.answers = [storage.cut(HALF), lambda request: storage.part(request)._replace(body=b"x" * 9, headers={
            **storage.part(request).headers, **headers})]  # fmt: skip
        assert download(client, folder) == CONTENT
        assert ranges(storage) == [(None, None), (f"bytes={HALF}-", ETAG), (None, None)]
        assert [response.closed for response in responses] == [True, True, True]

    def test_a_range_that_is_refused_begins_anew(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.answers = [storage.cut(HALF), Answer(416, b"", {"Content-Range": "bytes */7"})]
        assert download(client, folder) == CONTENT
        assert ranges(storage)[2] == (None, None)

    def test_a_part_that_is_shorter_than_asked_is_gone_on_from(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.answers = [storage.cut(HALF), lambda request: storage.part(request, HALF + 3)]
        assert download(client, folder) == CONTENT
        assert ranges(storage)[2] == (f"bytes={HALF + 3}-", ETAG)

    def test_a_part_that_is_longer_than_it_says_is_not_taken(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        def too_long(request: Recorded) -> Answer:
            part = storage.part(request)
            return part._replace(body=part.body + b"more")

        storage.answers = [storage.cut(HALF), too_long]
        assert download(client, folder) == CONTENT

    def test_what_comes_compressed_begins_anew(self, storage: Storage, client: ubiops.ApiClient, folder: Path) -> None:
        answer = Answer(200, gzip.compress(CONTENT), {"Content-Encoding": "gzip", "ETag": ETAG})
        storage.answers = [answer.raw()[:-20], answer]
        assert download(client, folder) == CONTENT
        assert ranges(storage) == [(None, None)] * 2

    @pytest.mark.parametrize("expired", EXPIRED)
    def test_a_url_that_has_expired_is_asked_for_anew(
        self, expired: Answer, signer: Signer, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.answers = [expired, storage.cut(HALF), expired]
        assert download(client, folder) == CONTENT
        assert [request.query["signature"] for request in storage.requests] == ["1", "2", "3", "4"]
        assert ranges(storage)[3] == (f"bytes={HALF}-", ETAG)

    def test_a_url_is_asked_for_anew_once(
        self, signer: Signer, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.default = Answer(403)
        with pytest.raises(ForbiddenError) as caught:
            download_file(client, "p", file_name="x")
        assert len(storage.requests) == signer.given == 2
        assert (caught.value.method, caught.value.path) == ("GET", "/x")
        assert os.listdir(folder) == []

    def test_it_is_given_up_when_it_gets_no_further(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path, waits: list[float]
    ) -> None:
        (folder / "x").write_bytes(b"before")
        storage.default = storage.cut(HALF)
        with pytest.raises(ApiConnectionError, match="IncompleteRead"):
            download_file(client, "p", file_name="x")
        assert len(storage.requests) == 6
        assert len(waits) == 5
        assert waits[0] < waits[-1] < 10
        assert os.listdir(folder) == ["x"]
        assert (folder / "x").read_bytes() == b"before"

    def test_it_goes_on_as_long_as_it_gets_further(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.files["x"] = CONTENT * 6
        storage.answers = [storage.cut(n * MIB) for n in range(1, 12)]
        assert download(client, folder) == CONTENT * 6
        assert len(storage.requests) == 12

    def test_the_program_says_how_often(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path, waits: list[float]
    ) -> None:
        storage.default = storage.cut(7)
        retry = urllib3.Retry(total=2, backoff_factor=0)
        for retries, times in ((0, 1), (1, 2), (retry, 3)):
            client.configuration.retries = retries
            storage.requests.clear()
            with pytest.raises(ApiConnectionError):
                download_file(client, "p", file_name="x")
            assert len(storage.requests) == times

    def test_a_storage_that_is_away_for_a_while(self, storage: Storage, client: ubiops.ApiClient, folder: Path) -> None:
        # Three times the transport's three attempts.
        storage.answers = [storage.cut(HALF), *[None] * 9]
        assert download(client, folder) == CONTENT
        assert ranges(storage)[-1] == (f"bytes={HALF}-", ETAG)

    def test_a_storage_that_never_answers_is_asked_as_often_as_any_server(
        self, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.default = None
        with pytest.raises(ApiConnectionError):
            download_file(client, "p", file_name="x")
        assert len(storage.requests) == 3

    def test_a_file_that_is_deleted_meanwhile(self, storage: Storage, client: ubiops.ApiClient, folder: Path) -> None:
        storage.answers = [storage.cut(HALF), Answer(404)]
        with pytest.raises(NotFoundError):
            download_file(client, "p", file_name="x")
        assert os.listdir(folder) == []

    @pytest.mark.parametrize("status", [201, 202, 204, 206])
    def test_another_success_than_a_file_is_none(
        self, status: int, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        storage.default = Answer(status)
        problem = r"unexpected answer to a request for a file|only a part was returned"
        with pytest.raises(ApiException, match=problem) as caught:
            download_file(client, "p", file_name="x")
        assert caught.value.status == status
        assert os.listdir(folder) == []

    def test_a_size_is_held_against_the_list(
        self, signer: Signer, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        # Neither Content-Length nor chunks: the end of the connection is the end of the file, too early or not.
        signer.listed = [("x", len(CONTENT))]
        storage.default = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + CONTENT[:-1]
        with pytest.raises(
            ubiops.utils.IncompleteTransfer, match=f"received {len(CONTENT) - 1} bytes of .* has {len(CONTENT)}"
        ):
            download_files(client, "p", output_path=folder / "out")
        assert os.listdir(folder / "out") == []

    def test_a_file_that_was_replaced_since_it_was_listed(
        self, signer: Signer, storage: Storage, client: ubiops.ApiClient, folder: Path
    ) -> None:
        signer.listed = [("x", 7)]
        assert download_files(client, "p") == ["./x"]
        assert (folder / "x").read_bytes() == CONTENT

    def test_what_is_reported_adds_up_to_the_size(self, storage: Storage, client: ubiops.ApiClient) -> None:
        reported: list[int] = []
        expected: list[int] = []
        content = io.BytesIO()
        storage.answers = [storage.cut(HALF), storage.cut(HALF + 9), storage.whole]
        size = Download(
            ubiops.CoreApi(client), "p", UbiOpsFile("default", "x"), content, reported.append, expected.append
        ).run()
        assert size == sum(reported) == len(CONTENT)
        assert {*expected} == {len(CONTENT)}
        assert content.getvalue() == CONTENT


@pytest.mark.usefixtures("signer", "waits")
class TestUpload:
    @pytest.fixture
    def path(self, folder: Path) -> Path:
        (folder / "up").write_bytes(CONTENT)
        return folder / "up"

    @pytest.mark.parametrize("broken", [None, Answer(503), *EXPIRED])
    def test_it_begins_anew_with_a_fresh_url(
        self, broken: Answer | None, storage: Storage, client: ubiops.ApiClient, path: Path
    ) -> None:
        storage.answers = [broken]
        upload_file(client, "p", path)
        assert [request.query["signature"] for request in storage.requests] == ["1", "2"]
        assert [request.body for request in storage.requests] == [CONTENT] * 2
        for request in storage.requests:
            assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}

    def test_azure_gets_its_headers_each_time(
        self, signer: Signer, storage: Storage, client: ubiops.ApiClient, path: Path
    ) -> None:
        signer.provider = "azure_blob_storage"
        storage.answers = [None]
        upload_file(client, "p", path)
        assert [request.headers["x-ms-blob-type"] for request in storage.requests] == ["BlockBlob"] * 2

    @pytest.mark.parametrize(("broken", "times"), [(None, 3), (Answer(403), 2), (Answer(500), 1)])
    def test_it_is_given_up(
        self, broken: Answer | None, times: int, storage: Storage, client: ubiops.ApiClient, path: Path
    ) -> None:
        storage.default = broken
        with pytest.raises(ApiException):
            upload_file(client, "p", path)
        assert len(storage.requests) == times

    def test_what_can_be_read_once_is_sent_once(self, storage: Storage, client: ubiops.ApiClient, folder: Path) -> None:
        os.mkfifo(folder / "pipe")
        writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(CONTENT,), daemon=True)
        writer.start()
        storage.default = Answer(403)
        with pytest.raises(ForbiddenError):
            upload_file(client, "p", folder / "pipe")
        writer.join()
        assert len(storage.requests) == 1

    def test_what_is_reported_adds_up_to_the_size(self, storage: Storage, client: ubiops.ApiClient, path: Path) -> None:
        storage.answers = [None, Answer(403)]
        reported: list[int] = []
        upload(ubiops.CoreApi(client), "p", UbiOpsFile("default", "x"), Upload(path), reported.append)
        assert sum(reported) == len(CONTENT)
        assert min(reported) == -len(CONTENT)

"""`utils.upload_file` and `download_file`: over signed URLs to a storage that is another server."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.utils import download_file, upload_file

AZURE = {"x-ms-version": "2020-04-08", "x-ms-blob-type": "BlockBlob"}
SIGNED = "/bucket/object?X-Signature=a%2Fb%3D&X-Expires=900"
CONTENT = bytes(range(256)) * 9000


@pytest.fixture
def storage() -> Iterator[Server]:
    storage = Server()
    storage.default = Answer(200)
    yield storage
    storage.close()


@pytest.fixture
def signs(server: Server, storage: Server) -> None:
    """The API gives signed URLs of the storage."""
    server.default = Answer.json({"url": f"{storage.origin}{SIGNED}", "provider": "google_cloud_storage"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "my data.bin"
    path.write_bytes(CONTENT)
    return path


@pytest.mark.usefixtures("signs")
class TestUpload:
    def test_file_goes_to_the_signed_url_with_put(
        self, server: Server, storage: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        uri = upload_file(client, "my-project", str(path))
        assert uri == "ubiops-file://default/my data.bin"
        assert (server.last.method, server.last.path) == (
            "POST",
            "/v2.1/projects/my-project/buckets/default/files/my%20data.bin",
        )
        assert (storage.last.method, storage.last.target) == ("PUT", SIGNED)
        assert storage.last.body == CONTENT

    def test_storage_gets_no_credentials_and_nothing_else_of_the_api(
        self, storage: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        client.set_default_header("X-Secret", "secret")
        client.cookie = "session=secret"
        upload_file(client, "p", path)
        names = {name.lower() for name in storage.last.headers}
        assert names == {"host", "accept-encoding", "user-agent", "content-length", "content-disposition"}
        assert storage.last.headers["Content-Length"] == str(len(CONTENT))

    def test_bucket_and_name_are_the_callers(self, server: Server, client: ubiops.ApiClient, path: Path) -> None:
        uri = upload_file(client, "p", path, "my-bucket", "in/a folder/ü.bin")
        assert uri == "ubiops-file://my-bucket/in/a folder/ü.bin"
        assert server.last.path == "/v2.1/projects/p/buckets/my-bucket/files/in%2Fa%20folder%2F%C3%BC.bin"

    @pytest.mark.parametrize("provider", ["azure_blob_storage", "amazon_s3", "ubiops", None])
    def test_azure_alone_gets_its_headers(
        self, provider: str | None, server: Server, storage: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        server.default = Answer.json({"url": f"{storage.origin}{SIGNED}", "provider": provider})
        upload_file(client, "p", path)
        sent = {name: value for name, value in storage.last.headers.items() if name.startswith("x-ms-")}
        assert sent == (AZURE if provider == "azure_blob_storage" else {})

    def test_file_object_and_api_will_do(self, storage: Server, api: ubiops.CoreApi, path: Path) -> None:
        with path.open("rb") as file:
            file.seek(len(CONTENT) - 3)
            assert upload_file(api, "p", file) == "ubiops-file://default/my data.bin"
        assert storage.last.body == CONTENT[-3:]
        upload_file(api, "p", io.BytesIO(b"memory"), file_name="m")
        assert storage.last.body == b"memory"

    def test_empty_file(self, storage: Server, client: ubiops.ApiClient, tmp_path: Path) -> None:
        (tmp_path / "empty").touch()
        upload_file(client, "p", tmp_path / "empty")
        assert storage.last.headers["Content-Length"] == "0"
        assert storage.last.body == b""

    def test_file_of_unknown_length_is_sent_in_chunks(
        self, storage: Server, client: ubiops.ApiClient, tmp_path: Path
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(CONTENT,), daemon=True)
        writer.start()
        upload_file(client, "p", tmp_path / "pipe")
        writer.join()
        assert storage.last.headers["Transfer-Encoding"] == "chunked"
        assert storage.last.body == CONTENT

    @pytest.mark.parametrize("bad", ["missing", "", ".", 7, None, b"content"])
    def test_no_file_is_refused_before_anything_is_sent(
        self, bad: Any, server: Server, storage: Server, client: ubiops.ApiClient
    ) -> None:
        kind = ubiops.ApiFileError if isinstance(bad, str) else ubiops.ApiTypeError
        with pytest.raises(kind, match="`file_path` when calling `upload_file`"):
            upload_file(client, "p", bad)
        assert server.requests == storage.requests == []

    def test_refusal_of_the_storage_raises(self, storage: Server, client: ubiops.ApiClient, path: Path) -> None:
        storage.default = Answer(403, b"<Error><Code>ExpiredToken</Code></Error>")
        with pytest.raises(ubiops.ForbiddenError, match="ExpiredToken") as caught:
            upload_file(client, "p", path)
        assert "X-Signature" not in str(caught.value)

    def test_redirect_of_the_storage_is_not_followed(
        self, server: Server, storage: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        storage.default = Answer(307, b"", {"Location": f"{server.url}/elsewhere"})
        with pytest.raises(ubiops.ApiException, match="not followed to"):
            upload_file(client, "p", path)
        assert len(storage.requests) == len(server.requests) == 1

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            *(  # type: ignore[var-annotated]
                {"url": url}
                for url in (
                    None,
                    7,
                    [],
                    "",
                    "/x",
                    "//h/x",
                    "file:///etc/passwd",
                    "http://",
                    "http://[::1",
                    "http://a\\@b",
                )
            ),
        ],
    )
    def test_answer_without_a_url_raises(
        self, answer: Any, server: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        server.default = Answer.json(answer)
        with pytest.raises(ubiops.ApiException, match="instead of the file's URL"):
            upload_file(client, "p", path)

    def test_refusal_of_the_api_sends_nothing_to_the_storage(
        self, server: Server, storage: Server, client: ubiops.ApiClient, path: Path
    ) -> None:
        server.default = Answer.json({"error": "Bucket does not exist"}, 404)
        with pytest.raises(ubiops.NotFoundError, match="Bucket does not exist"):
            upload_file(client, "p", path)
        assert storage.requests == []


@pytest.mark.usefixtures("signs")
class TestDownload:
    @pytest.fixture(autouse=True)
    def _content(self, storage: Server) -> None:
        storage.default = Answer(200, CONTENT, {"Content-Disposition": "attachment; filename=other.bin"})

    @pytest.fixture(autouse=True)
    def _working_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    def test_file_is_written_under_its_own_last_part(
        self, server: Server, storage: Server, client: ubiops.ApiClient, tmp_path: Path
    ) -> None:
        written = download_file(client, "p", "my-bucket", "in/a folder/ü.bin")
        assert server.last.path == "/v2.1/projects/p/buckets/my-bucket/files/in%2Fa%20folder%2F%C3%BC.bin/download"
        assert (storage.last.method, storage.last.target) == ("GET", SIGNED)
        assert os.path.samefile(written, tmp_path / "ü.bin")
        assert (tmp_path / "ü.bin").read_bytes() == CONTENT
        assert [file.name for file in tmp_path.iterdir()] == ["ü.bin"]

    def test_storage_gets_no_credentials(self, storage: Server, client: ubiops.ApiClient) -> None:
        client.cookie = "session=secret"
        download_file(client, "p", file_name="x")
        assert {name.lower() for name in storage.last.headers} == {"host", "accept-encoding", "user-agent"}

    def test_uri_names_bucket_and_file(self, server: Server, client: ubiops.ApiClient, tmp_path: Path) -> None:
        download_file(client, "p", "default", "ignored", file_uri="ubiops-file://b/in/x.bin")
        assert server.last.path == "/v2.1/projects/p/buckets/b/files/in%2Fx.bin/download"
        assert (tmp_path / "x.bin").exists()

    def test_default_bucket(self, server: Server, client: ubiops.ApiClient) -> None:
        download_file(client, "p", file_name="x")
        assert server.last.path == "/v2.1/projects/p/buckets/default/files/x/download"

    @pytest.mark.parametrize("kind", [str, Path, os.fsencode])
    def test_output_path_is_a_file_or_a_folder(self, kind: Any, client: ubiops.ApiClient, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert download_file(client, "p", file_name="a/x", output_path=kind("folder")) == "folder/x"
        assert download_file(client, "p", file_name="a/x", output_path=kind(str(tmp_path / "own name"))) == str(
            tmp_path / "own name"
        )
        assert (tmp_path / "folder" / "x").read_bytes() == (tmp_path / "own name").read_bytes() == CONTENT

    def test_file_of_the_callers_name_is_replaced_when_it_is_complete(
        self, storage: Server, client: ubiops.ApiClient, tmp_path: Path
    ) -> None:
        (tmp_path / "x").write_bytes(b"before")
        client.configuration.retries = 0
        storage.default = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"
        with pytest.raises(ubiops.ApiConnectionError):
            download_file(client, "p", file_name="x", output_path="x")
        assert (tmp_path / "x").read_bytes() == b"before"
        storage.default = Answer(200, b"after")
        download_file(client, "p", file_name="x", output_path="x")
        assert (tmp_path / "x").read_bytes() == b"after"
        assert [file.name for file in tmp_path.iterdir()] == ["x"]

    @pytest.mark.parametrize("stream", [True, False])
    def test_older_options_change_nothing(self, stream: bool, client: ubiops.ApiClient, tmp_path: Path) -> None:
        download_file(client, "p", file_name="x", stream=stream, chunk_size=1)
        assert (tmp_path / "x").read_bytes() == CONTENT

    @pytest.mark.parametrize(
        ("arguments", "argument"),
        [
            ({}, "file_name"),
            ({"file_name": ""}, "file_name"),
            ({"file_uri": ""}, "file_uri"),
            ({"file_uri": "http://bucket/name"}, "file_uri"),
            ({"file_uri": "ubiops-file://bucket"}, "file_uri"),
            ({"file_uri": "ubiops-file:///name"}, "file_uri"),
            ({"file_uri": "ubiops-file://bucket/"}, "file_uri"),
            ({"file_uri": 7}, "file_uri"),
            ({"file_name": "x", "output_path": "missing/folder/x"}, "output_path"),
            ({"file_name": "x", "output_path": 7}, "output_path"),
            ({"file_name": "a/..", "output_path": "."}, "output_path"),
        ],
    )
    def test_bad_input_is_refused_before_anything_is_sent(
        self, arguments: Any, argument: str, server: Server, storage: Server, client: ubiops.ApiClient
    ) -> None:
        kind = ubiops.ApiTypeError if 7 in arguments.values() else ubiops.ApiValueError
        with pytest.raises(kind, match=f"`{argument}`.* when calling `download_file`"):
            download_file(client, "p", **arguments)
        assert server.requests == storage.requests == []

    def test_name_does_not_lead_out_of_the_folder(self, client: ubiops.ApiClient, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        written = download_file(client, "p", file_name="..\\..\\x", output_path="folder")
        assert Path(written).parent == Path("folder")

    def test_folder_that_may_not_be_written_to_is_found_before_anything_is_sent(
        self, server: Server, client: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # A folder that exists and can't be written to needs another user than the tests may run as.
        def refuse(path: str) -> None:
            raise PermissionError(path)

        monkeypatch.setattr("ubiops.utils.file_operations.replacing", refuse)
        with pytest.raises(PermissionError):
            download_file(client, "p", file_name="x")
        assert server.requests == []

    def test_disk_that_is_full_leaves_no_connection_open(
        self, client: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        responses: list[Any] = []

        def blocks_of(response: Any, at_once: bool) -> Iterator[bytes]:
            responses.append(response)
            yield b"block"

        @contextmanager
        def full(path: str) -> Iterator[Any]:
            with open("/dev/full", "wb", buffering=0) as file:
                yield file

        # Replaced: a file system that is full would have to be mounted.
        monkeypatch.setattr("ubiops.utils.file_operations.replacing", full)
        monkeypatch.setattr("ubiops.utils.files.transfer.blocks_of", blocks_of)
        with pytest.raises(OSError, match="No space left"):
            download_file(client, "p", file_name="x")
        assert [response.closed for response in responses] == [True]

    def test_error_of_the_storage_raises(self, storage: Server, client: ubiops.ApiClient, tmp_path: Path) -> None:
        storage.default = Answer(404, b"<Error/>")
        with pytest.raises(ubiops.NotFoundError):
            download_file(client, "p", file_name="x")
        assert list(tmp_path.iterdir()) == []

    def test_redirect_to_another_host_is_not_followed(
        self, server: Server, storage: Server, client: ubiops.ApiClient
    ) -> None:
        storage.default = Answer(302, b"", {"Location": f"{server.url}/elsewhere"})
        with pytest.raises(ubiops.ApiException, match="not followed to"):
            download_file(client, "p", file_name="x")
        assert len(server.requests) == 1

    def test_what_was_uploaded_comes_down_again(
        self, storage: Server, client: ubiops.ApiClient, path: Path, tmp_path: Path
    ) -> None:
        stored: list[bytes] = []

        def store(request: Recorded) -> Answer:
            if request.method == "PUT":
                stored.append(request.body)
            return Answer(200, stored[0] if request.method == "GET" else b"")

        storage.default = store
        uri = upload_file(client, "p", path, file_name="deep/x.bin")
        download_file(client, "p", file_uri=uri, output_path="down.bin")
        assert (tmp_path / "down.bin").read_bytes() == CONTENT

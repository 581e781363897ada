"""Files on their way: uploads streamed from what the caller has, downloads complete on disk or not there."""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import tracemalloc
from collections.abc import Callable, Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
import ubiops.files
from test.server import Answer, Server
from test.unit.raw_server import RawServer, writing
from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiFileError,
    ApiTypeError,
    ApiValueError,
    NotFoundError,
)
from ubiops.files import Multipart, Upload, filename_of

CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def folder(configuration: ubiops.Configuration, tmp_path: Path) -> Path:
    configuration.temp_folder_path = str(tmp_path)
    return tmp_path


def attachment(body: bytes, disposition: str | None = 'attachment; filename="data.bin"') -> Answer:
    return Answer(200, body, {} if disposition is None else {"Content-Disposition": disposition})


def form_of(server: Server) -> dict[str, tuple[str | None, str, bytes]]:
    """The parts of the last multipart body, read by the standard library: name -> file name, content type, content."""
    head = f"Content-Type: {server.last.headers['Content-Type']}\r\n\r\n".encode()
    parts: dict[str, tuple[str | None, str, bytes]] = {}
    for part in message_from_bytes(head + server.last.body).get_payload():
        assert not isinstance(part, str)
        name = str(part.get_param("name", header="Content-Disposition"))
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        parts[name] = (part.get_filename(), part.get_content_type(), content)
    return parts


class Pipe(io.RawIOBase):
    """What can be read once, and gives less than it is asked for."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._content.read(min(size, 10_000) if size > 0 else size)


# Uploads


@pytest.mark.parametrize("kind", ["str", "Path", "file", "BytesIO", "pipe", "unnamed", "spooled"])
def test_an_upload_takes_a_path_or_a_file_object(api: Any, server: Server, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(CONTENT)
    with path.open("rb") as file, tempfile.TemporaryFile() as unnamed, tempfile.SpooledTemporaryFile() as spooled:
        for copy in (unnamed, spooled):
            copy.write(CONTENT)
            copy.seek(0)
        source, name = {
            "str": (str(path), "data.csv"),
            "Path": (path, "data.csv"),
            "file": (file, "data.csv"),
            "BytesIO": (io.BytesIO(CONTENT), "file"),
            "pipe": (Pipe(CONTENT), "file"),
            "unnamed": (unnamed, "file"),
            "spooled": (spooled, "file"),
        }[kind]
        api.blobs_create("p", source)
    assert form_of(server)["file"] == (name, "text/csv" if name == "data.csv" else "application/octet-stream", CONTENT)
    known = "Content-Length" in server.last.headers
    assert known == (kind != "pipe")
    assert known != ("Transfer-Encoding" in server.last.headers)


def test_a_file_object_is_sent_from_where_it_stands(api: Any, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"0123456789")
    with path.open("rb") as file:
        file.read(4)
        api.blobs_create("p", file)
        assert form_of(server)["file"][2] == b"456789"
        assert not file.closed
        # Past its end there is nothing, not less.
        file.seek(10_000)
        api.blobs_create("p", file)
    assert form_of(server)["file"][2] == b""
    assert Upload(io.BytesIO(b"")).length == 0


def test_an_empty_file_is_sent(api: Any, server: Server, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    api.blobs_create("p", tmp_path / "empty")
    assert form_of(server)["file"] == ("empty", "application/octet-stream", b"")


@pytest.mark.parametrize(
    "name", ["naïve €.csv", 'quo"te.csv', "new\nline.csv", "lone\rreturn.csv", "semi;colon.csv", "%41.csv"]
)
def test_a_files_name_cannot_break_out_of_its_part(api: Any, server: Server, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"content")
    api.blobs_create("p", tmp_path / name)
    disposition = server.last.body.partition(b"Content-Disposition: ")[2].partition(b"\r\n")[0].decode()
    escaped = name.replace('"', "%22").replace("\n", "%0A").replace("\r", "%0D")
    assert disposition == f'form-data; name="file"; filename="{escaped}"'
    assert server.last.body.count(b"content\r\n--") == 1


def test_a_files_name_that_is_no_text_is_sent_as_well_as_it_can_be(api: Any, server: Server, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/caf\xe9.csv"
    Path(os.fsdecode(path)).write_bytes(b"content")
    api.blobs_create("p", os.fsdecode(path))
    assert b'filename="caf?.csv"' in server.last.body


@pytest.mark.parametrize("source", [5, True, 5.5, b"content", bytearray(b"x"), ["a"], {"a": 1}, object(), "", "a\0b"])
def test_what_is_no_file_is_refused(api: Any, server: Server, source: Any) -> None:
    with pytest.raises(ApiFileError, match=r"`file` when calling `blobs_create`"):
        api.blobs_create("p", source)
    assert server.requests == []


def test_a_file_that_cannot_be_sent_is_refused(api: Any, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"content")
    closed = path.open("rb")
    closed.close()
    with path.open(encoding="utf-8") as text, path.open("ab") as written:
        for source, problem in (
            (tmp_path / "none", "No such file"),
            (str(tmp_path), "is a folder"),
            (closed, "closed"),
            (text, "'rb'"),
            (io.StringIO("text"), "'rb'"),
            (written, "read"),
        ):
            with pytest.raises(ApiFileError, match=rf"`file` when calling `blobs_create`.*{problem}") as caught:
                api.blobs_create("p", source)
            assert isinstance(caught.value, OSError)
            assert isinstance(caught.value, ValueError)
    assert server.requests == []


def test_an_error_about_a_file_is_the_one_that_python_raises_for_it(
    api: Any, client: ubiops.ApiClient, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    calls: list[Callable[[Any], Any]] = [
        lambda file: api.blobs_create("p", file),
        lambda file: api.revisions_file_upload("p", "d", "v", file=[file]),
        lambda file: client.call_api("/x", "POST", files={"file": file}),
        lambda file: ubiops.utils.upload_file(client, "p", file),
        lambda file: ubiops.utils.upload_files(client, "p", [tmp_path / "file", file]),
    ]
    for path, kind, number in (
        (tmp_path / "none", FileNotFoundError, errno.ENOENT),
        (tmp_path, IsADirectoryError, errno.EISDIR),
        (tmp_path / "file" / "x", NotADirectoryError, errno.ENOTDIR),
    ):
        # A folder is taken where there may be many files.
        for call in calls[: 4 if path == tmp_path else 5]:
            with pytest.raises(kind) as caught:
                call(str(path))
            assert isinstance(caught.value, ApiFileError)
            assert (caught.value.errno, caught.value.strerror) == (number, os.strerror(number))
            assert caught.value.filename == str(path)
    # Replaced where it says yes to all: the tests may run as root.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError) as denied:
        api.blobs_create("p", tmp_path / "file")
    assert (denied.value.errno, denied.value.filename) == (errno.EACCES, str(tmp_path / "file"))
    assert server.requests == []


def test_files_may_come_in_a_list(api: Any, client: ubiops.ApiClient, server: Server, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    api.blobs_create("p", file=[str(tmp_path / "a")])
    assert form_of(server)["file"] == ("a", "application/octet-stream", b"a")
    api.blobs_create("p", file=[str(tmp_path / "a"), tmp_path / "b"])
    assert server.last.body.count(b'name="file"; filename=') == 2


def test_a_file_without_permission_is_refused(api: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "data").touch(0o000)
    # Replaced where it says yes to all: the tests may run as root.
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(ApiFileError, match="Permission denied"):
        api.blobs_create("p", tmp_path / "data")


class Shrinking(io.BytesIO):
    """A file that is cut after it was measured."""

    def read(self, size: int | None = -1) -> bytes:
        if size:
            self.truncate(10)
        return super().read(size)


class Failing(io.BytesIO):
    """A file on a disk that fails."""

    def read(self, size: int | None = -1) -> bytes:
        if size:
            raise OSError(errno.EIO, "Input/output error")
        return b""


@pytest.mark.parametrize(("kind", "problem"), [(Shrinking, "shorter"), (Failing, "Input/output")])
@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_a_file_that_fails_on_the_way_is_not_the_connections_fault(
    client: ubiops.ApiClient, server: Server, waits: Any, kind: type[io.BytesIO], problem: str, method: str
) -> None:
    for body in (Upload(kind(CONTENT), "data.bin"), Multipart([("file", Upload(kind(CONTENT), "data.bin"))])):
        with pytest.raises(ApiFileError, match=f"'data.bin'.*{problem}"):
            client.rest_client.send(method, server.url, {"Content-Length": str(body.length)}, body)
    assert waits == []
    # The server never got a whole request, and the next goes over another connection.
    client.call_api("/x", "GET")
    broken = [request for request in server.requests if request.method == method]
    assert all(len(request.body) < int(request.headers["Content-Length"]) for request in broken)
    assert len({request.connection for request in server.requests}) == len(server.requests)


def test_a_file_that_is_gone_on_the_way_is_named(client: ubiops.ApiClient, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"content")
    body = Upload(path)
    path.unlink()
    with pytest.raises(ApiFileError, match=r"'data.bin'.*No such file"):
        client.rest_client.send("PUT", server.url, {}, body)


def test_a_file_that_grows_is_sent_as_long_as_it_was(client: ubiops.ApiClient, server: Server, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"content")
    body = Upload(path)
    path.write_bytes(b"content and more")
    client.rest_client.send("PUT", server.url, {"Content-Length": str(body.length)}, body)
    assert server.last.body == b"content"


def test_a_retry_sends_the_whole_file_again(
    client: ubiops.ApiClient, server: Server, waits: Any, tmp_path: Path
) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(CONTENT)
    with path.open("rb") as file:
        file.seek(1000)
        for source, content in ((path, CONTENT), (file, CONTENT[1000:])):
            server.requests.clear()
            server.answers = [Answer(429), Answer(429), Answer.json({})]
            ubiops.CoreApi(client).blobs_create("p", source)
            assert len(server.requests) == 3
            for request in server.requests:
                assert content in request.body
                assert len(request.body) == int(request.headers["Content-Length"])


def test_memory_does_not_grow_with_the_file(api: Any, configuration: ubiops.Configuration, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(200 << 20)
    received = []

    def discard(server: RawServer, connection: socket.socket) -> None:
        left = int(re.findall(r"(?i)content-length: (\d+)", server.read_head(connection))[0])
        received.append(left)
        buffer = memoryview(bytearray(1 << 20))
        while left:
            left -= connection.recv_into(buffer, min(left, 1 << 20))
        connection.sendall(Answer.json({"id": "x"}).raw())

    with RawServer(discard) as server:
        configuration.host = server.url
        tracemalloc.start()
        try:
            assert api.blobs_create("p", path).id == "x"
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
    assert received[0] > 200 << 20


# Downloads


def test_a_download_is_the_open_response(api: Any, server: Server, folder: Path) -> None:
    text = "a;b\nnaïve;€\n"
    server.default = attachment(text.encode())
    with api.blobs_get("p", "b") as response:
        assert isinstance(response, urllib3.HTTPResponse)
        assert (response.status, response.getfilename()) == (200, "data.bin")  # type: ignore[attr-defined]
        assert response.headers["content-length"] == response.getheader("Content-Length") == str(len(text.encode()))
        assert response.getheaders()["content-length"] == response.headers["Content-Length"]
        assert response.read(3) + response.read(chunk_size=2) + response.read() == text.encode()  # type: ignore[call-arg]
        assert response.read() == b""
    assert api.blobs_get("p", "b").data == text.encode()
    assert b"".join(api.blobs_get("p", "b").stream(4)) == text.encode()
    assert list(api.blobs_get("p", "b")) == text.encode().splitlines(keepends=True)
    with io.TextIOWrapper(api.blobs_get("p", "b"), encoding="utf-8", newline="") as lines:
        assert lines.name == "data.bin"
        assert list(lines) == text.splitlines(keepends=True)
    copy = io.BytesIO()
    shutil.copyfileobj(api.blobs_get("p", "b"), copy)
    assert copy.getvalue() == text.encode()
    assert server.connections == 1
    assert list(folder.iterdir()) == []


def test_a_download_with_http_info_is_the_open_response_too(api: Any, server: Server) -> None:
    server.default = attachment(b"content")
    for response, status, headers in (
        api.blobs_get_with_http_info("p", "b"),
        api.service_status_with_http_info(_preload_content=False),
        api.api_client.call_api("/x", "GET", response_type="file", _preload_content=False),
    ):
        assert (response.read(), status, headers["Content-Length"]) == (b"content", 200, "7")


def test_temporary_files_are_private(api: Any, server: Server, folder: Path) -> None:
    server.default = attachment(b"content")
    mask = os.umask(0)
    try:
        file = api.blobs_get("p", "b", _preload_content=True)
    finally:
        os.umask(mask)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_a_file_is_private_and_bears_another_name_until_it_is_complete(tmp_path: Path) -> None:
    seen: list[Any] = []

    def blocks() -> Iterator[bytes]:
        yield b"con"
        seen.extend((path.name, stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir())
        yield b"tent"

    mask = os.umask(0)
    try:
        ubiops.files.save(blocks(), str(tmp_path), "data.bin")
        ubiops.files.write_file(blocks(), str(tmp_path / "other.bin"))
    finally:
        os.umask(mask)
    parts = [name for name, _ in seen if name.endswith(".part")]
    assert len(parts) == 2
    assert all(re.fullmatch(r"\.ubiops-[0-9a-f]{16}\.part", name) for name in parts)
    assert [mode for _, mode in seen] == [0o600] * len(seen)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.bin", "other.bin"]
    assert stat.S_IMODE((tmp_path / "other.bin").stat().st_mode) == 0o666


def test_a_name_that_the_server_chose_replaces_no_file(api: Any, server: Server, folder: Path) -> None:
    (folder / "data.bin").write_bytes(b"mine")
    server.default = attachment(b"content")
    first, second = api.blobs_get("p", "b", _preload_content=True), api.blobs_get("p", "b", _preload_content=True)
    assert (folder / "data.bin").read_bytes() == b"mine"
    for file in (first, second):
        assert re.fullmatch(r"data-[0-9a-f]{8}\.bin", Path(file).name)
        assert Path(file).read_bytes() == b"content"
    assert first != second


def test_a_link_that_stands_in_the_way_is_not_followed(api: Any, server: Server, folder: Path) -> None:
    outside = folder / "outside"
    (folder / "data.bin").symlink_to(outside)
    server.default = attachment(b"content")
    file = api.blobs_get("p", "b", _preload_content=True)
    assert Path(file).name != "data.bin"
    assert not outside.exists()


def test_where_there_are_no_hard_links_files_are_placed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    # Replaced: a file system without hard links can't be made here.
    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "taken").write_bytes(b"mine")
    for name in ("free", "taken"):
        file = ubiops.files.save([b"content"], str(tmp_path), name)
        assert Path(file).read_bytes() == b"content"
        assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('attachment; filename="data.csv"', "data.csv"),
        ("attachment; filename=data.csv", "data.csv"),
        ('inline; FILENAME="data.csv"', "data.csv"),
        ('attachment; filename="a;b \\"c\\".csv"', 'a;b "c".csv'),
        ("attachment; filename*=UTF-8''na%C3%AFve%20%E2%82%AC.csv", "naïve €.csv"),
        ("attachment; filename*=utf-8'en'x.csv", "x.csv"),
        ("attachment; filename*=iso-8859-1''%e9.csv", "é.csv"),
        ("attachment; filename=\"fallback.csv\"; filename*=UTF-8''%e2%82%ac.csv", "€.csv"),
        ("attachment; filename*=UTF-8''%e2%82%ac.csv; filename=\"fallback.csv\"", "€.csv"),
        ("attachment; filename*=no-such-charset''x%ff.csv", "x\ufffd.csv"),
        # Parts that can't be put in order.
        ("attachment; filename*=a; filename*0=b", None),
        (f"attachment; filename*{'1' * 5000}=a", None),
        ('attachment; filename="na\xc3\xafve.csv"', "naïve.csv"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="/etc/passwd"', "passwd"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('attachment; filename="..\\\\..\\\\win.ini"', "win.ini"),
        ('attachment; filename="C:evil.exe"', "evil.exe"),
        ('attachment; filename="a\x00b\x1f.csv"', "ab.csv"),
        ("attachment; filename*=UTF-8''a%00b%0A.csv", "ab.csv"),
        ("attachment; filename='data.csv'", "data.csv"),
        ("attachment; filename=\"'data.csv'\"", "data.csv"),
        ("attachment; filename='a/../x.zip'", "x.zip"),
        ("attachment; filename=my%20data%20%E2%82%AC.csv", "my data €.csv"),
        ('attachment; filename="..%2F..%2fetc%2Fpasswd"', "passwd"),
        ('attachment; filename="..%5c..%5Cwin.ini"', "win.ini"),
        ('attachment; filename="a%00b%0a.csv"', "ab.csv"),
        ('attachment; filename="100%.csv"', "100%.csv"),
        ("attachment; filename*=UTF-8''100%2525.csv", "100%25.csv"),
        ("attachment; filename=''", None),
        ('attachment; filename="%2e%2E"', None),
        ('attachment; filename=".."', None),
        ('attachment; filename="../"', None),
        ('attachment; filename=""', None),
        ('attachment; filename=" "', None),
        ("attachment", None),
        ("", None),
        (None, None),
    ],
)
def test_the_servers_name_is_reduced_to_its_last_part(
    api: Any, server: Server, folder: Path, disposition: str | None, name: str | None
) -> None:
    server.default = attachment(b"content", disposition)
    if disposition is None or "\0" not in disposition:
        file = api.blobs_get("p", "b", _preload_content=True)
        assert Path(file).parent == folder
        assert Path(file).read_bytes() == b"content"
        if name is None:
            assert re.fullmatch(r"ubiops-[0-9a-f]{16}", Path(file).name)
        else:
            assert Path(file).name == name
        with api.blobs_get("p", "b", _preload_content=False) as response:
            assert response.getfilename() == name
    assert filename_of(disposition) == name


def test_a_lone_surrogate_is_refused_before_anything_is_sent(
    api: Any, client: ubiops.ApiClient, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "a").touch()
    name = "a\ud800.csv"
    for call in (
        lambda: ubiops.utils.upload_file(client, "p", tmp_path / "a", file_name=name),
        lambda: ubiops.utils.download_file(client, "p", file_name=name, output_path=tmp_path),
        lambda: ubiops.utils.handle_file_input(client, "p", str(tmp_path / "a"), file_name=name),
        lambda: api.files_upload("p", "b", name),
        lambda: client.call_api("/x", "POST", post_params={"file_name": name}),
        lambda: client.call_api("/x", "POST", post_params={"file_name": name}, files={"file": tmp_path / "a"}),
        lambda: client.call_api("/x", "POST", header_params={"Content-Type": "text/plain"}, body=name),
    ):
        with pytest.raises(ApiValueError):
            call()
    assert server.requests == []
    assert filename_of(f'attachment; filename="{name}"') == "a?.csv"


@pytest.mark.parametrize(
    "field",
    [
        ("f", ("a.csv", b"x", "text/csv\r\nX-A: 1")),
        ("f", ("a.csv", "x", "text/csv\0")),
        ("f", (5, b"x")),
        ("f", (b"a.csv", b"x")),
        (5, "x"),
    ],
)
def test_a_part_that_could_not_be_written_as_it_is_meant_is_refused(
    client: ubiops.ApiClient, server: Server, field: Any
) -> None:
    with pytest.raises((ApiValueError, ApiTypeError)):
        client.call_api("/x", "POST", header_params={"Content-Type": "multipart/form-data"}, post_params=[field])
    assert server.requests == []


def test_no_name_or_content_begins_another_part(client: ubiops.ApiClient, server: Server) -> None:
    name = 'a"; x="\r\nX-A: 1\r\n\r\n\0.csv'
    server.default = Answer(200, b"")
    fields = [(name, "1"), ("f", (name, b"--\r\n--boundary--\r\n", "text/csv"))]
    client.call_api("/x", "POST", header_params={"Content-Type": "multipart/form-data"}, post_params=fields)
    written = "a%22; x=%22%0D%0AX-A: 1%0D%0A%0D%0A%00.csv"
    assert form_of(server) == {
        written: (None, "text/plain", b"1"),
        "f": (written, "text/csv", b"--\r\n--boundary--\r\n"),
    }


@pytest.mark.parametrize("stem", ["x" * 300, "€" * 300, "😀" * 100])
def test_a_name_that_is_too_long_is_cut(api: Any, server: Server, folder: Path, stem: str) -> None:
    (folder / "taken").touch()
    encoded = "".join(f"%{byte:02x}" for byte in f"{stem}.csv".encode())
    server.default = attachment(b"content", f"attachment; filename*=UTF-8''{encoded}")
    for _ in range(2):
        file = api.blobs_get("p", "b", _preload_content=True)
        assert Path(file).name.endswith(".csv")
        assert "\ufffd" not in Path(file).name
        assert Path(file).read_bytes() == b"content"


BROKEN = {
    "shorter than promised": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncontent",
    "chunks cut short": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\ncontent",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\ncontent\r\n",
    "no end of the headers": b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\n",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_a_download_that_breaks_off_leaves_nothing(
    api: Any, configuration: ubiops.Configuration, folder: Path, answer: bytes
) -> None:
    configuration.retries = 0
    with RawServer(writing(answer)) as server:
        configuration.host = server.url
        with pytest.raises(ApiConnectionError) as caught:
            api.blobs_get("p", "b", _preload_content=True)
    assert (caught.value.operation, caught.value.status) == ("blobs_get", 0)
    assert list(folder.iterdir()) == []


def test_a_download_is_no_longer_than_promised(api: Any, configuration: ubiops.Configuration, folder: Path) -> None:
    with RawServer(writing(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ncontent and more")) as server:
        configuration.host = server.url
        assert Path(api.blobs_get("p", "b", _preload_content=True)).read_bytes() == b"content"


def test_chunks_are_put_together(api: Any, configuration: ubiops.Configuration, folder: Path) -> None:
    body = b"4\r\ncont\r\n3;x=y\r\nent\r\n0\r\nTrailer: 1\r\n\r\n"
    with RawServer(writing(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)) as server:
        configuration.host = server.url
        assert Path(api.blobs_get("p", "b", _preload_content=True)).read_bytes() == b"content"


def test_an_empty_download_is_an_empty_file(api: Any, server: Server, folder: Path) -> None:
    server.default = attachment(b"")
    assert Path(api.blobs_get("p", "b", _preload_content=True)).read_bytes() == b""


def test_an_error_is_no_file(api: Any, server: Server, folder: Path) -> None:
    server.default = Answer.json({"error": "no such blob"}, 404)
    with pytest.raises(NotFoundError, match="no such blob"):
        api.blobs_get("p", "b", _preload_content=True)
    with pytest.raises(NotFoundError, match="no such blob"):
        api.blobs_get("p", "b", _preload_content=False)
    assert list(folder.iterdir()) == []


def test_without_preloading_there_is_the_stream(api: Any, server: Server, folder: Path) -> None:
    server.default = attachment(CONTENT)
    with api.blobs_get("p", "b", _preload_content=False) as response:
        assert response.getfilename() == "data.bin"
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(CONTENT)))
        assert response.read(10) + response.read() == CONTENT
    # Read to its end it gave its connection back; left before, it closed it.
    api.blobs_get("p", "b", _preload_content=False).close()
    api.blobs_get("p", "b", _preload_content=True)
    assert server.connections == 2
    assert [path.name for path in folder.iterdir()] == ["data.bin"]


def test_memory_does_not_grow_with_a_download(api: Any, configuration: ubiops.Configuration, folder: Path) -> None:
    def large(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 << 20))
        block = bytes(1 << 20)
        for _ in range(100):
            connection.sendall(block)

    with RawServer(large) as server:
        configuration.host = server.url
        tracemalloc.start()
        try:
            file = api.blobs_get("p", "b", _preload_content=True)
            assert tracemalloc.get_traced_memory()[1] < 8 << 20
        finally:
            tracemalloc.stop()
    assert os.path.getsize(file) == 100 << 20
    os.unlink(file)


def test_a_full_disk_leaves_nothing_and_says_so(server: Server, tmp_path: Path) -> None:
    # In a process of its own: the limit on the size of files stands in for the full disk.
    server.default = attachment(bytes(3 << 20))
    program = textwrap.dedent(
        """
        import resource, signal, sys
        import ubiops
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        configuration = ubiops.Configuration(sys.argv[1])
        configuration.temp_folder_path = sys.argv[2]
        with ubiops.ApiClient(configuration) as client:
            for _ in range(2):
                try:
                    ubiops.CoreApi(client).blobs_get("p", "b", _preload_content=True)
                except OSError as error:
                    print(type(error).__name__, error.errno)
            print(client.call_api("/x", "GET")[1])
        """
    )
    command = [sys.executable, "-W", "error", "-c", program, server.url, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (f"OSError {errno.EFBIG}\n" * 2 + "200\n", "")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_download_leaves_nothing(tmp_path: Path) -> None:
    def blocks() -> Iterator[bytes]:
        yield b"con"
        raise KeyboardInterrupt

    for write in (
        lambda: ubiops.files.save(blocks(), str(tmp_path), "data.bin"),
        lambda: ubiops.files.write_file(blocks(), str(tmp_path / "data.bin")),
    ):
        with pytest.raises(KeyboardInterrupt):
            write()
        assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(api: Any, server: Server, folder: Path) -> None:
    api.api_client.configuration.temp_folder_path = str(folder / "none")
    server.default = attachment(b"content")
    with pytest.raises(FileNotFoundError, match="none"):
        api.blobs_get("p", "b", _preload_content=True)
    (folder / "none").mkdir()
    assert Path(api.blobs_get("p", "b", _preload_content=True)).read_bytes() == b"content"


def test_by_default_downloads_go_to_the_folder_for_temporary_files(
    api: Any, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server.default = attachment(b"content")
    assert api.blobs_get("p", "b", _preload_content=True) == str(tmp_path / "data.bin")


def test_a_path_of_the_callers_is_replaced_when_the_file_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    path.chmod(0o640)

    def blocks(*, broken: bool) -> Iterator[bytes]:
        yield b"new"
        assert path.read_bytes() == b"old"
        if broken:
            raise ApiException(0, "broken")

    with pytest.raises(ApiException):
        ubiops.files.write_file(blocks(broken=True), str(path))
    assert path.read_bytes() == b"old"
    ubiops.files.write_file(blocks(broken=False), str(path))
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(OSError, match="director"):
        ubiops.files.write_file([b"new"], str(tmp_path))
    assert [one.name for one in tmp_path.iterdir()] == ["data.bin"]


def test_a_download_to_a_path_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mask = os.umask(0o027)
    try:
        ubiops.files.write_file([b"content"], "data.bin")
    finally:
        os.umask(mask)
    assert (tmp_path / "data.bin").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "data.bin").stat().st_mode) == 0o640

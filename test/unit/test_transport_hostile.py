"""Servers that break the rules: each gives a typed error in good time, and the client goes on."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import select
import shutil
import socket
import tracemalloc
import zlib
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer
from ubiops.deadline import Deadline
from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    BadRequestError,
    NotFoundError,
    ServerError,
)
from ubiops.files import save
from ubiops.rest import blocks_of

OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def _one_attempt(configuration: ubiops.Configuration) -> None:
    configuration.retries = 0


def get(client: ubiops.ApiClient, **options: Any) -> Any:
    return client.call_api("/thing", "GET", response_type="object", _return_http_data_only=True, **options)


BROKEN = {
    "closed at once": None,
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2 of a sort": b"HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    "garbage in the status line": b"HTTP/1.1 abc \x00\xff\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "half a status line": b"HTTP/1.",
    "half a header": OK + b"Content-Len",
    "half the headers": OK + b"Content-Type: application/json\r\n",
    "a first header that goes on": OK + b" X-A: 1\r\n\r\n{}",
    "a huge header": OK + b"X-Huge: " + b"x" * 200_000 + b"\r\n\r\n",
    "thousands of headers": OK + b"X-Many: 1\r\n" * 5000 + b"\r\n",
    "a body cut short": JSON + b'Content-Length: 100\r\n\r\n{"a": 1}',
    "two lengths": JSON + b'Content-Length: 7\r\nContent-Length: 8\r\n\r\n{"a":1} ',
    "chunks that are none": JSON + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}",
    "chunks cut short": JSON + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"a"',
    "chunks without an end": JSON + b'Transfer-Encoding: chunked\r\n\r\n8\r\n{"a": 1}\r\n',
    "a huge chunk size": JSON + b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 100_000 + b"\r\n{}",
    "gzip that is none": JSON + b"Content-Encoding: gzip\r\nConnection: close\r\n\r\n{}",
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_an_answer_that_breaks_off_is_a_connection_error(
    client: ubiops.ApiClient, server: Server, answer: bytes | None
) -> None:
    server.answers = [answer]
    with pytest.raises(ApiConnectionError) as caught:
        get(client)
    error = caught.value
    assert error.status == 0
    assert error.reason
    assert error.body is None
    assert error.headers is None
    assert error.__cause__ is not None
    assert (error.method, error.path) == ("GET", "/thing")
    assert get(client) == {}


UNREADABLE = {
    "HTML": (b"<html>", "<html>"),
    "half of it": (b'{"a": ', '{"a": '),
    "two values": (b"{} {}", "{} {}"),
    "not UTF-8": (b'{"a": "\xff"}', '{"a": "�"}'),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "��{\x00"),
    "nested deeply": (b"[" * 100_000 + b"]" * 100_000, "[["),
    "a number without end": (b"1" * 10_000, "111"),
}


@pytest.mark.parametrize(("body", "shown"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_is_no_json_raises_with_status_and_text(
    client: ubiops.ApiClient, server: Server, body: bytes, shown: str
) -> None:
    server.answers = [Answer(200, body, {"X-A": "1"})]
    with pytest.raises(ApiException) as caught:
        get(client)
    assert caught.value.status == 200
    assert caught.value.body is not None
    assert caught.value.body.startswith(shown)
    assert caught.value.headers is not None
    assert caught.value.headers["X-A"] == "1"
    assert get(client) == {}
    assert server.connections == 1


@pytest.mark.parametrize("body", [b"", b"<html>Bad gateway</html>", b"\xff\xfe", b"[" * 100_000, b'"text"', b"null"])
@pytest.mark.parametrize("status", [400, 404, 500, 599])
def test_an_error_with_any_body_is_that_error(
    client: ubiops.ApiClient, server: Server, status: int, body: bytes
) -> None:
    server.answers = [Answer(status, body)]
    with pytest.raises(ApiException) as caught:
        get(client)
    assert caught.value.status == status
    assert type(caught.value) is {400: BadRequestError, 404: NotFoundError}.get(status, ServerError)
    assert caught.value.body == body.decode(errors="replace")
    assert str(status) in str(caught.value)
    assert get(client) == {}
    assert server.connections == 1


@pytest.mark.parametrize(
    "rest",
    [
        b'Content-Length: 100\r\n\r\n{"error"',
        b"Transfer-Encoding: chunked\r\n\r\nxyz",
        b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
    ],
)
def test_the_status_of_an_error_whose_body_is_broken_is_told(
    client: ubiops.ApiClient, server: Server, rest: bytes
) -> None:
    server.answers = [b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n" + rest]
    with pytest.raises(NotFoundError):
        get(client)
    assert get(client) == {}


def test_of_an_endless_error_the_first_megabyte_is_read(configuration: ubiops.Configuration) -> None:
    def endless(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(b"HTTP/1.1 500 No\r\n\r\n")
        while not server.closing.is_set():
            connection.sendall(b"no " * 10_000)

    with RawServer(endless) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client:
            for _ in range(3):
                with pytest.raises(ServerError) as caught:
                    get(client)
                assert caught.value.body is not None
                assert len(caught.value.body) == 1 << 20


@pytest.mark.skipif(
    tuple(map(int, version("urllib3").split(".")[:2])) < (2, 6),
    reason="urllib3 unpacked whole blocks before 2.6",
)
def test_a_small_answer_that_unpacks_to_a_huge_error_is_not_unpacked_whole(
    client: ubiops.ApiClient, server: Server
) -> None:
    bomb = zlib.compressobj(wbits=31)
    packed = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(64)) + bomb.flush()
    server.answers = [Answer(500, packed, {"Content-Encoding": "gzip"})]
    tracemalloc.start()
    try:
        with pytest.raises(ServerError) as caught:
            get(client)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.body is not None
    assert len(caught.value.body) == 1 << 20


def test_a_packed_answer_is_unpacked(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [Answer(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"})]
    assert get(client) == {"a": 1}


def compressed(encoding: str) -> bytes:
    content = json.dumps(list(range(5000))).encode()
    if encoding == "raw deflate":
        return zlib.compress(content)[2:-4]
    return zlib.compress(content) if encoding == "deflate" else gzip.compress(content)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("kept", [5, 0.5, -1])
def test_a_compressed_body_that_ends_early_is_a_connection_error(
    client: ubiops.ApiClient, server: Server, encoding: str, kept: float, tmp_path: Path
) -> None:
    packed = compressed(encoding)
    assert get_packed(client, server, packed, encoding) == list(range(5000))
    cut = packed[: int(len(packed) * kept) if isinstance(kept, float) else kept]
    with pytest.raises(ApiConnectionError, match="ended early"):
        get_packed(client, server, cut, encoding)
    with (
        pytest.raises(urllib3.exceptions.HTTPError),
        get_packed(client, server, cut, encoding, _preload_content=False) as response,
    ):
        shutil.copyfileobj(response, io.BytesIO())
    for read_all in (
        lambda response: response.read(),
        lambda response: response.data,
        lambda response: list(response),
        lambda response: list(response.stream(100)),
        lambda response: list(iter(lambda: response.read1(100), b"")),
    ):
        with (
            pytest.raises(urllib3.exceptions.HTTPError),
            get_packed(client, server, cut, encoding, _preload_content=False) as response,
        ):
            read_all(response)
    server.answers = [Answer(200, cut, {"Content-Encoding": encoding.removeprefix("raw ")})]
    with pytest.raises(ApiConnectionError, match="ended early"):
        save(blocks_of(get(client, _preload_content=False)), str(tmp_path), "file")
    assert list(tmp_path.iterdir()) == []


def get_packed(client: ubiops.ApiClient, server: Server, body: bytes, encoding: str, **options: Any) -> Any:
    server.answers = [Answer(200, body, {"Content-Encoding": encoding.removeprefix("raw ")})]
    return get(client, **options)


def test_what_follows_a_compressed_body_is_passed_over(client: ubiops.ApiClient, server: Server) -> None:
    packed = gzip.compress(b"[1,") + gzip.compress(b"2]") + bytes(100)
    assert get_packed(client, server, packed, "gzip") == [1, 2]
    assert get_packed(client, server, b"", "gzip") is None
    twice = gzip.compress(gzip.compress(b"[1]"))
    assert get_packed(client, server, twice, "gzip, gzip") == [1]
    with pytest.raises(ApiConnectionError, match="ended early"):
        get_packed(client, server, gzip.compress(gzip.compress(b"[1]")[:-5]), "gzip, gzip")


UNCLEAR = {
    "a length of letters": b"Content-Length: abc\r\n\r\n{}",
    "a negative length": b"Content-Length: -5\r\n\r\n{}",
    **{
        f"the length {number!r}": b"Content-Length: " + number + b"\r\n\r\n{}"
        for number in (b"+2", b"0_2", b"0x2", b"2.0", b"2e0", b"\x0b2", b"2\xa0", b"\xb2", b"2 2", b"2;", b"2,", b"")
    },
    "a length of 30 digits": b"Content-Length: " + b"9" * 30 + b"\r\n\r\n{}",
    "a length of 18 digits": b"Content-Length: " + b"9" * 18 + b"\r\n\r\n{}",
    "a length of 5,000 digits": b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "a length that goes on in another line": b"Content-Length:\r\n 2\r\n\r\n{}",
    "a space after the name of a length": b"Content-Length : 2\r\n\r\n{}",
    "NUL after the name of a length": b"Content-Length\x00: 2\r\n\r\n{}",
    "a header without a name": b": 1\r\nContent-Length: 2\r\n\r\n{}",
    **{
        f"the transfer encoding {coding!r}": b"Transfer-Encoding:" + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
        for coding in (
            b" gzip, chunked",
            b" chunked, gzip",
            b" chunked, identity",
            b" identity, chunked",
            b" chunked, chunked",
            b" chunked\r\nTransfer-Encoding: chunked",
            b" chunked\r\nTransfer-Encoding: identity",
            b" chunked;q=1",
            b" xchunked",
            b" \x0bchunked",
            b"\r\n chunked",
            b"",
        )
    },
    "a space after the name of an encoding": b"Transfer-Encoding : chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk of 40 digits": b"Transfer-Encoding: chunked\r\n\r\n" + b"9" * 40 + b"\r\n{}\r\n0\r\n\r\n",
    "a chunk of 15 digits": b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 15 + b"\r\n{}\r\n0\r\n\r\n",
    **{
        f"the chunk size {size!r}": b"Transfer-Encoding: chunked\r\n\r\n" + size + b"\n{}\r\n0\r\n\r\n"
        for size in (
            *(b"-2\r", b"+2\r", b"0x2\r", b"0_2\r", b"2h\r", b"2 2\r", b"2, 2\r", b"\r", b";a=2\r"),
            *(b" 2\r", b"\t2\r", b"\x0b2\r", b"2\x0b\r", b"2\xa0\r", b"\xb2\r", b"2\0\r"),
            *(b"0" * 16 + b"2\r", b"2", b"2\r\r", b"2;a", b"2;a\rb\r", b"2;\0\r"),
        )
    },
    "LF alone after the last chunk size": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\n\r\n",
    "LF alone after a chunk": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n",
    "a chunk longer than it says": b"Transfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n",
    "a carriage return in a header": b"X-A: 1\rContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
    "two headers to some readers": b"X-A: 1\rX-B: 2\r\nContent-Length: 2\r\n\r\n{}",
    "the beginning of a mail to some readers": b"From me: 1\r\nContent-Length: 2\r\n\r\n{}",
    "NUL in a header": b"X-A: 1\x00\r\nContent-Length: 2\r\n\r\n{}",
    "a header without a colon": b"X-A\r\nContent-Length: 2\r\n\r\n{}",
    "a head of 2 MB": b"".join(b"X-%d: " % i + b"x" * 50_000 + b"\r\n" for i in range(40)) + b"\r\n{}",
    "trailers without end": b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + b"X: 1\r\n" * 500_000 + b"\r\n",
}


@pytest.mark.parametrize("rest", UNCLEAR.values(), ids=UNCLEAR)
def test_framing_that_could_be_read_in_two_ways_is_refused(
    client: ubiops.ApiClient, server: Server, rest: bytes
) -> None:
    server.answers = [JSON + rest]
    with pytest.raises(ApiConnectionError):
        get(client)
    server.answers = [JSON + rest]
    with pytest.raises((ApiConnectionError, urllib3.exceptions.HTTPError)):
        get(client, _preload_content=False).read()
    assert get(client) == {}


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 2, 2\r\n\r\n{}",
        b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        b"Content-Length: 02 \r\n\r\n{}",
        b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
        b"Transfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n02 ;x=y\r\n{}\r\n0\r\nX-Trailer: 1\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n2  \r\n{}\r\n00\r\n\r\n",
        b"X-A: 1\nContent-Length:2\n\n{}",
    ],
)
def test_framing_that_is_odd_but_clear_is_taken(client: ubiops.ApiClient, server: Server, rest: bytes) -> None:
    server.answers = [JSON + rest]
    assert get(client) == {}


@pytest.mark.parametrize(
    ("rest", "connections"),
    [
        (b"Content-Length: 2\r\n\r\n{}", 1),
        (b"Content-Length: 2, 2\r\n\r\n{}", 3),
        (b"Content-Length: 2\r\ncontent-length: 2\r\n\r\n{}", 3),
        (b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 3),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 1),
    ],
)
def test_a_connection_whose_answer_says_its_length_twice_is_not_kept(
    configuration: ubiops.Configuration, rest: bytes, connections: int
) -> None:
    def serve(server: RawServer, connection: socket.socket) -> None:
        while server.read_head(connection):
            connection.sendall(JSON + rest)

    with RawServer(serve) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client:
            assert [get(client) for _ in range(3)] == [{}] * 3
        assert server.connections == connections


def test_a_header_that_goes_on_in_another_line_is_given_in_one(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [JSON + b"X-A: 1\r\n\t2\r\n  3\r\nX-B: 4\n 5\r\nContent-Length: 2\r\n\r\n{}"]
    headers = client.call_api("/thing", "GET", response_type="object")[2]
    assert (headers["X-A"], headers["X-B"]) == ("1 2 3", "4 5")


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_body_after_204_is_not_taken_for_the_next_answer(
    client: ubiops.ApiClient, server: Server, method: str
) -> None:
    server.answers = [Answer(204, b'{"error": "HTTP/1.1 200 OK"}'), Answer(200, b'{"a": 1}')]
    assert client.call_api("/thing", method, response_type="object", _return_http_data_only=True) is None
    assert get(client) == {"a": 1}


def test_what_follows_an_answer_is_not_taken_for_the_next(configuration: ubiops.Configuration) -> None:
    forged = Answer(200, b'{"forged": true}').raw()

    def answering_twice(server: RawServer, connection: socket.socket) -> None:
        while True:
            server.read_head(connection)
            connection.sendall(Answer(200, b'{"a": 1}').raw() + forged)

    with RawServer(answering_twice) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client:
            assert [get(client) for _ in range(3)] == [{"a": 1}] * 3


@pytest.mark.parametrize("status", [100, 102, 103, 199])
def test_informational_answers_are_passed_over(configuration: ubiops.Configuration, status: int) -> None:
    def serve(server: RawServer, connection: socket.socket) -> None:
        for number in itertools.count(1):
            server.read_head(connection)
            hint = b"HTTP/1.1 %d So\r\nContent-Length: 5\r\nX-B: 2\r\n\r\n" % status
            connection.sendall(hint * 3 + Answer(200, b'{"a": %d}' % number).raw())

    with RawServer(serve) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client:
            assert [get(client) for _ in range(3)] == [{"a": 1}, {"a": 2}, {"a": 3}]
        assert server.connections == 1


def test_a_change_of_protocol_is_told_and_its_connection_not_kept(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [Answer(101, b"")]
    with pytest.raises(ApiException) as caught:
        get(client)
    assert caught.value.status == 101
    assert get(client) == {}
    assert server.connections == 2


@pytest.mark.parametrize("timeout", [None, 60])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"{}").raw() + b"H",
        Answer(200, b"{}").raw() + Answer(200, b'{"forged": true}').raw(),
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n\r\n",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 304 No\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
@pytest.mark.parametrize("over_tls", [False, True])
def test_a_connection_with_surplus_bytes_is_not_kept(
    configuration: ubiops.Configuration, answer: bytes, timeout: Any, over_tls: bool, tls: Any
) -> None:
    def serve(server: RawServer, connection: socket.socket) -> None:
        while server.read_head(connection):
            connection.sendall(answer)

    with RawServer(serve, tls.server if over_tls else None) as server:
        configuration.host, configuration.ssl_ca_cert = server.url, tls.ca_file
        with ubiops.ApiClient(configuration) as client:
            for count in (1, 2, 3):
                with suppress(ApiException):
                    assert get(client, _request_timeout=timeout) in (None, {})
                assert server.connections == count


def test_a_connection_that_is_given_back_unread_is_not_kept(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [Answer(200, b'{"first": true}')]
    get(client, _preload_content=False).release_conn()
    assert get(client) == {}
    assert server.connections == 2


def test_an_early_refusal_of_an_upload_is_told(configuration: ubiops.Configuration, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(64 << 20)

    def refusing(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(Answer.json({"error": "too large"}, 413, Connection="close").raw())
        # The rest is read away, as a server does that wants its answer to arrive.
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(1 << 20):
            pass

    with RawServer(refusing) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiException, match="too large") as caught:
            ubiops.CoreApi(client).blobs_create("p", str(path))
    assert caught.value.status == 413


def test_an_answer_in_another_shape_raises(api: Any, server: Server) -> None:
    for body in ([], "text", 5, True):  # type: ignore[var-annotated]
        server.answers = [Answer.json(body)]
        with pytest.raises(ApiException) as caught:
            api.deployments_get("p", "d")
        assert caught.value.status == 200
        assert caught.value.body == json.dumps(body)


def test_a_connection_that_was_closed_meanwhile_is_replaced(client: ubiops.ApiClient, server: Server) -> None:
    # Said to be kept open, and closed all the same: the client finds out when it wants to use it again.
    server.answers = [Answer(200, b"{}").raw(), Answer(200, b'{"a": 1}')]
    with get(client, _preload_content=False) as response:
        connection = response.connection.sock
        assert response.read() == b"{}"
    assert select.select([connection], [], [], 10)[0]
    assert client.call_api("/thing", "POST", response_type="object", _return_http_data_only=True) == {"a": 1}
    assert server.connections == 2


def test_an_answer_above_the_largest_size_is_refused(
    client: ubiops.ApiClient, server: Server, configuration: ubiops.Configuration
) -> None:
    packed = gzip.compress(bytes(8 << 20))
    for answer in (Answer(200, b"[" + b" " * 70_000 + b"]"), Answer(200, packed, {"Content-Encoding": "gzip"})):
        client.configuration.max_response_size = 1 << 16
        server.answers = [answer]
        with pytest.raises(ApiException, match=r"configuration\.max_response_size \(65536 bytes\)") as caught:
            get(client)
        assert caught.value.status == 200
        server.answers = [answer]
        with get(client, _preload_content=False) as response:
            assert len(response.read()) > 1 << 16
    client.configuration.max_response_size = 1 << 17
    server.answers = [Answer(200, b"[" + b" " * 70_000 + b"]")]
    assert get(client) == []


def test_a_body_that_unpacks_for_long_ends_with_the_calls_time(client: ubiops.ApiClient, server: Server) -> None:
    packer = zlib.compressobj(wbits=31)
    # After a full flush the same bytes come out again; what ends them is never read.
    first, again = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    packed = first + 511 * again
    server.answers = [Answer(200, packed, {"Content-Encoding": "gzip"})]
    response = client.rest_client.send("GET", server.url, {}, deadline=Deadline(60), stream=True)[0]
    blocks = blocks_of(response)
    next(blocks)
    response.deadline.end = 0.0  # type: ignore[attr-defined]
    with pytest.raises(ApiTimeoutError):
        next(blocks)


def test_a_part_where_all_was_asked_for_is_told(client: ubiops.ApiClient, server: Server) -> None:
    for preload in (True, False):
        server.answers = [Answer(206, b"{}", {"Content-Range": "bytes 0-1/9"})]
        with pytest.raises(ApiException, match="only a part") as caught:
            get(client, _preload_content=preload)
        assert caught.value.status == 206
    server.answers = [Answer(206, b"{}", {"Content-Range": "bytes 0-1/9"})]
    assert get(client, header_params={"range": "bytes=0-1"}) == {}


def test_a_delete_is_not_repeated_after_an_answer_without_a_length(
    configuration: ubiops.Configuration, server: Server
) -> None:
    configuration.retries = 2
    with ubiops.ApiClient(configuration) as client:
        server.answers = [b"HTTP/1.1 200 OK\r\n\r\n"]
        assert client.call_api("/thing", "DELETE")[1] == 200
        assert len(server.requests) == 1

"""Servers that break the rules: each gives a typed error in good time, and the client goes on."""

from __future__ import annotations

import gzip
import json
import select
import socket
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer
from ubiops.exceptions import ApiConnectionError, ApiException, BadRequestError, NotFoundError, ServerError

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
    "garbage in the status line": b"HTTP/1.1 abc \x00\xff\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "half a status line": b"HTTP/1.",
    "half a header": OK + b"Content-Len",
    "half the headers": OK + b"Content-Type: application/json\r\n",
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
    tuple(map(int, urllib3.__version__.split(".")[:2])) < (2, 6), reason="urllib3 unpacked whole blocks before 2.6"
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


@pytest.mark.parametrize("length", [b"abc", b"-5"])
def test_a_length_that_is_none_means_until_the_end(client: ubiops.ApiClient, server: Server, length: bytes) -> None:
    server.answers = [JSON + b"Content-Length: " + length + b'\r\n\r\n{"a": 1}']
    assert get(client) == {"a": 1}


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


def test_informational_answers_are_passed_over_or_told(configuration: ubiops.Configuration) -> None:
    def serve(server: RawServer, connection: socket.socket) -> None:
        while True:
            status = "103" if "early" in server.read_head(connection) else "100"
            connection.sendall(f"HTTP/1.1 {status} So\r\nX-B: 2\r\n\r\n".encode() + Answer(200, b'{"a": 1}').raw())

    with RawServer(serve) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client:
            assert get(client) == {"a": 1}
            with pytest.raises(ApiException) as caught:
                client.call_api("/early", "GET")
            assert caught.value.status == 103
            assert get(client) == {"a": 1}


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
    for body in ([], "text", 5, True):
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

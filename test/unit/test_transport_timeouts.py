"""How long a call waits: to connect, for data, and in all."""

from __future__ import annotations

import io
import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer, never_reading, silent, writing
from ubiops.deadline import Deadline, current
from ubiops.exceptions import ApiConnectionError, ApiTimeoutError, ApiValueError
from ubiops.rest import RESTClientObject

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"


@contextmanager
def talking_to(server: RawServer, **settings: Any) -> Iterator[ubiops.ApiClient]:
    configuration = ubiops.Configuration(server.url)
    configuration.retries = 0
    for name, value in settings.items():
        setattr(configuration, name, value)
    with server, ubiops.ApiClient(configuration) as client:
        yield client


def get(client: ubiops.ApiClient, **options: Any) -> Any:
    return client.call_api("/thing", "GET", response_type="object", _return_http_data_only=True, **options)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds


def dripping_body(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(HEAD)
    server.drip(connection, b" " * 1000)


def dripping_chunks(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    server.drip(connection, b"1\r\n \r\n" * 1000)


def dripping_chunk_size(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    server.drip(connection, b"0" * 1000)


def dripping_headers(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    server.drip(connection, b"X-Drip: yes\r\n" * 80)


def dripping_status_line(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    server.drip(connection, b"HTTP/1.1 200 " + b"O" * 1000)


def dripping_blank(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    server.drip(connection, b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 16)


def dripping_fast(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(HEAD)
    server.drip(connection, b" " * 1000, 0.01)


def dripping_error_body(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(HEAD.replace(b"200 OK", b"500 No"))
    server.drip(connection, b" " * 1000)


def endless_continues(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    # Slowly: faster they would reach the size limit of a head first.
    while not server.closing.wait(0.001):
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def endless_body(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not server.closing.wait(0.001):
        connection.sendall(b" " * 1000)


@pytest.mark.parametrize(
    "serve",
    [
        silent,
        dripping_body,
        dripping_chunks,
        dripping_chunk_size,
        dripping_headers,
        dripping_status_line,
        endless_continues,
        endless_body,
    ],
)
def test_a_number_is_the_time_of_the_whole_call(serve: Any) -> None:
    with talking_to(RawServer(serve)) as client, within(30), pytest.raises(ApiTimeoutError) as caught:
        get(client, _request_timeout=0.3)
    assert caught.value.status == 0
    assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)


def test_the_status_of_an_error_that_drips_is_told() -> None:
    with within(30), talking_to(RawServer(dripping_error_body)) as client, pytest.raises(ubiops.ApiException) as caught:
        get(client, _request_timeout=0.3)
    assert caught.value.status == 500


def test_the_time_of_the_whole_call_holds_over_tls(tls: Any) -> None:
    server = RawServer(dripping_headers, tls.server)
    with within(30), talking_to(server, ssl_ca_cert=tls.ca_file) as client, pytest.raises(ApiTimeoutError):
        get(client, _request_timeout=0.4)


def test_a_tls_handshake_that_never_comes_ends_with_the_time_to_connect() -> None:
    with RawServer(never_reading) as server:
        configuration = ubiops.Configuration(server.url.replace("http:", "https:"))
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, within(30):
            for timeout in (0.2, (0.2, 60)):
                with pytest.raises(ApiTimeoutError):
                    get(client, _request_timeout=timeout)


def test_the_time_of_the_whole_call_holds_for_downloads(tmp_path: Any) -> None:
    server = RawServer(dripping_body)
    with within(30), talking_to(server, temp_folder_path=str(tmp_path)) as client, pytest.raises(ApiTimeoutError):
        ubiops.CoreApi(client).blobs_get("p", "b", _preload_content=True, _request_timeout=0.3)
    assert list(tmp_path.iterdir()) == []


def test_the_time_of_the_whole_call_holds_for_uploads() -> None:
    def reading_slowly(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        while not server.closing.wait(0.05):
            connection.recv(1000)

    with talking_to(RawServer(reading_slowly)) as client, within(30), pytest.raises(ApiTimeoutError):
        client.call_api("/thing", "PUT", body="x" * (32 << 20), _request_timeout=0.3)


def test_the_time_of_the_whole_call_holds_for_uploads_that_flow(tmp_path: Any) -> None:
    # No block takes as long as the call may; all together take some five minutes.
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(2 << 30)

    def reading_steadily(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        while not server.closing.wait(0.01):
            connection.recv(1 << 16)

    with talking_to(RawServer(reading_steadily)) as client, within(30), pytest.raises(ApiTimeoutError):
        ubiops.CoreApi(client).blobs_create("p", str(path), _request_timeout=0.5)


def test_a_pair_is_the_time_to_connect_and_the_time_between_data() -> None:
    with talking_to(RawServer(dripping_blank)) as client:
        started = time.monotonic()
        assert get(client, _request_timeout=(5, 1)) is None
        assert time.monotonic() - started > 1
    with talking_to(RawServer(silent)) as client, within(30), pytest.raises(ApiTimeoutError):
        get(client, _request_timeout=(60, 0.2))


def test_connecting_ends_with_its_time() -> None:
    # A listener whose queue is full doesn't answer, as a host behind a firewall.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        configuration = ubiops.Configuration(f"http://127.0.0.1:{listener.getsockname()[1]}")
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, within(30):
            for timeout in ((0.2, 60), 0.2):
                with pytest.raises(ApiTimeoutError) as caught:
                    get(client, _request_timeout=timeout)
                assert isinstance(caught.value.__cause__, urllib3.exceptions.ConnectTimeoutError)
        for one in waiting:
            one.close()


@pytest.mark.parametrize("timeout", [(0.2, 30), (0.2, None)])
def test_sending_may_take_longer_than_connecting(timeout: Any) -> None:
    received = []

    def reading_late(server: RawServer, connection: socket.socket) -> None:
        head = server.read_head(connection)
        server.closing.wait(0.6)
        left = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
        while left:
            left -= len(connection.recv(1 << 20))
        received.append(head)
        connection.sendall(Answer.json({}).raw())

    with talking_to(RawServer(reading_late)) as client:
        # On a first connection, and on one that is used again.
        assert client.call_api("/thing", "PUT", body="x" * (32 << 20), _request_timeout=timeout)[1] == 200
    assert received


def test_a_calls_time_does_not_stick_to_its_connection(client: ubiops.ApiClient, server: Server) -> None:
    late = threading.Event()

    def answer_late(request: Any) -> Answer:
        late.wait(2.5)
        return Answer.json({"late": True})

    server.answers = [Answer.json({}), answer_late]
    get(client, _request_timeout=2)
    assert get(client) == {"late": True}
    assert server.connections == 1


def test_an_answer_that_is_left_unread_is_the_callers_to_time() -> None:
    with talking_to(RawServer(dripping_fast)) as client:
        response = get(client, _preload_content=False, _request_timeout=0.3)
        with response:
            assert len(response.read(60)) == 60


@pytest.mark.parametrize(
    "timeout",
    [
        0,
        -1,
        0.0,
        "5",
        b"5",
        True,
        False,
        math.nan,
        math.inf,
        (1, 2, 3),
        (1,),
        (),
        (0, 1),
        (1, -1),
        ("1", 2),
        {},
        {1: 2},
    ],
)
def test_a_timeout_that_cannot_be_used_is_refused(api: Any, server: Server, timeout: Any) -> None:
    with pytest.raises(ApiValueError, match=r"_request_timeout.*service_status"):
        api.service_status(_request_timeout=timeout)
    with pytest.raises(ApiValueError, match="_request_timeout"):
        api.api_client.rest_client.GET(server.url, _request_timeout=timeout)
    assert server.requests == []


@pytest.mark.parametrize(
    "timeout", [1, 2.5, (3, 4), [3, 4], (None, 4), (3, None), (None, None), 10**12, 10**400, 1e300]
)
def test_a_timeout_that_can_be_used_is_taken(client: ubiops.ApiClient, timeout: Any) -> None:
    assert get(client, _request_timeout=timeout) == {}


def test_there_is_always_a_timeout(monkeypatch: pytest.MonkeyPatch, api: Any, server: Server) -> None:
    seen: list[Deadline] = []
    send = RESTClientObject.send

    def recording(self: Any, method: str, url: str, headers: Any, body: Any, deadline: Deadline, stream: bool) -> Any:
        seen.append(deadline)
        return send(self, method, url, headers, body, deadline, stream)

    # Looked at on the way: the waits themselves are of minutes.
    monkeypatch.setattr(RESTClientObject, "send", recording)
    api.service_status()
    api.deployments_get("p", "d")
    assert [(one.connect, one.read) for one in seen] == [(10, 300), (10, 300)]
    seen.clear()
    api.deployment_requests_create("p", "d", {})
    api.deployment_version_requests_create("p", "d", "v", {}, timeout=3600)
    api.pipeline_requests_create("p", "pl", {})
    api.pipeline_version_requests_create("p", "pl", "v", {}, pipeline_timeout=7200)
    # For the server to refuse.
    api.deployment_requests_create("p", "d", {}, timeout=0)
    assert [(one.connect, one.read, one.end) for one in seen] == [
        (10, seconds + 30, math.inf) for seconds in (300, 3600, 3600, 7200, 300)
    ]
    seen.clear()
    api.deployment_requests_create("p", "d", {}, timeout=60, _request_timeout=(1, None))
    api.deployment_requests_create("p", "d", {}, timeout=60, _request_timeout=(1, 2))
    assert [(one.connect, one.read) for one in seen] == [(1, 90), (1, 2)]


def test_the_default_timeouts_reach_the_socket() -> None:
    seen: list[float | None] = []

    def answer(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(Answer.json({}).raw())
        server.closing.wait()

    with talking_to(RawServer(answer)) as client, get(client, _preload_content=False) as response:
        seen.append(response.connection.sock.gettimeout())
    assert seen == [300]


def test_an_expired_timeout_of_an_upload_is_no_broken_connection() -> None:
    with talking_to(RawServer(never_reading)) as client, within(30), pytest.raises(ApiTimeoutError):
        client.call_api("/thing", "PUT", body="x" * (32 << 20), _request_timeout=(5, 0.2))


def test_a_connection_that_breaks_is_no_timeout() -> None:
    with talking_to(RawServer(writing(b""))) as client, pytest.raises(ApiConnectionError) as caught:
        get(client)
    assert not isinstance(caught.value, ApiTimeoutError)


def test_a_call_made_while_another_ones_body_is_read_leaves_its_time_alone(server: Server) -> None:
    class Calling(io.BytesIO):
        """A file whose reading asks the API, as one of a remote file system does."""

        def read(self, size: int | None = -1) -> bytes:
            if size:
                client.call_api("/other", "GET", _request_timeout=60)
            return super().read(size)

    configuration = ubiops.Configuration(server.url)
    # None, unless a test that interrupts calls ran in this thread before.
    before = current.deadline
    with ubiops.ApiClient(configuration) as client, talking_to(RawServer(dripping_headers)) as slow:
        with within(30), pytest.raises(ApiTimeoutError):
            ubiops.CoreApi(slow).blobs_create("p", Calling(b"x" * 100), _request_timeout=1)
        assert server.requests
        assert current.deadline is before


def test_the_openers_of_origins_are_bounded(server: Server) -> None:
    with ubiops.ApiClient(ubiops.Configuration(server.url)) as client:
        for number in range(20):
            client.rest_client.GET(f"http://user{number}@127.0.0.1:{server.port}/")
        assert len(client.rest_client._openers) <= 4

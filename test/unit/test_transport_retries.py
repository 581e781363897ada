"""Which requests are sent again, when, and which never."""

from __future__ import annotations

import io
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from test.unit.conftest import Waits
from test.unit.raw_server import RawServer, silent
from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiTimeoutError,
    ApiValueError,
    ServerError,
    TooManyRequestsError,
)
from ubiops.files import Upload

TRANSIENT = [408, 429, 502, 503, 504]
FINAL = [400, 401, 403, 404, 405, 409, 413, 418, 422, 500, 501, 505]
OK = Answer.json({"a": 1})


def call(client: ubiops.ApiClient, method: str, **options: Any) -> Any:
    body = {"x": 1} if method in ("POST", "PUT", "PATCH") else None
    return client.call_api("/thing", method, body=body, response_type="object", _return_http_data_only=True, **options)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", TRANSIENT)
def test_what_can_be_repeated_is_repeated_on_passing_errors(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str, status: int
) -> None:
    server.answers = [Answer(status), Answer(status), OK]
    assert call(client, method) == (None if method == "HEAD" else {"a": 1})
    assert [request.method for request in server.requests] == [method] * 3
    assert len({request.body for request in server.requests}) == 1
    assert len(waits) == 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST", "PATCH"])
@pytest.mark.parametrize("status", FINAL)
def test_other_errors_are_not_repeated(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str, status: int
) -> None:
    server.default = Answer(status)
    with pytest.raises(ApiException) as caught:
        call(client, method)
    assert caught.value.status == status
    assert len(server.requests) == 1
    assert waits == []


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("status", [408, 502, 503, 504])
def test_post_and_patch_are_not_repeated_where_they_may_have_been_carried_out(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str, status: int
) -> None:
    server.default = Answer(status)
    with pytest.raises(ApiException) as caught:
        call(client, method)
    assert caught.value.status == status
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_post_and_patch_are_repeated_on_429(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str
) -> None:
    server.answers = [Answer(429), OK]
    assert call(client, method) == {"a": 1}
    assert [request.json for request in server.requests] == [{"x": 1}] * 2


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_broken_connection_is_repeated(client: ubiops.ApiClient, server: Server, waits: Waits, method: str) -> None:
    server.answers = [None, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{", OK]
    assert call(client, method) == {"a": 1}
    assert len(server.requests) == 3


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_post_and_patch_are_not_repeated_after_a_broken_connection(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str
) -> None:
    server.default = None
    with pytest.raises(ApiConnectionError) as caught:
        call(client, method)
    assert caught.value.status == 0
    assert isinstance(caught.value.__cause__, urllib3.exceptions.HTTPError)
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_without_a_connection_everything_is_repeated(waits: Waits, method: str) -> None:
    def answer(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(OK.raw())

    with RawServer(answer, listen=False) as server, ubiops.ApiClient(ubiops.Configuration(server.url)) as client:
        waits.then = server.listen
        assert call(client, method) == {"a": 1}
        assert server.connections == 1
    assert len(waits) == 1


def test_two_retries_by_default(waits: Waits) -> None:
    with RawServer(silent, listen=False) as server, pytest.raises(ApiConnectionError) as caught:
        call(ubiops.ApiClient(ubiops.Configuration(server.url)), "POST")
    assert len(waits) == 2
    assert not isinstance(caught.value, ApiTimeoutError)
    assert isinstance(caught.value.__cause__, urllib3.exceptions.NewConnectionError)


def test_a_rate_limit_is_retried_as_often_as_other_errors(
    client: ubiops.ApiClient, server: Server, waits: Waits
) -> None:
    server.default = Answer(429)
    with pytest.raises(TooManyRequestsError):
        call(client, "GET")
    assert len(server.requests) == 3


def test_the_last_answer_is_the_error(client: ubiops.ApiClient, server: Server, waits: Waits) -> None:
    server.answers = [None, Answer(502), Answer.json({"error": "down"}, 503)]
    with pytest.raises(ServerError, match="down") as caught:
        call(client, "GET")
    assert caught.value.status == 503


def test_a_silent_server_is_asked_again(configuration: ubiops.Configuration, waits: Waits) -> None:
    asked = threading.Semaphore(0)

    def silent_but_counting(server: RawServer, connection: socket.socket) -> None:
        asked.release()
        silent(server, connection)

    with RawServer(silent_but_counting) as server:
        configuration.host = server.url
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiTimeoutError):
            call(client, "GET", _request_timeout=(5, 0.05))
        # The server may come to it later than the client gives up.
        assert [asked.acquire(timeout=30) for _ in range(3)] == [True] * 3
        assert not asked.acquire(blocking=False)


def test_waits_double_from_half_a_second_to_eight_with_jitter(
    client: ubiops.ApiClient, server: Server, waits: Waits
) -> None:
    client.configuration.retries = 7
    server.default = Answer(503)
    for _ in range(5):
        with pytest.raises(ServerError):
            call(client, "GET")
    rounds = [waits[start : start + 7] for start in range(0, 35, 7)]
    assert len(waits) == 35
    for nth, longest in enumerate([0.5, 1, 2, 4, 8, 8, 8]):
        of_all_rounds = [waited[nth] for waited in rounds]
        assert all(longest / 2 <= seconds <= longest for seconds in of_all_rounds)
        assert len(set(of_all_rounds)) > 1


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_retry_after_in_seconds_is_honoured(
    client: ubiops.ApiClient, server: Server, waits: Waits, method: str
) -> None:
    server.answers = [Answer(429, headers={"Retry-After": "120"}), Answer(429, headers={"Retry-After": "0"}), OK]
    assert call(client, method) == {"a": 1}
    assert waits == [120, 0]


def test_retry_after_as_a_date_is_honoured(client: ubiops.ApiClient, server: Server, waits: Waits) -> None:
    soon, past = formatdate(time.time() + 60, usegmt=True), formatdate(time.time() - 60, usegmt=True)
    server.answers = [Answer(503, headers={"Retry-After": soon}), Answer(503, headers={"Retry-After": past}), OK]
    assert call(client, "GET") == {"a": 1}
    assert 50 < waits[0] <= 60
    assert waits[1] == 0


@pytest.mark.parametrize("asked", ["121", "86400", formatdate(4e9, usegmt=True)])
def test_more_than_two_minutes_is_not_waited_for(
    client: ubiops.ApiClient, server: Server, waits: Waits, asked: str
) -> None:
    server.default = Answer(503, headers={"Retry-After": asked})
    with pytest.raises(ServerError):
        call(client, "GET")
    assert waits == []
    assert len(server.requests) == 1


# Numbers that no int and no date can hold.
HUGE_DATES = [
    "Fri, 31 Dec 1999 23:59:59 +99999999999999999999",
    "Fri, 31 Dec 99999999999999 23:59:59 GMT",
    "Fri, 31 Dec 1999 99999999999999999999:59:59 GMT",
]


@pytest.mark.parametrize("asked", ["", "soon", "nan", "inf", "-5", "1e400", "Mon, 99 Foo 2020", "٣", *HUGE_DATES])
def test_a_retry_after_that_makes_no_sense_is_passed_over(
    client: ubiops.ApiClient, server: Server, waits: Waits, asked: str
) -> None:
    server.answers = [Answer(503, headers={"Retry-After": asked.encode().decode("latin-1")}), OK]
    assert call(client, "GET") == {"a": 1}
    assert 0.25 <= waits[0] <= 0.5


def test_no_wait_goes_beyond_the_calls_timeout(client: ubiops.ApiClient, server: Server, waits: Waits) -> None:
    server.default = Answer(503, headers={"Retry-After": "30"})
    with pytest.raises(ServerError):
        call(client, "GET", _request_timeout=20)
    assert waits == []
    assert len(server.requests) == 1
    with pytest.raises(ServerError):
        call(client, "GET", _request_timeout=40)
    assert waits == [30, 30]


def test_the_time_of_all_attempts_counts(server: Server, configuration: ubiops.Configuration) -> None:
    server.default = Answer(503)
    # Together they would wait for six minutes.
    configuration.retries = 50
    started = time.monotonic()
    with ubiops.ApiClient(configuration) as client, pytest.raises(ServerError):
        call(client, "GET", _request_timeout=3.0)
    assert time.monotonic() - started < 60
    assert len(server.requests) > 1


def test_what_the_server_said_wins_over_the_timeout_of_the_last_attempt(
    server: Server, configuration: ubiops.Configuration, waits: Waits
) -> None:
    stop = threading.Event()

    def too_late(request: Any) -> Answer:
        stop.wait(30)
        return OK

    server.answers = [Answer.json({"error": "down for an hour"}, 503), too_late]
    with ubiops.ApiClient(configuration) as client, pytest.raises(ServerError, match="down for an hour") as caught:
        call(client, "GET", _request_timeout=1.0)
    stop.set()
    assert caught.value.status == 503
    assert len(waits) == 1


def test_a_retry_policy_of_the_programs_may_pass_over_retry_after(
    client: ubiops.ApiClient, server: Server, waits: Waits
) -> None:
    client.configuration.retries = urllib3.Retry(1, status_forcelist=[503], respect_retry_after_header=False)
    server.answers = [Answer(503, headers={"Retry-After": "7"}), OK]
    assert call(client, "GET") == {"a": 1}
    assert waits == [0]


@pytest.mark.parametrize("retries", [0, False, 1, 4])
def test_configuration_retries_sets_their_number(
    client: ubiops.ApiClient, server: Server, waits: Waits, retries: int
) -> None:
    client.configuration.retries = retries
    server.default = Answer(503)
    with pytest.raises(ServerError):
        call(client, "GET")
    assert len(server.requests) == 1 + retries


@pytest.mark.parametrize("retries", [-1, "3", 2.5, [1]])
def test_a_number_of_retries_that_makes_no_sense_is_refused(
    client: ubiops.ApiClient, server: Server, retries: Any
) -> None:
    client.configuration.retries = retries
    with pytest.raises(ApiValueError, match=r"configuration\.retries"):
        call(client, "GET")
    assert server.requests == []


def test_a_retry_policy_of_the_programs_replaces_ours(client: ubiops.ApiClient, server: Server, waits: Waits) -> None:
    client.configuration.retries = urllib3.Retry(3, status_forcelist=[418], allowed_methods=["POST"], backoff_factor=2)
    server.default = Answer(418)
    with pytest.raises(ApiException) as caught:
        call(client, "POST")
    assert caught.value.status == 418
    assert len(server.requests) == 4
    assert waits == [0, 4, 8]
    server.requests.clear()
    server.default = Answer(503)
    for method in ("GET", "POST"):
        with pytest.raises(ServerError):
            call(client, method)
    assert len(server.requests) == 2


def test_a_retry_policy_of_the_programs_decides_on_broken_connections(
    client: ubiops.ApiClient, server: Server, waits: Waits
) -> None:
    server.default = None
    for retry, attempts in (
        (urllib3.Retry(4), 5),
        (urllib3.Retry(4, read=1), 2),
        (urllib3.Retry(0), 1),
        (urllib3.Retry(False), 1),
    ):
        server.requests.clear()
        client.configuration.retries = retry
        with pytest.raises(ApiConnectionError) as caught:
            call(client, "GET")
        assert isinstance(caught.value.__cause__, urllib3.exceptions.ProtocolError)
        assert len(server.requests) == attempts


def test_a_retry_policy_of_the_programs_honours_retry_after(
    client: ubiops.ApiClient, server: Server, waits: Waits
) -> None:
    client.configuration.retries = urllib3.Retry(3)
    server.answers = [Answer(503, headers={"Retry-After": "7"}), Answer(503, headers={"Retry-After": "soon"})]
    with pytest.raises(ServerError):
        call(client, "GET")
    assert waits == [7]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("asked", "waited"), [("9" * 5000, 0), (HUGE_DATES[1], 0), ("9" * 400, 21600), ("999999", 21600)]
)
def test_a_retry_policy_of_the_programs_bears_huge_numbers(
    client: ubiops.ApiClient, server: Server, waits: Waits, asked: str, waited: float
) -> None:
    client.configuration.retries = urllib3.Retry(3)
    server.answers = [Answer(503, headers={"Retry-After": asked}), OK]
    assert call(client, "GET") == {"a": 1}
    assert waits == [waited]


def test_a_retry_policy_of_the_programs_keeps_to_the_calls_timeout(configuration: ubiops.Configuration) -> None:
    configuration.retries = urllib3.Retry(20)
    with RawServer(silent) as server:
        configuration.host = server.url
        started = time.monotonic()
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiTimeoutError):
            call(client, "GET", _request_timeout=0.2)
        assert time.monotonic() - started < 3
        assert server.connections == 1


class Pipe(io.RawIOBase):
    """A file object that can be read once, as a pipe."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._content.read(size)


def generated() -> Iterator[bytes]:
    yield from (b"one", b"two")


@pytest.mark.parametrize("retries", [None, 5, urllib3.Retry(5, status_forcelist=[503])])
@pytest.mark.parametrize("body", [lambda: Pipe(b"once"), generated, lambda: itertools.chain([b"a"], [b"b"])])
def test_a_body_that_cannot_be_read_again_is_not_repeated(
    client: ubiops.ApiClient, server: Server, waits: Waits, body: Callable[[], Any], retries: Any
) -> None:
    client.configuration.retries = retries
    server.default = Answer(503)
    with pytest.raises(ServerError):
        client.rest_client.PUT(server.url, {"Content-Type": "application/octet-stream"}, body=body())
    assert len(server.requests) == 1
    assert server.last.body


@pytest.mark.parametrize("retries", [None, urllib3.Retry(5, status_forcelist=[503])])
def test_a_body_that_can_be_read_again_is_sent_whole_again(
    client: ubiops.ApiClient, server: Server, waits: Waits, retries: Any, tmp_path: Any
) -> None:
    client.configuration.retries = retries
    path = tmp_path / "file"
    path.write_bytes(b"-contents")
    with path.open("rb") as file:
        file.read(1)
        for source, content in ((path, b"-contents"), (file, b"contents")):
            server.requests.clear()
            server.answers = [Answer(503), None, OK]
            client.rest_client.send("PUT", f"{server.url}/x", {}, Upload(source))
            assert [request.body for request in server.requests] == [content] * 3

"""Errors of the transport: each is ours, and what urllib3 itself raises for the same server."""

from __future__ import annotations

import copy
import pickle
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, ProtocolError, ReadTimeoutError

import ubiops
from test.unit.raw_server import RawServer, never_reading, silent, writing
from ubiops.exceptions import ApiConnectionError, ApiException, ApiTimeoutError

TIMEOUT = (0.2, 0.2)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # As the older client called it, with the retries that urllib3 makes of itself, but without their pauses.
    monkeypatch.setattr(urllib3.Retry, "DEFAULT", urllib3.Retry(1))
    monkeypatch.setattr(urllib3.Retry, "sleep", lambda self, response=None: None)


def half_a_body(server: RawServer, connection: socket.socket) -> None:
    server.read_head(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    server.closing.wait()


@contextmanager
def refusing() -> Iterator[str]:
    with RawServer(silent, listen=False) as server:
        yield server.origin


@contextmanager
def serving(serve: Any, tls: Any = None, scheme: str = "http") -> Iterator[str]:
    with RawServer(serve, tls) as server:
        yield f"{scheme}://127.0.0.1:{server.port}"


@contextmanager
def behind_a_proxy(serve: Any) -> Iterator[str]:
    with serving(serve) as origin:
        yield f"proxy {origin}"


CASES: dict[str, Any] = {
    "refused": lambda tls: refusing(),
    "silent": lambda tls: serving(silent),
    "closed": lambda tls: serving(writing(b"")),
    "no HTTP": lambda tls: serving(writing(b"SSH-2.0\r\n")),
    "a body cut short": lambda tls: serving(writing(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")),
    "a body that stops": lambda tls: serving(half_a_body),
    "gzip that is none": lambda tls: serving(
        writing(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc")
    ),
    "an unknown authority": lambda tls: serving(silent, tls.server, "https"),
    "a handshake that never comes": lambda tls: serving(never_reading, scheme="https"),
    "a request that is not taken": lambda tls: serving(never_reading),
    "a proxy that asks for a password": lambda tls: behind_a_proxy(writing(b"HTTP/1.1 407 Who\r\n\r\n")),
    "a proxy that is silent": lambda tls: behind_a_proxy(silent),
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("case", CASES)
def test_the_error_is_also_the_one_of_urllib3(case: str, method: str, tls: Any) -> None:
    body = b"x" * (32 << 20) if case == "a request that is not taken" else None
    with CASES[case](tls) as where:
        proxy = where.removeprefix("proxy ") if where.startswith("proxy ") else None
        url = "https://api.test" if proxy else where
        manager = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager(cert_reqs="CERT_REQUIRED")
        with pytest.raises(HTTPError) as expected:
            manager.request(method, url, body=body, timeout=urllib3.Timeout(*TIMEOUT))
        manager.clear()
        configuration = ubiops.Configuration(f"{url}/v2.1" if proxy else url)
        configuration.proxy, configuration.retries = proxy, 0
        headers = {"Content-Type": "application/octet-stream"}
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiConnectionError) as caught:
            client.rest_client.request(method, url, headers=headers, body=body, _request_timeout=TIMEOUT)
    error: Any = caught.value
    assert isinstance(error, type(expected.value))
    assert isinstance(error.__cause__, HTTPError)
    assert (error.status, error.pool) == (0, None)  # type: ignore[attr-defined]
    assert isinstance(error, ApiTimeoutError) is ("TimeoutError" in repr(expected.value))
    for twin in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(twin) is type(error)
        assert (twin.status, twin.reason, str(twin)) == (error.status, error.reason, str(error))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [MaxRetryError, HTTPError, ApiConnectionError, ApiException])
def test_programs_catch_it_in_their_way(kind: type[Exception]) -> None:
    with RawServer(silent, listen=False) as server:
        configuration = ubiops.Configuration(server.url)
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, pytest.raises(kind):
            client.call_api("/thing", "GET")


def test_a_create_that_broke_off_is_a_protocol_error_and_a_slow_one_a_timeout() -> None:
    for serve, kind in ((writing(b""), ProtocolError), (silent, ReadTimeoutError)):
        with RawServer(serve) as server:
            configuration = ubiops.Configuration(server.url)
            with ubiops.ApiClient(configuration) as client, pytest.raises(kind):
                client.call_api("/thing", "POST", body={}, _request_timeout=TIMEOUT)


def test_an_error_of_a_certificate_says_which_setting_to_use(tls: Any) -> None:
    with RawServer(silent, tls.server) as server:
        configuration = ubiops.Configuration(server.url)
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiConnectionError) as caught:
            client.call_api("/thing", "GET")
    assert "configuration.ssl_ca_cert" in str(caught.value)
    assert "SSL_CERT_FILE" in str(caught.value)

"""Proxies: which one is used, for what, and what it gets to see."""

from __future__ import annotations

import base64
import select
import socket
import ssl
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.unit.conftest import TLS
from test.unit.raw_server import RawServer, never_reading, pump
from ubiops.exceptions import ApiConnectionError, ApiTimeoutError, ApiValueError


def forward(server: RawServer, connection: socket.socket) -> None:
    """A proxy: opens a tunnel for CONNECT, and answers anything else itself."""
    head = server.read_head(connection)
    if not head.startswith("CONNECT"):
        connection.sendall(Answer.json({"by": "proxy"}).raw())
        return
    host, port = head.split()[1].split(":")
    with socket.create_connection((host, int(port))) as target:
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        back = threading.Thread(target=pump, args=(target, connection), daemon=True)
        back.start()
        pump(connection, target)
        back.join()


@pytest.fixture
def proxy() -> Iterator[RawServer]:
    with RawServer(forward) as server:
        yield server


@pytest.fixture
def secure(tls: TLS) -> Iterator[Server]:
    server = Server(tls.server)
    yield server
    server.close()


def client_for(server: Server, **settings: Any) -> ubiops.ApiClient:
    configuration = ubiops.Configuration(server.url, {"Authorization": "Token secret-token"})
    configuration.retries = 0
    for name, value in settings.items():
        setattr(configuration, name, value)
    return ubiops.ApiClient(configuration)


def header(head: str, name: str) -> str | None:
    lines = [line.partition(": ") for line in head.split("\r\n")[1:]]
    return next((value for key, _, value in lines if key.lower() == name.lower()), None)


def test_the_configured_proxy_is_used_for_http(server: Server, proxy: RawServer) -> None:
    with client_for(server, proxy=proxy.origin) as client:
        assert client.call_api("/a%2Fb%20c", "GET", query_params={"q": "ü"}, response_type="object")[0] == {
            "by": "proxy"
        }
    assert proxy.heads[0].startswith(f"GET {server.url}/a%2Fb%20c?q=%C3%BC HTTP/1.1\r\n")
    assert server.requests == []


def test_https_goes_through_a_tunnel(secure: Server, proxy: RawServer, tls: TLS) -> None:
    with client_for(secure, proxy=proxy.origin, ssl_ca_cert=tls.ca_file) as client:
        for _ in range(2):
            ubiops.CoreApi(client).service_status()
    assert len(secure.requests) == 2
    assert [head.split("\r\n")[0].split()[:2] for head in proxy.heads] == [["CONNECT", f"127.0.0.1:{secure.port}"]]
    # What is meant for the API stays in the tunnel.
    assert "secret-token" not in proxy.heads[0]


@pytest.mark.parametrize("written", ["{host}", "http://{host}", "http://{host}/"])
def test_a_proxy_may_be_written_without_scheme(server: Server, proxy: RawServer, written: str) -> None:
    with client_for(server, proxy=written.format(host=f"127.0.0.1:{proxy.port}")) as client:
        ubiops.CoreApi(client).service_status()
    assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("user", "sent"), [("user:pass", "user:pass"), ("us%40er:p%3Ass%20w%C3%B6rd%E2%82%AC", "us@er:p:ss wörd€")]
)
def test_the_proxys_credentials_go_to_the_proxy_alone(
    secure: Server, proxy: RawServer, tls: TLS, user: str, sent: str
) -> None:
    url = f"http://{user}@127.0.0.1:{proxy.port}"
    headers = {"X-Proxy": "1"}
    with client_for(secure, proxy=url, proxy_headers=headers, ssl_ca_cert=tls.ca_file) as client:
        ubiops.CoreApi(client).service_status()
    expected = f"Basic {base64.b64encode(sent.encode()).decode()}"
    assert header(proxy.heads[0], "Proxy-Authorization") == expected
    assert header(proxy.heads[0], "X-Proxy") == "1"
    assert not {"proxy-authorization", "x-proxy"} & {name.lower() for name in secure.last.headers}
    assert headers == {"X-Proxy": "1"}


def test_proxy_headers_of_the_programs_win(server: Server, proxy: RawServer) -> None:
    url = f"http://user:pass@127.0.0.1:{proxy.port}"
    with client_for(server, proxy=url, proxy_headers={"proxy-authorization": "Bearer x"}) as client:
        ubiops.CoreApi(client).service_status()
    assert proxy.heads[0].lower().count("proxy-authorization") == 1
    assert header(proxy.heads[0], "Proxy-Authorization") == "Bearer x"


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_the_environments_proxy_is_used_for_https(
    monkeypatch: pytest.MonkeyPatch, secure: Server, proxy: RawServer, tls: TLS, name: str
) -> None:
    monkeypatch.setenv(name, proxy.origin)
    with client_for(secure, ssl_ca_cert=tls.ca_file) as client:
        ubiops.CoreApi(client).service_status()
    assert len(proxy.heads) == 1


def test_the_environments_proxy_is_that_of_the_scheme(
    monkeypatch: pytest.MonkeyPatch, server: Server, proxy: RawServer
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
    with client_for(server) as client:
        ubiops.CoreApi(client).service_status()
    assert (len(server.requests), proxy.heads) == (1, [])
    monkeypatch.setenv("HTTP_PROXY", proxy.origin)
    with client_for(server) as client:
        ubiops.CoreApi(client).service_status()
    assert (len(server.requests), len(proxy.heads)) == (1, 1)


@pytest.mark.parametrize("hosts", ["127.0.0.1", "example.com, 127.0.0.1", "*", "127.0.0.1:{port}"])
def test_no_proxy_exempts_a_host(monkeypatch: pytest.MonkeyPatch, server: Server, proxy: RawServer, hosts: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.origin)
    monkeypatch.setenv("NO_PROXY", hosts.format(port=server.port))
    with client_for(server) as client:
        ubiops.CoreApi(client).service_status()
    assert (len(server.requests), proxy.heads) == (1, [])


def test_the_configured_proxy_comes_before_the_environment(
    monkeypatch: pytest.MonkeyPatch, server: Server, proxy: RawServer
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "*")
    with client_for(server, proxy=proxy.origin) as client:
        ubiops.CoreApi(client).service_status()
    assert len(proxy.heads) == 1


def test_the_proxy_holds_for_transfers_to_storage_too(server: Server, proxy: RawServer, tmp_path: Any) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"content")
    with client_for(server, proxy=proxy.origin) as client:
        client.rest_client.PUT("http://storage.example/put", {"Content-Type": "text/plain"}, body=b"content")
    assert proxy.heads[0].startswith("PUT http://storage.example/put HTTP/1.1")


@pytest.mark.parametrize("proxy", ["socks9://user:password@127.0.0.1:1", "http://user:password@[::1", "http://"])
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(server: Server, proxy: str) -> None:
    with client_for(server, proxy=proxy) as client, pytest.raises(ApiValueError, match="proxy") as caught:
        ubiops.CoreApi(client).service_status()
    assert "password" not in str(caught.value)
    assert server.requests == []


def relay(server: RawServer, connection: ssl.SSLSocket) -> None:
    """A proxy that is spoken to over TLS: passes on in one thread, since no two may use a TLS connection at once."""
    host, port = server.read_head(connection).split()[1].split(":")
    with socket.create_connection((host, int(port))) as target:
        connection.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        ways: dict[socket.socket, socket.socket] = {connection: target, target: connection}
        while True:
            ready = [connection] if connection.pending() else select.select(list(ways), [], [])[0]
            for source in ready:
                data = source.recv(1 << 16)
                if not data:
                    return
                ways[source].sendall(data)


SURPLUS = Answer(200).raw()


@pytest.mark.skipif(sys.platform != "linux", reason="holds back what is written as Linux does")
@pytest.mark.parametrize(
    ("records", "connections"),
    [
        ([b""], 1),
        ([SURPLUS], 3),
        ([b"", SURPLUS], 3),
    ],
    ids=["no surplus", "surplus in the answer's record", "surplus in a record of its own"],
)
def test_over_tls_within_tls_a_connection_with_surplus_bytes_is_not_kept(
    tls: TLS, records: list[bytes], connections: int
) -> None:
    def serve(server: RawServer, connection: socket.socket) -> None:
        while server.read_head(connection):
            # Held back until all is written: the records arrive together, so the proxy passes them on as one.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            connection.sendall(Answer.json({"status": "ok"}).raw() + records[0])
            for record in records[1:]:
                connection.sendall(record)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with RawServer(serve, tls.server) as server, RawServer(relay, tls.server) as proxy:  # type: ignore[arg-type]
        with client_for(server, proxy=proxy.origin, ssl_ca_cert=tls.ca_file) as client:  # type: ignore[arg-type]
            for _ in range(3):
                assert ubiops.CoreApi(client).service_status().status == "ok"
        assert (server.connections, proxy.connections) == (connections, connections)


def test_a_proxy_that_refuses_or_is_not_there_is_a_connection_error(secure: Server) -> None:
    def refuse(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")

    with RawServer(refuse) as proxy, client_for(secure, proxy=f"http://u:secret@127.0.0.1:{proxy.port}") as client:
        with pytest.raises(ApiConnectionError, match="407") as caught:
            ubiops.CoreApi(client).service_status()
        assert "secret" not in str(caught.value)
    with client_for(secure, proxy=f"http://u:secret@127.0.0.1:{proxy.port}") as client:
        with pytest.raises(ApiConnectionError, match="ProxyError") as caught:
            ubiops.CoreApi(client).service_status()
        assert "secret" not in str(caught.value)


def test_a_proxy_that_drips_does_not_hold_the_call(secure: Server) -> None:
    def drip(server: RawServer, connection: socket.socket) -> None:
        server.read_head(connection)
        server.drip(connection, b"HTTP/1.1 200 Connected" + b" " * 1000)

    with RawServer(drip) as proxy, client_for(secure, proxy=proxy.origin) as client, pytest.raises(ApiTimeoutError):
        ubiops.CoreApi(client).service_status(_request_timeout=0.3)


def test_a_silent_proxy_is_left_after_the_time_to_connect(secure: Server) -> None:
    with RawServer(never_reading) as proxy, client_for(secure, proxy=proxy.origin) as client:
        api = ubiops.CoreApi(client)
        with pytest.raises(ApiTimeoutError):
            api.service_status(_request_timeout=(0.3, 60))

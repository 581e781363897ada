"""Networks of companies: authorities of their own, exceptions from the proxy, SOCKS."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer, writing
from ubiops.exceptions import ApiConnectionError, ApiValueError
from ubiops.proxies import proxy_from_environment
from ubiops.urls import origin_of

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def call(configuration: ubiops.Configuration) -> Any:
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client:
        return client.call_api("/thing", "GET", response_type="object", _return_http_data_only=True)


@pytest.fixture
def secure(tls: Any) -> Any:
    server = Server(tls.server)
    yield server
    server.close()


def folder_of(tls: Any) -> str:
    """A folder of certificates, named by hash as OpenSSL looks for them."""
    folder = tls.folder / "authorities"
    folder.mkdir(exist_ok=True)
    command = ["openssl", "x509", "-noout", "-subject_hash", "-in", tls.ca_file]
    hashed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    (folder / f"{hashed}.0").write_bytes(Path(tls.ca_file).read_bytes())
    return str(folder)


@pytest.mark.parametrize("variable", VARIABLES)
def test_the_environment_names_the_authorities(
    variable: str, secure: Server, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ApiConnectionError):
        call(ubiops.Configuration(secure.url))
    monkeypatch.setenv(variable, folder_of(tls) if variable == "SSL_CERT_DIR" else tls.ca_file)
    assert call(ubiops.Configuration(secure.url)) == {}


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_that_names_nothing_is_an_error(
    variable: str, secure: Server, tls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "/nowhere/ca.pem")
    configuration = ubiops.Configuration(secure.url)
    with pytest.raises(ApiValueError, match=f"{variable} .*'/nowhere/ca.pem'"):
        call(configuration)
    # The setting comes before the environment, and the first variable before the others.
    configuration.ssl_ca_cert = tls.ca_file
    assert call(configuration) == {}
    configuration.ssl_ca_cert = None
    if variable != "SSL_CERT_FILE":
        monkeypatch.setenv("SSL_CERT_FILE", tls.ca_file)
        assert call(configuration) == {}


def test_a_context_of_the_programs(secure: Server, tls: Any) -> None:
    configuration = ubiops.Configuration(secure.url)
    configuration.ssl_context = ssl.create_default_context(cafile=tls.ca_file)
    assert call(configuration) == {}
    configuration.ssl_context = ssl.create_default_context()
    with pytest.raises(ApiConnectionError):
        call(configuration)


@pytest.mark.parametrize(
    ("exceptions", "url", "direct"),
    [
        ("*", "http://api.test", True),
        ("api.test", "http://api.test", True),
        ("API.test", "http://api.test:8080", True),
        ("test", "http://api.test", True),
        (".test", "http://api.test", True),
        ("*.test", "http://api.test", True),
        (".api.test", "http://api.test", True),
        ("i.test", "http://api.test", False),
        ("api.test:80", "http://api.test", True),
        ("api.test:443", "http://api.test", False),
        ("api.test:443", "https://api.test", True),
        ("10.0.0.0/8", "http://10.1.2.3", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.1.2.3", "http://10.1.2.3", True),
        ("fd00::/8", "http://[fd00::1]", True),
        ("[::1]:8080", "http://[::1]:8080", True),
        ("::1", "http://[::1]:8080", True),
        ("a, ,b.test , api.test", "http://api.test", True),
        ("", "http://api.test", False),
        (".", "http://api.test", False),
    ],
)
def test_exceptions_from_the_proxy(exceptions: str, url: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "proxy.test:3128")
    monkeypatch.setenv("HTTPS_PROXY", "proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", exceptions)
    assert proxy_from_environment(origin_of(url)) == (None if direct else "http://proxy.test:3128")


def socks(server: RawServer, connection: socket.socket) -> None:
    """A SOCKS5 proxy that answers itself, in the place of whatever it is asked for."""
    _, count = connection.recv(2)
    connection.recv(count)
    connection.sendall(b"\x05\x00")
    connection.recv(4)
    length = connection.recv(1)[0]
    server.heads.append(f"to {connection.recv(length).decode()}:{int.from_bytes(connection.recv(2), 'big')}")
    connection.sendall(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
    while server.read_head(connection):
        connection.sendall(Answer(200, b"{}").raw())


def test_a_socks_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(socks) as server:
        configuration = ubiops.Configuration("http://api.test/v2.1")
        configuration.proxy = f"socks5h://127.0.0.1:{server.port}"
        with ubiops.ApiClient(configuration) as client:
            for _ in range(2):
                client.call_api("/thing", "GET", _request_timeout=60)
        assert server.connections == 1
        assert server.heads[0] == "to api.test:80"
        configuration.proxy = f"socks9://user:secret@127.0.0.1:{server.port}"
        with pytest.raises(ApiValueError, match="proxy") as caught:
            call(configuration)
        assert "secret" not in str(caught.value)
        configuration.proxy = f"socks5h://127.0.0.1:{server.port}"
        monkeypatch.setitem(sys.modules, "socks", None)
        with pytest.raises(ApiValueError, match="pip install PySocks"):
            call(configuration)


def test_a_redirect_may_lead_from_http_to_https_of_the_same_host() -> None:
    for location, followed in (
        ("https://api.test/x", True),
        ("https://API.test:443/x", True),
        ("https://api.test:8443/x", False),
        ("https://other.test/x", False),
    ):
        with RawServer(writing(Answer(301, b"", {"Location": location}).raw())) as server:
            configuration = ubiops.Configuration("http://api.test/v2.1", {"Authorization": "Token secret-token"})
            configuration.proxy = server.origin
            with pytest.raises(ubiops.ApiException):
                call(configuration)
            asked = [head.partition("\r\n")[0].partition(" HTTP")[0] for head in server.heads]
            tunnel = ["CONNECT api.test:443"] if followed else []
            assert asked == ["GET http://api.test/v2.1/thing", *tunnel]

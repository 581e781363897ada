"""TLS: whom the client trusts, and how it shows who it is."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Server
from test.unit.conftest import TLS, Waits
from ubiops.exceptions import ApiConnectionError, ApiValueError


@pytest.fixture
def secure(tls: TLS) -> Iterator[Server]:
    server = Server(tls.server)
    yield server
    server.close()


def client_for(server: Server, **settings: Any) -> ubiops.ApiClient:
    configuration = ubiops.Configuration(server.url, {"Authorization": "Token secret-token"})
    for name, value in settings.items():
        setattr(configuration, name, value)
    return ubiops.ApiClient(configuration)


def test_the_configured_authority_is_trusted(secure: Server, tls: TLS) -> None:
    with client_for(secure, ssl_ca_cert=tls.ca_file) as client:
        for _ in range(3):
            ubiops.CoreApi(client).service_status()
    assert secure.connections == 1
    assert secure.last.headers["Authorization"] == "Token secret-token"


def test_an_unknown_authority_is_not_trusted(secure: Server, waits: Waits) -> None:
    with client_for(secure) as client, pytest.raises(ApiConnectionError, match="CERTIFICATE_VERIFY_FAILED") as caught:
        ubiops.CoreApi(client).service_status()
    assert isinstance(caught.value.__cause__, urllib3.exceptions.SSLError)
    assert secure.requests == []
    # A certificate doesn't get better by asking again.
    assert waits == []


def test_verify_ssl_false_trusts_everyone_with_a_warning(secure: Server) -> None:
    with client_for(secure, verify_ssl=False) as client, pytest.warns(urllib3.exceptions.InsecureRequestWarning):
        ubiops.CoreApi(client).service_status()
    assert len(secure.requests) == 1


def test_the_hosts_name_is_verified(tls: TLS) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.authority.issue_cert("api.example").configure_cert(context)
    server = Server(context)
    try:
        with client_for(server, ssl_ca_cert=tls.ca_file) as client, pytest.raises(ApiConnectionError):
            ubiops.CoreApi(client).service_status()
        assert server.requests == []
        for assert_hostname in ("api.example", False):
            with client_for(server, ssl_ca_cert=tls.ca_file, assert_hostname=assert_hostname) as client:
                ubiops.CoreApi(client).service_status()
        other = client_for(server, ssl_ca_cert=tls.ca_file, assert_hostname="other.example")
        with other as client, pytest.raises(ApiConnectionError):
            ubiops.CoreApi(client).service_status()
        assert len(server.requests) == 2
    finally:
        server.close()


@pytest.mark.parametrize("separate_key", [True, False])
def test_a_client_certificate_is_shown(tls: TLS, separate_key: bool) -> None:
    tls.server.verify_mode = ssl.CERT_REQUIRED
    tls.authority.configure_trust(tls.server)
    leaf = tls.authority.issue_cert("client@example.com")
    cert, key = tls.folder / "client.pem", tls.folder / "client.key"
    if separate_key:
        leaf.cert_chain_pems[0].write_to_path(str(cert))
        leaf.private_key_pem.write_to_path(str(key))
    else:
        leaf.private_key_and_cert_chain_pem.write_to_path(str(cert))
    server = Server(tls.server)
    settings = {"ssl_ca_cert": tls.ca_file, "cert_file": str(cert), "key_file": str(key) if separate_key else None}
    try:
        with client_for(server, **settings) as client:
            ubiops.CoreApi(client).service_status()
        with client_for(server, ssl_ca_cert=tls.ca_file) as client, pytest.raises(ApiConnectionError):
            ubiops.CoreApi(client).service_status()
        assert len(server.requests) == 1
    finally:
        server.close()


@pytest.mark.parametrize("setting", ["ssl_ca_cert", "cert_file", "key_file"])
def test_a_certificate_file_that_is_not_there_is_named(tmp_path: Path, setting: str) -> None:
    configuration = ubiops.Configuration("https://127.0.0.1:1")
    for path in (tmp_path / "none.pem", tmp_path):
        setattr(configuration, setting, str(path))
        with pytest.raises(ApiValueError, match=rf"configuration\.{setting}.*{path}"):
            ubiops.ApiClient(configuration)


def test_plain_http_to_a_tls_server_is_a_connection_error(secure: Server) -> None:
    configuration = ubiops.Configuration(secure.url.replace("https:", "http:"))
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiConnectionError):
        ubiops.CoreApi(client).service_status()


def test_tls_to_a_plain_server_is_a_connection_error(server: Server) -> None:
    configuration = ubiops.Configuration(server.url.replace("http:", "https:"))
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiConnectionError, match="SSL"):
        ubiops.CoreApi(client).service_status()
    assert server.requests == []


def test_the_authority_holds_for_transfers_to_storage_too(secure: Server, tls: TLS, tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_bytes(b"content")
    storage = Server(tls.server)
    try:
        target = {"url": f"{storage.origin}/put?signature=x", "provider": "ubiops"}
        secure.answers = [Answer.json(target), Answer.json(target)]
        storage.default = Answer(200, b"content")
        with client_for(secure, ssl_ca_cert=tls.ca_file) as client:
            ubiops.utils.upload_file(client, "p", str(path), "bucket")
            ubiops.utils.download_file(client, "p", "bucket", "file.txt", output_path=str(tmp_path / "copy"))
    finally:
        storage.close()
    assert [request.method for request in storage.requests] == ["PUT", "GET"]
    assert (tmp_path / "copy").read_bytes() == b"content"

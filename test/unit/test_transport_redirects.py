"""Redirects: followed for GET and HEAD within the same origin, told with their target otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from ubiops.exceptions import ApiException, ApiValueError

STATUSES = [301, 302, 303, 307, 308]


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def to(target: str, status: int = 302) -> Answer:
    return Answer(status, b"moved", {"Location": target})


def call(client: ubiops.ApiClient, method: str = "GET", **options: Any) -> Any:
    return client.call_api(
        "/thing",
        method,
        response_type="object",
        auth_settings=["api_key"],
        _return_http_data_only=True,
        header_params={"X-Secret": "of the caller's"},
        **options,
    )


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", STATUSES)
def test_within_the_origin_get_and_head_follow(
    client: ubiops.ApiClient, server: Server, method: str, status: int
) -> None:
    server.answers = [
        to("/v2.1/other?a=b%2Fc#part", status),
        to(f"{server.url}/third", status),
        Answer(200, b'{"a": 1}'),
    ]
    assert call(client, method) == ({"a": 1} if method == "GET" else None)
    assert [(request.method, request.target) for request in server.requests] == [
        (method, "/v2.1/thing"),
        (method, "/v2.1/other?a=b%2Fc"),
        (method, "/v2.1/third"),
    ]
    assert [request.headers["Authorization"] for request in server.requests] == ["Token secret-token"] * 3
    assert server.connections == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("status", STATUSES)
def test_other_methods_raise_with_the_target(
    client: ubiops.ApiClient, server: Server, method: str, status: int
) -> None:
    server.answers = [to("/v2.1/other", status)]
    with pytest.raises(ApiException, match=f"not followed to {server.url}/other") as caught:
        call(client, method, body={"a": 1})
    assert caught.value.status == status
    assert caught.value.headers is not None
    assert caught.value.headers["Location"] == "/v2.1/other"
    assert caught.value.body == "moved"
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
def test_nothing_is_sent_to_another_origin(
    client: ubiops.ApiClient, server: Server, other: Server, method: str
) -> None:
    server.answers = [to(f"{other.url}/steal")]
    with pytest.raises(ApiException, match=f"not followed to {other.url}/steal"):
        call(client, method, body={"a": 1} if method in ("POST", "PUT") else None)
    assert other.connections == 0


@pytest.mark.parametrize(
    "target",
    [
        r"http://127.0.0.1:{other}\@127.0.0.1:{port}/v2.1/x",
        r"http://127.0.0.1:{other}\\@127.0.0.1:{port}/v2.1/x",
        r"\\127.0.0.1:{other}\v2.1\x",
        r"/\127.0.0.1:{other}/v2.1/x",
        "http://127.0.0.1:{other}#@127.0.0.1:{port}/v2.1/x",
        "http://127.0.0.1:{other}?@127.0.0.1:{port}/v2.1/x",
        "http://127.0.0.1:{other}\t@127.0.0.1:{port}/v2.1/x",
        "http://127.0.0.1:{port}@127.0.0.1:{other}/v2.1/x",
        "http://user:password@127.0.0.1:{port}/v2.1/x",
        "http://@127.0.0.1:{port}/v2.1/x",
        "http://127.0.0.1:{port} /v2.1/x",
        "http://127.0.0.1:{port}\x0b/v2.1/x",
        "http://127.0.0%2E1:{port}/v2.1/x",
        "http://127.0.0.1%2F@127.0.0.1:{other}/v2.1/x",
        "http://127。0.0.1:{port}/v2.1/x",
        "http://\uff1127.0.0.1:{port}/v2.1/x",
        "http://127.0.0.1\u200b:{port}/v2.1/x",
        "/v2.1/a b",
        "/v2.1/\xe9",
    ],
)
def test_a_location_that_parsers_read_differently_is_refused(
    client: ubiops.ApiClient, server: Server, other: Server, target: str
) -> None:
    location = target.format(port=server.port, other=other.port).encode().decode("latin-1")
    server.answers = [to(location)]
    with pytest.raises(ApiException, match="not followed to") as caught:
        call(client)
    assert caught.value.status == 302
    assert (len(server.requests), other.connections) == (1, 0)
    assert "password" not in str(caught.value.reason)


def test_a_host_that_parsers_read_differently_is_refused(
    configuration: ubiops.Configuration, server: Server, other: Server
) -> None:
    configuration.host = rf"http://127.0.0.1:{other.port}\@127.0.0.1:{server.port}/v2.1"
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiValueError, match="host"):
        call(client)
    configuration.host = server.url
    with ubiops.ApiClient(configuration) as client, pytest.raises(ApiValueError, match="host"):
        call(client, _host=rf"http://127.0.0.1:{other.port}\@127.0.0.1:{server.port}/v2.1")
    assert (server.connections, other.connections) == (0, 0)


@pytest.mark.parametrize("target", ["https://127.0.0.1:{port}/x", "//localhost:{port}/x", "http://127.0.0.2:{port}/x"])
def test_another_scheme_or_host_is_another_origin(client: ubiops.ApiClient, server: Server, target: str) -> None:
    server.answers = [to(target.format(port=server.port))]
    with pytest.raises(ApiException, match="not followed") as caught:
        call(client)
    assert caught.value.status == 302
    assert len(server.requests) == 1


def test_a_signature_in_the_target_is_not_shown(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [to("https://user:password@storage.example/file?signature=s3cr3t#token")]
    with pytest.raises(ApiException) as caught:
        call(client)
    assert "https://storage.example/file" in str(caught.value.reason)
    for secret in ("s3cr3t", "password", "#token"):
        assert secret not in str(caught.value.reason)


def test_a_cookie_is_not_kept(client: ubiops.ApiClient, server: Server) -> None:
    server.answers = [Answer(302, b"", {"Location": "/v2.1/other", "Set-Cookie": "a=b; Path=/"}), Answer(200, b"1")]
    assert call(client) == 1
    server.answers = [Answer(200, b"2", {"Set-Cookie": "a=b; Path=/"}), Answer(200, b"3")]
    assert [call(client), call(client)] == [2, 3]
    assert not [request for request in server.requests if "Cookie" in request.headers]


def test_a_loop_ends(client: ubiops.ApiClient, server: Server) -> None:
    server.default = lambda request: to("/v2.1/a" if request.path.endswith("b") else "/v2.1/b")
    with pytest.raises(ApiException, match="More than 10 redirects") as caught:
        call(client)
    assert caught.value.status == 302
    assert len(server.requests) == 10


def test_a_redirect_to_itself_is_not_followed(client: ubiops.ApiClient, server: Server) -> None:
    for target in ("/v2.1/thing", "", "thing"):
        server.requests.clear()
        server.default = to(target)
        with pytest.raises(ApiException):
            call(client)
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    "target", [None, "http://[::1", "http://host:port/", "http://", "http:///x", "\xff\x7f", "mailto:me"]
)
def test_a_redirect_to_nowhere_is_told(client: ubiops.ApiClient, server: Server, target: str | None) -> None:
    server.default = Answer(302, b"", {} if target is None else {"Location": target})
    with pytest.raises(ApiException) as caught:
        call(client)
    assert caught.value.status == 302


@pytest.mark.parametrize("status", [300, 304, 305, 399])
def test_other_statuses_of_that_hundred_are_errors(client: ubiops.ApiClient, server: Server, status: int) -> None:
    server.answers = [to("/v2.1/other", status)]
    with pytest.raises(ApiException) as caught:
        call(client)
    assert caught.value.status == status
    assert len(server.requests) == 1


def test_a_download_follows_too(api: Any, server: Server) -> None:
    server.answers = [to("/v2.1/file"), Answer(200, b"content", {"Content-Disposition": "attachment; filename=a.txt"})]
    assert api.blobs_get("p", "b").read() == b"content"


def test_a_host_that_is_no_url_is_named() -> None:
    for host in ("http://localhost:port/v2.1", "http://[::1/v2.1", "http:///v2.1", "https://", "http://a b/v2.1"):
        configuration = ubiops.Configuration(host, {"Authorization": "Token t"})
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiValueError, match="host"):
            call(client)

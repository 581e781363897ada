"""Credentials: whom they are sent to, and where they never show."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.exceptions import ApiException, ApiValueError

TOKEN = "0123456789abcdef-secret"
COOKIE = "session=secret-c00kie"


@pytest.fixture
def other() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[ubiops.ApiClient]:
    configuration = ubiops.Configuration(server.url, {"Authorization": f"Token {TOKEN}"})
    configuration.retries = 0
    with ubiops.ApiClient(configuration, cookie=COOKIE) as client:
        yield client


def everything_shown(error: BaseException) -> str:
    shown = [str(error), repr(error), repr(vars(error)), repr(error.args), repr(getattr(error, "__notes__", None))]
    return "".join([*shown, *traceback.format_exception(error)])


def holds_no_secret(text: str) -> bool:
    return not any(secret in text for secret in (TOKEN, "c00kie"))


# To whom


def test_the_api_gets_them(client: ubiops.ApiClient, server: Server) -> None:
    ubiops.CoreApi(client).service_status()
    assert server.last.headers["Authorization"] == f"Token {TOKEN}"
    assert server.last.headers["Cookie"] == COOKIE


def test_another_host_does_not(client: ubiops.ApiClient, server: Server, other: Server) -> None:
    client.set_default_header("authorization", "Token default")
    headers = {"AUTHORIZATION": "Token given", "X-Plain": "1"}
    client.call_api("/x", "GET", header_params=headers, auth_settings=["api_key"], _host=other.url)
    assert not {"authorization", "cookie"} & {name.lower() for name in other.last.headers}
    assert other.last.headers["X-Plain"] == "1"
    for host in (server.origin, f"{server.origin}/v9"):
        client.call_api("/x", "GET", auth_settings=["api_key"], _host=host)
        assert server.last.headers["Authorization"] == f"Token {TOKEN}"
        assert server.last.headers["Cookie"] == COOKIE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_to_another_host_does_not(
    client: ubiops.ApiClient, server: Server, other: Server, status: int, method: str
) -> None:
    server.default = Answer(status, headers={"Location": f"{other.url}/x"})
    with pytest.raises(ApiException):
        client.call_api("/x", method, auth_settings=["api_key"])
    assert other.connections == 0


@pytest.mark.parametrize("redirected", [False, True])
def test_a_signed_storage_url_does_not(
    client: ubiops.ApiClient, server: Server, other: Server, tmp_path: Path, redirected: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    signed = f"{other.origin}/bucket/file?signature=abc%2Fdef"
    server.default = Answer.json({"url": signed, "provider": "ubiops"})
    if redirected:
        other.answers = [Answer(302, headers={"Location": "/moved?signature=2"})]
    other.default = Answer(200, b"content")
    ubiops.utils.download_file(client, "p", "bucket", "file", output_path=str(tmp_path / "copy"))
    ubiops.utils.upload_file(client, "p", str(path), "bucket")
    assert (tmp_path / "copy").read_bytes() == b"content"
    assert other.requests[0].target == "/bucket/file?signature=abc%2Fdef"
    for request in other.requests:
        assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}


def test_the_low_level_door_adds_none(client: ubiops.ApiClient, server: Server) -> None:
    client.request("GET", server.url)
    client.rest_client.GET(server.url)
    for request in server.requests:
        assert not {"authorization", "cookie"} & {name.lower() for name in request.headers}


def test_those_of_netrc_are_added_to_nothing(
    client: ubiops.ApiClient, server: Server, other: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login netrc-user password netrc-password\ndefault login d password d\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(netrc))
    server.default = Answer.json({"url": f"{other.origin}/f?s=1", "provider": "ubiops"})
    ubiops.utils.download_file(client, "p", "bucket", "file", output_path=str(tmp_path / "copy"))
    client.call_api("/x", "GET")
    assert "Authorization" not in other.last.headers
    assert "Authorization" not in server.last.headers


def test_a_call_without_the_scheme_carries_no_token(client: ubiops.ApiClient, server: Server) -> None:
    client.call_api("/x", "GET")
    assert "Authorization" not in server.last.headers


# Where they never show


def echo(status: int) -> Any:
    def answer(request: Recorded) -> Answer:
        token, cookie = request.headers["Authorization"], request.headers["Cookie"]
        headers = {"X-Echo": token, "Set-Cookie": cookie, "WWW-Authenticate": f"Token {token}"}
        return Answer(status, f"you sent {token} and {cookie}, token {token.split()[1]}".encode(), headers)

    return answer


@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 500, 503])
def test_an_error_does_not_show_what_the_server_repeats(client: ubiops.ApiClient, server: Server, status: int) -> None:
    server.default = echo(status)
    with pytest.raises(ApiException) as caught:
        ubiops.CoreApi(client).deployments_get("p", "d")
    assert caught.value.status == status
    assert caught.value.body is not None
    assert caught.value.body.startswith("you sent ***")
    assert holds_no_secret(everything_shown(caught.value))


def test_an_error_does_not_show_what_the_server_repeats_in_json(client: ubiops.ApiClient, server: Server) -> None:
    server.default = lambda request: Answer.json({"error": f"Invalid token: {request.headers['Authorization']}"}, 401)
    with pytest.raises(ApiException, match=r"Invalid token: \*\*\*") as caught:
        ubiops.CoreApi(client).service_status()
    assert holds_no_secret(everything_shown(caught.value))


@pytest.mark.parametrize(
    "answer",
    [
        b"%s\r\n\r\n",
        b"HTTP/1.1 %s\r\n\r\n",
        b"HTTP/1.1 400 No %s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2%s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 4\r\nX: %s\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 28\r\n\r\n%s",
        b"HTTP/1.1 302 Found\r\nLocation: http://[%s\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/%s\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_error_of_the_transport_does_not_show_what_the_server_repeats(
    client: ubiops.ApiClient, server: Server, answer: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    server.default = lambda request: answer % request.headers["Authorization"].encode()
    with pytest.raises(ApiException) as caught:
        ubiops.CoreApi(client).deployments_get("p", "d")
    assert holds_no_secret(everything_shown(caught.value))
    assert holds_no_secret(caplog.text)


def test_representations_show_none(client: ubiops.ApiClient) -> None:
    configuration = client.configuration
    configuration.username, configuration.password = "user", TOKEN
    configuration.proxy = f"http://user:{TOKEN}@proxy:1"
    for shown in (configuration, client, client.rest_client, client.configuration.logger):
        assert holds_no_secret(repr(shown) + str(shown))
    assert "***" in repr(configuration)


@pytest.mark.parametrize(
    "value", [f"Token {TOKEN}\r\nX-Injected: 1", f"Token {TOKEN}\n", f"Token {TOKEN}\0", f"€{TOKEN}"]
)
def test_a_token_that_cannot_be_sent_is_refused_without_showing_it(
    client: ubiops.ApiClient, server: Server, value: str
) -> None:
    client.configuration.api_key["Authorization"] = value
    with pytest.raises(ApiValueError, match="Authorization") as caught:
        ubiops.CoreApi(client).service_status()
    assert holds_no_secret(everything_shown(caught.value))
    with pytest.raises(ApiValueError, match="Authorization") as caught:
        client.rest_client.GET(server.url, {"Authorization": value})
    assert holds_no_secret(everything_shown(caught.value))
    assert server.requests == []


def test_logs_show_none(
    client: ubiops.ApiClient, server: Server, other: Server, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "ubiops")
    other.default = Answer(403, b"<Error>SignatureDoesNotMatch</Error>")
    server.default = Answer.json({"url": f"{other.origin}/f?signature={TOKEN}", "provider": "ubiops"})
    with pytest.raises(ApiException) as caught:
        ubiops.utils.download_file(client, "p", "bucket", "file", output_path=str(tmp_path / "copy"))
    assert "ubiops" in caplog.text
    assert holds_no_secret(caplog.text)
    assert holds_no_secret(everything_shown(caught.value))


def test_errors_of_a_signed_url_do_not_show_its_signature(
    client: ubiops.ApiClient, server: Server, other: Server, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    server.default = Answer.json({"url": f"{other.origin}/f?signature={TOKEN}", "provider": "ubiops"})
    for answer in (None, b"", Answer(302, headers={"Location": f"http://elsewhere/?signature={TOKEN}"}), Answer(403)):
        other.default = answer
        for transfer in (
            lambda: ubiops.utils.download_file(client, "p", "b", "file", output_path=str(tmp_path / "copy")),
            lambda: ubiops.utils.upload_file(client, "p", str(tmp_path / "file"), "b"),
        ):
            with pytest.raises(ApiException) as caught:
                transfer()
            shown = str(caught.value.reason) + "".join(traceback.format_exception_only(caught.value.__cause__))
            assert holds_no_secret(shown)


# Headers


def test_header_names_are_case_insensitive(client: ubiops.ApiClient, server: Server) -> None:
    client.set_default_header("user-agent", "mine/1")
    client.set_default_header("X-One", "1")
    client.set_default_header("x-one", "2")
    client.call_api("/x", "POST", header_params={"ACCEPT": "text/csv", "X-ONE": "3", "USER-AGENT": "x"}, body={})
    names = [name.lower() for name in server.last.headers]
    assert len(names) == len(set(names))
    assert server.last.headers["User-Agent"] == "mine/1"
    assert client.user_agent == "mine/1"
    assert server.last.headers["Accept"] == "text/csv"
    # The client's headers win over those of a call, as they did.
    assert server.last.headers["X-One"] == "2"


def test_the_clients_own_user_agent_is_sent_otherwise(client: ubiops.ApiClient, server: Server) -> None:
    client.call_api("/x", "GET")
    assert server.last.headers["User-Agent"].startswith(f"ubiops/{ubiops.__version__} ")
    client.call_api("/x", "GET", header_params={"user-agent": "mine"})
    assert server.last.headers["User-Agent"] == "mine"


@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\rb", "\n", "a\0b", "€"])
def test_a_value_with_a_line_break_is_refused(client: ubiops.ApiClient, server: Server, value: str) -> None:
    with pytest.raises(ApiValueError, match="X-Given"):
        client.call_api("/x", "GET", header_params={"X-Given": value})
    with pytest.raises(ApiValueError, match="X-Given"):
        client.rest_client.GET(server.url, {"X-Given": value})
    client.set_default_header("X-Given", value)
    with pytest.raises(ApiValueError, match=r"X-Given.*service_status"):
        ubiops.CoreApi(client).service_status()
    assert server.requests == []


@pytest.mark.parametrize("name", ["X\r\nX-Injected", "X:Y", "X Y", "", "Ü", "X\0"])
def test_a_name_that_is_none_is_refused(client: ubiops.ApiClient, server: Server, name: str) -> None:
    with pytest.raises(ApiValueError, match="header"):
        client.call_api("/x", "GET", header_params={name: "1"})
    with pytest.raises(ApiValueError, match="header"):
        client.rest_client.GET(server.url, {name: "1"})
    assert server.requests == []


def test_none_means_not_given(client: ubiops.ApiClient, server: Server) -> None:
    client.call_api(
        "/x",
        "POST",
        header_params={"X-A": None, "X-B": "b"},
        query_params={"a": None, "b": 0},
        post_params={"c": None, "d": ""},
    )
    assert "X-A" not in server.last.headers
    assert server.last.headers["X-B"] == "b"
    assert server.last.target == "/v2.1/x?b=0"
    assert server.last.body == b"d="
    for content_type in ("application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"X-A": None, "X-B": "b", "Content-Type": content_type}
        client.rest_client.POST(server.url, headers, {"a": None, "b": 0}, {"c": None, "d": "D"})
        assert "X-A" not in server.last.headers
        assert server.last.target == "/v2.1?b=0"
        assert b"None" not in server.last.body
        assert b"D" in server.last.body


def test_the_callers_dicts_are_never_changed(client: ubiops.ApiClient, server: Server) -> None:
    headers: dict[str, Any] = {"content-type": "application/json", "X-A": None}
    query: dict[str, Any] = {"a": 1, "b": None}
    form: dict[str, Any] = {"c": 1, "d": None}
    body = {"e": {"f": [1, None]}}
    before = repr((headers, query, form, body))
    client.call_api("/x", "POST", {"p": 1}, query, headers, body, auth_settings=["api_key"])
    client.call_api("/x", "POST", {"p": 1}, query, {}, None, form, auth_settings=["api_key"])
    client.rest_client.POST(server.url, headers, query, form, body)
    client.request("POST", server.url, query, headers, form, body)
    ubiops.CoreApi(client).deployment_requests_create("p", "d", body)
    assert repr((headers, query, form, body)) == before

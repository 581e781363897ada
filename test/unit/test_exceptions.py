"""The errors: their classes, their text, what they carry, and what they never show."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import ubiops
import ubiops.rest
from test.server import Answer, Server
from ubiops import exceptions
from ubiops.exceptions import (
    ApiConnectionError,
    ApiException,
    ApiFileError,
    ApiKeyError,
    ApiRequestError,
    ApiTimeoutError,
    ApiTypeError,
    ApiValueError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    OpenApiException,
    PayloadTooLargeError,
    ServerError,
    TooManyRequestsError,
    UbiOpsException,
    UnauthorizedError,
    UnprocessableEntityError,
    render_path,
)

BY_STATUS = {
    400: BadRequestError,
    401: UnauthorizedError,
    402: ApiRequestError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    413: PayloadTooLargeError,
    418: ApiRequestError,
    422: UnprocessableEntityError,
    429: TooManyRequestsError,
    500: ServerError,
    501: ServerError,
    502: ServerError,
    503: ServerError,
    504: ServerError,
    599: ServerError,
}


class Response:
    """What programs of today pass as `http_resp`."""

    status = 400
    reason = "Bad Request"

    def __init__(self, data: Any, headers: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._headers = headers

    def getheaders(self) -> Mapping[str, str] | None:
        return self._headers


@pytest.fixture
def api(configuration: ubiops.Configuration) -> ubiops.CoreApi:
    # Retries have tests of their own; here they would only take time.
    configuration.retries = 0
    return ubiops.CoreApi(ubiops.ApiClient(configuration))


def failure(server: Server, api: ubiops.CoreApi, answer: Answer | bytes | None) -> ApiException:
    """The error that an answer becomes."""
    server.default = answer
    with pytest.raises(ApiException) as raised:
        api.deployments_get("my project", "d")
    return raised.value


# Classes


@pytest.mark.parametrize(("status", "error"), BY_STATUS.items())
def test_each_status_has_its_class(server: Server, api: ubiops.CoreApi, status: int, error: type) -> None:
    assert type(failure(server, api, Answer(status))) is error


@pytest.mark.parametrize("status", [200, 301, 499, 600])
def test_other_statuses_have_the_common_class(status: int) -> None:
    assert ApiException.class_for(status) is ApiRequestError


def test_no_answer_is_a_connection_error_with_status_0(server: Server, api: ubiops.CoreApi) -> None:
    error = failure(server, api, None)
    assert isinstance(error, ApiConnectionError)
    assert (error.status, error.body, error.headers) == (0, None, None)
    assert error.__cause__ is not None
    assert type(error.__cause__).__module__ == "urllib3.exceptions"
    assert str(error).endswith(" (0)\n")


def test_a_slow_answer_is_a_timeout_error_with_status_0(server: Server, api: ubiops.CoreApi) -> None:
    done = threading.Event()

    def wait(_: Any) -> Answer:
        done.wait(10)
        return Answer()

    server.default = wait
    with pytest.raises(ApiTimeoutError) as raised:
        api.deployments_get("p", "d", _request_timeout=0.2)
    done.set()
    assert raised.value.status == 0
    assert raised.value.__cause__ is not None
    assert type(raised.value.__cause__).__module__ == "urllib3.exceptions"


@pytest.mark.parametrize("name", exceptions.__all__)
def test_one_base_holds_all(name: str) -> None:
    error = getattr(exceptions, name)
    assert error is render_path or issubclass(error, OpenApiException if error is not UbiOpsException else Exception)


def test_the_value_type_and_key_errors_are_python_s_too() -> None:
    assert ApiTypeError.__mro__.index(TypeError)
    assert ApiValueError.__mro__.index(ValueError)
    assert ApiKeyError.__mro__.index(KeyError)
    assert not issubclass(ApiValueError, ApiException)
    for error in (*BY_STATUS.values(), ApiConnectionError):
        assert issubclass(error, ApiException)
    assert issubclass(ApiTimeoutError, ApiConnectionError)
    assert issubclass(ApiFileError, ApiValueError)
    assert issubclass(ApiFileError, OSError)
    assert issubclass(OpenApiException, UbiOpsException)


def test_names_lead_to_the_same_classes() -> None:
    assert ubiops.rest.ApiException is ApiException
    for name in ("ApiException", "ApiKeyError", "ApiTypeError", "ApiValueError", "OpenApiException"):
        assert getattr(ubiops, name) is getattr(exceptions, name)


# Text


def test_without_an_answer_the_text_is_reason_and_status() -> None:
    assert str(ApiException(status=404, reason="Not Found")) == "Not Found (404)\n"
    assert str(ApiException()) == "None (None)\n"
    assert (ApiException(404, "Not Found").status, ApiException(404, "Not Found").reason) == (404, "Not Found")
    assert repr(NotFoundError(404, "Not Found")) == "NotFoundError(404, 'Not Found')"
    assert repr(ApiException(http_resp=Response(b""))) == "ApiException(400, 'Bad Request')"


def test_the_text_shows_the_server_s_message() -> None:
    error = ApiException(http_resp=Response(b'{"error": "Name is taken"}', {"X-A": "1"}))
    assert str(error) == "Bad Request (400)\nError: Name is taken\n"


def test_the_text_shows_headers_and_body_where_there_is_no_message() -> None:
    error = ApiException(http_resp=Response("<html>", {"X-A": "1"}))
    assert str(error) == "Bad Request (400)\nHTTP response headers: {'X-A': '1'}\nHTTP response body: <html>\n"


@pytest.mark.parametrize(
    ("body", "rest"),
    [
        ({"error": "Nope"}, "Error: Nope\n"),
        ({"error_message": "Nope"}, "Error: Nope\n"),
        ({"error": "First", "error_message": "Second"}, "Error: First\n"),
        ({"error": "", "error_message": "Second"}, "Error: Second\n"),
        ({"error": {"name": ["taken"]}}, "Error: {'name': ['taken']}\n"),
        ({"error": "é"}, "Error: é\n"),
        ({"error": None}, 'HTTP response body: {"error": null}\n'),
        ({"detail": "Nope"}, 'HTTP response body: {"detail": "Nope"}\n'),
        (["error"], 'HTTP response body: ["error"]\n'),
        ("error", 'HTTP response body: "error"\n'),
        (5, "HTTP response body: 5\n"),
    ],
)
def test_the_message_is_that_of_a_json_body(body: Any, rest: str) -> None:
    assert str(ApiException(http_resp=Response(json.dumps(body)))) == f"Bad Request (400)\n{rest}"


@pytest.mark.parametrize("body", [b"", None])
def test_an_empty_body_adds_nothing(body: Any) -> None:
    assert str(ApiException(http_resp=Response(body))) == "Bad Request (400)\n"


def test_a_body_that_is_not_utf_8_is_shown_all_the_same() -> None:
    error = ApiException(http_resp=Response(b"caf\xe9"))
    assert error.body == "caf\ufffd"
    assert str(error) == "Bad Request (400)\nHTTP response body: caf\ufffd\n"


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Nothing that other tests have left is finalized meanwhile."""
    gc.disable()
    yield
    gc.enable()


# At the depth that the text reaches, a finalizer would fail.
@pytest.mark.usefixtures("uncollected")
def test_a_deep_body_does_not_break_the_text() -> None:
    body = "[" * 200_000
    assert str(ApiException(http_resp=Response(body))) == f"Bad Request (400)\nHTTP response body: {body}\n"


@pytest.mark.parametrize(
    ("answer", "status", "reason", "text"),
    [
        (Answer.json({"error": "Nope"}, 400), 400, "Bad Request", "Bad Request (400)\nError: Nope\n"),
        (Answer.json({"error_message": "Down"}, 503), 503, "Service Unavailable", "Error: Down\n"),
        (Answer(502, b"<html>x</html>", {"X-A": "1"}), 502, "Bad Gateway", "HTTP response body: <html>x</html>\n"),
        (Answer(404), 404, "Not Found", "Not Found (404)\n"),
    ],
)
def test_an_answer_becomes_an_error_with_all_of_it(
    server: Server, api: ubiops.CoreApi, answer: Answer, status: int, reason: str, text: str
) -> None:
    error = failure(server, api, answer)
    assert (error.status, error.reason, error.body) == (status, reason, answer.body.decode())
    assert error.headers is not None
    assert {**error.headers} == {"Content-Length": str(len(answer.body)), **answer.headers}
    assert text in str(error)


def test_headers_are_found_whatever_their_case(server: Server, api: ubiops.CoreApi) -> None:
    headers = failure(server, api, Answer(429, b"", {"retry-After": "7", "X-A": "1"})).headers
    assert headers is not None
    assert headers["Retry-After"] == headers["RETRY-AFTER"] == headers.get("retry-after") == "7"
    assert "x-a" in headers
    assert "x-b" not in headers
    assert headers.get("x-b") is None
    assert headers.get("x-b", "none") == "none"
    assert list(headers) == ["Content-Length", "retry-After", "X-A"]
    with pytest.raises(KeyError, match="x-b"):
        headers["x-b"]


@pytest.mark.parametrize("name", ["Authorization", "proxy-authorization", "Cookie", "set-cookie", "X-API-Key"])
def test_headers_that_hold_credentials_are_masked_in_the_text(name: str) -> None:
    error = ApiException(http_resp=Response("<html>", {name: "secret", "X-A": "1"}))
    assert f"HTTP response headers: {{'{name}': '***', 'X-A': '1'}}\n" in str(error)


@pytest.mark.parametrize("status", [401, 404])
def test_a_page_is_cut_to_a_line_in_the_text(status: int) -> None:
    page = (
        "<!DOCTYPE html>\n<html><head><style>p { color: red }</style><title>404\n Not Found</title></head>"
        + "<p>x" * 500
    )
    error = ApiException(status, "Not Found", page)
    assert error.body == page
    _, line, end = str(error).split("\n")
    assert (line[:44], len(line), end) == ("HTTP response body: 404 Not Found x x x x x ", 223, "")
    assert str(ApiException(status, "Not Found", "<xml>\n</xml>")).endswith("body: <xml>\n</xml>\n")
    assert page in str(ApiException(400, "Bad Request", page))


def test_the_third_argument_is_told_by_its_type() -> None:
    for text in ("text", b"text"):
        assert ApiException(400, "Bad Request", text).body == "text"
    assert ApiException(0, None, Response(b"text", {"X-A": "1"})).headers == {"X-A": "1"}
    # As programs of the newer client have it.
    answer = SimpleNamespace(status_code=404, reason="Not Found", text="gone", headers={"X-A": "1"})
    double = mock.Mock(status_code=404, reason="Not Found", text="gone", headers={"X-A": "1"})
    for error in (ApiException(requests_resp=double), ApiException(400, "x", "y", None, answer)):
        assert (error.status, error.reason, error.body, error.headers) == (404, "Not Found", "gone", {"X-A": "1"})
    assert ApiException(body="text").get_body_message() == "text"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"error": "Nope"}', "Nope"),
        ('{"error_message": "Nope"}', "Nope"),
        ("<Error><Message>No</Message><Details>Nope</Details></Error>", "Nope"),
        ("<?xml version='1.0'?><Error><Message>Nope</Message></Error>", "Nope"),
        ("<p>page", "<p>page"),
        ("", ""),
        (None, None),
    ],
)
def test_the_message_of_a_body(body: str | None, message: str | None) -> None:
    assert ApiException(400, body=body).get_body_message() == message


# Where


def test_an_error_names_operation_method_and_path(server: Server, api: ubiops.CoreApi) -> None:
    error = failure(server, api, Answer(404))
    assert (error.operation, error.method, error.path) == (
        "deployments_get",
        "GET",
        "/projects/my%20project/deployments/d",
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
@pytest.mark.parametrize("answer", [Answer(404), None, Answer(200, b"<html>")])
def test_a_traceback_names_operation_method_and_path(
    server: Server, api: ubiops.CoreApi, answer: Answer | None
) -> None:
    error = failure(server, api, answer)
    note = "while calling deployments_get: GET /projects/my%20project/deployments/d"
    assert error.__notes__ == [note]  # type: ignore[attr-defined]
    assert note in "".join(traceback.format_exception(error)).splitlines()


def test_an_error_of_a_low_level_call_names_method_and_path(server: Server, api: ubiops.CoreApi) -> None:
    server.default = Answer(404)
    with pytest.raises(NotFoundError) as raised:
        api.api_client.call_api("/anything/{x}", "GET", {"x": "a b"})
    assert (raised.value.operation, raised.value.method, raised.value.path) == (None, "GET", "/anything/a%20b")
    if sys.version_info >= (3, 11):
        assert raised.value.__notes__ == ["while calling GET /anything/a%20b"]


def test_an_error_made_by_hand_has_no_place() -> None:
    error = ApiException(404, "Not Found")
    assert (error.operation, error.method, error.path) == (None, None, None)


# Credentials


def test_no_error_shows_a_credential(server: Server, api: ubiops.CoreApi) -> None:
    echo = {"Authorization": "Token secret-token", "Set-Cookie": "session=abc", "X-Echo": "secret-token"}
    for answer in (
        Answer(400, b"you sent Token secret-token", echo),
        Answer.json({"error": "bad token secret-token"}, 401, **echo),
        # The server closes after it; unannounced, that might meet the next request.
        b"HTTP/1.1 403 secret-token is bad\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        Answer(200, b"<html>secret-token", echo),
    ):
        error = failure(server, api, answer)
        shown = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        for text in (str(error), repr(error), error.body, str(error.args), str(error.headers), shown):
            assert "secret-token" not in str(text)
        assert "***" in f"{error} {error.headers} {error.reason}"
    assert "session=abc" not in str(failure(server, api, Answer(400, b"<html>", echo)))


def test_a_credential_is_masked_wherever_the_answer_repeats_it() -> None:
    error = ApiException(400, "secret", body="a secret b", headers={"X-A": "secret"})
    error.hide("secret")
    assert (error.reason, error.body, error.headers) == ("***", "a *** b", {"X-A": "***"})
    assert error.args == (400, "***")
    assert error.headers["x-a"] == "***"  # type: ignore[index]
    empty = ApiException()
    empty.hide("secret")
    assert (empty.reason, empty.body, empty.headers) == (None, None, None)


def test_the_signature_of_a_signed_url_is_masked_in_all_of_an_error() -> None:
    signed = "https://storage/file?X-Goog-Credential=me&X-Goog-Signature=abc123&amp;sig=abc123"
    headers = {"location": signed, "Link": f"<{signed}>; rel=next", "X-Echo": signed}
    error = ApiException(307, f"not followed to {signed}", f"<a href='{signed}'>see {signed}</a>", headers=headers)
    for text in (str(error), repr(error), error.body, str(error.headers), str(vars(pickle.loads(pickle.dumps(error))))):
        assert text is not None
        assert "abc123" not in text
    assert error.body is not None
    assert "see https://storage/file?X-Goog-Credential=***&X-Goog-Signature=***" in error.body
    assert error.headers is not None
    assert error.headers["Location"] == "https://storage/file?***"


# Copies

ERRORS = [
    ApiException(404, "Not Found"),
    NotFoundError(404, "Not Found", body=b'{"error": "x"}', headers={"X-A": "1"}),
    ApiException(http_resp=Response(b"<html>", {"X-A": "1"})),
    ApiTimeoutError(status=0, reason="slow"),
    ApiValueError("wrong", ["data", 0]),
    ApiTypeError("wrong", ["data", 0], valid_classes=(int,), key_type=True),
    ApiKeyError("gone", ["data"]),
    ApiFileError("no such file"),
    ApiFileError.of("no such file", FileNotFoundError(2, "No such file or directory", "a.zip")),
    exceptions.MissingArgumentError("missing"),
    OpenApiException("base"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_errors_survive_pickle_and_copies(error: Any, duplicate: Any) -> None:
    twin = duplicate(error)
    assert type(twin) is type(error)
    assert (str(twin), repr(twin), twin.args, vars(twin)) == (str(error), repr(error), error.args, vars(error))
    if isinstance(error, OSError):
        assert (twin.errno, twin.strerror, twin.filename) == (error.errno, error.strerror, error.filename)


def test_an_error_of_a_call_survives_pickle(server: Server, api: ubiops.CoreApi) -> None:
    error = failure(server, api, Answer.json({"error": "Nope"}, 409, **{"X-A": "1"}))
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is ConflictError
    assert vars(twin) == vars(error)
    assert getattr(twin, "__notes__", None) == getattr(error, "__notes__", None)
    assert twin.headers["x-a"] == "1"  # type: ignore[index]
    assert str(twin) == str(error)


# The errors about the caller's data


def test_a_path_is_written_as_python_would() -> None:
    assert render_path(["data", 0, "name"]) == "['data'][0]['name']"
    assert render_path([]) == ""


def test_the_path_ends_the_message() -> None:
    for error in (
        ApiTypeError("wrong", ["data", 0]),
        ApiValueError("wrong", ["data", 0]),
        ApiKeyError("wrong", ["data", 0]),
    ):
        assert str(error) == "wrong at ['data'][0]"
        assert error.path_to_item == ["data", 0]
    for error in (ApiTypeError("wrong"), ApiValueError("wrong"), ApiKeyError("wrong")):
        assert str(error) == "wrong"
        assert error.path_to_item is None


def test_a_type_error_keeps_what_was_allowed() -> None:
    error = ApiTypeError("wrong", valid_classes=(int, str), key_type=False)
    assert (error.valid_classes, error.key_type) == ((int, str), False)
    assert (ApiTypeError("wrong").valid_classes, ApiTypeError("wrong").key_type) == (None, None)


def test_refused_arguments_are_named_with_their_method_and_nothing_is_sent(server: Server, api: Any) -> None:
    calls: list[tuple[Any, type[Exception], str]] = [
        (lambda: api.deployments_get("p"), ApiValueError, "Missing the required parameter `deployment_name`"),
        (lambda: api.deployments_get("p", None), ApiValueError, "Missing the required parameter `deployment_name`"),
        (lambda: api.deployments_get("p", [5]), ApiValueError, "`deployment_name`"),
        (lambda: api.deployments_get("p", "d", nme="x"), ApiTypeError, "'nme'"),
        (lambda: api.deployments_get("p", "d", "e"), ApiTypeError, "deployments_get"),
        (lambda: api.deployments_get("p", "d", project_name="q"), ApiTypeError, "'project_name'"),
    ]
    for call, error, message in calls:
        with pytest.raises(error) as raised:
            call()
        assert message in str(raised.value)
        assert "deployments_get" in str(raised.value)
    assert server.requests == []

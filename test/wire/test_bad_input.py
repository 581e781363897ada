"""Bad input: each time a clear error that names the method and the argument, with nothing sent."""

from __future__ import annotations

import datetime
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.wire.document import Argument, Case, cases, kind, nullable, sample, schema_name, schemas
from test.wire.each import each_case
from test.wire.test_operations import CASES, WITH_MODEL, answer_of, values_of

# What no argument of that kind takes.
WRONG = {
    "string": [7, 1.5, True, b"bytes", ["list"], {"a": "dict"}, ubiops.NULL],
    "integer": ["7", 7.5, True, [7], {}, ubiops.NULL],
    "boolean": ["true", 1, 0, [], ubiops.NULL],
    "array": [7, "text", {"a": "dict"}, {1, 2}, ubiops.NULL],
    "model": [7, "text", [], ubiops.NULL, object()],
}
UPLOADS = [case for case in CASES if any(argument.place == "file" for argument in case.arguments)]


@pytest.fixture(autouse=True)
def _nothing_is_sent(wire: Server) -> Iterator[None]:
    yield
    assert wire.requests == []


def refused(case: Case, wire_api: Any, argument: Argument, value: Any, error: type[Exception]) -> str:
    """The message of the error that a value gives; it names the method and the argument."""
    with pytest.raises(error) as caught:
        getattr(wire_api, case.name)(**{**values_of(case.required), argument.name: value})
    message = str(caught.value)
    assert f"`{case.name}`" in message
    assert f"`{argument.name}" in message
    return message


@each_case(CASES)
def test_wrong_type(case: Case, wire_api: Any) -> None:
    for argument in case.arguments:
        wrong = [] if argument.place == "file" else WRONG.get(kind(argument.schema), [])
        if argument.schema.get("format") == "date-time":
            wrong = [7, True, ["2023-01-01"]]
        elif argument.place in ("path", "query"):
            # A number goes as text where text stands in a URL, as in client 4.x.
            wrong = [value for value in wrong if kind(argument.schema) != "string" or value != 7]
        for value in wrong:
            message = refused(case, wire_api, argument, value, ubiops.ApiValueError)
            assert f"`{argument.name}`" in message


@each_case([case for case in CASES if case.required])
def test_missing_argument(case: Case, wire_api: Any) -> None:
    for argument in case.required:
        values = values_of(case.required)
        refused(case, wire_api, argument, None, ubiops.ApiValueError)
        for name in (case.name, f"{case.name}_with_http_info"):
            with pytest.raises(ubiops.ApiValueError) as caught:
                getattr(wire_api, name)(**{key: value for key, value in values.items() if key != argument.name})
            # What has two names is looked for by the operation, which both methods share.
            called = case.name if argument.alias else name
            assert str(caught.value) == f"Missing the required parameter `{argument.name}` when calling `{called}`"
            assert isinstance(caught.value, TypeError)


@each_case(CASES)
def test_unknown_keyword(case: Case, wire_api: Any) -> None:
    for name in (case.name, f"{case.name}_with_http_info"):
        with pytest.raises(ubiops.ApiTypeError, match=f"'no_such_argument' to method {case.name}"):
            getattr(wire_api, name)(**values_of(case.required), no_such_argument=1)


@each_case(CASES)
def test_too_many_arguments(case: Case, wire_api: Any) -> None:
    with pytest.raises(ubiops.ApiTypeError, match=f"{case.name}.*positional argument"):
        getattr(wire_api, case.name)(*values_of(case.arguments).values(), "surplus")


@each_case([case for case in CASES if case.required])
def test_argument_given_twice(case: Case, wire_api: Any) -> None:
    name = case.arguments[0].name
    with pytest.raises(ubiops.ApiTypeError, match=f"{case.name}.*multiple values for argument '{name}'"):
        getattr(wire_api, case.name)("by position", **values_of(case.required))


def test_misspelt_keyword_is_told_the_nearest(wire_api: Any) -> None:
    with pytest.raises(ubiops.ApiTypeError, match=r"unexpected keyword argument 'labls'.*did you mean `labels`"):
        wire_api.deployments_list("p", labls="a:b")


@each_case(CASES)
def test_path_that_would_lead_elsewhere(case: Case, wire_api: Any) -> None:
    for argument in (a for a in case.arguments if a.place == "path"):
        for value in ("", ".", ".."):
            refused(case, wire_api, argument, value, ubiops.ApiValueError)


@each_case([case for case in CASES if any(a.place == "path" for a in case.arguments)])
def test_text_that_has_no_utf8(case: Case, wire_api: Any) -> None:
    for argument in case.arguments:
        is_text = kind(argument.schema) == "string" and "format" not in argument.schema
        if is_text and argument.place in ("path", "query", "form"):
            refused(case, wire_api, argument, "half a \ud83d", ubiops.ApiValueError)


def bad_fields(name: str, updates: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """Bodies of a schema with one field at fault, and where it is."""
    schema = schemas()[name]
    good = sample({"$ref": f"#/{name}"}, full=False)
    for field, given in schema["properties"].items():
        if field in schema.get("required", ()):
            yield field, {key: value for key, value in good.items() if key != field}
            yield field, {**good, field: None}
        if not nullable(given):
            yield field, {**good, field: ubiops.NULL}
        for value in WRONG.get(kind(given), []):
            if value is not ubiops.NULL and not (given.get("format") and isinstance(value, datetime.date)):
                yield field, {**good, field: value}
        if "enum" in given:
            yield field, {**good, field: "no such word"}
        if "maxLength" in given:
            yield field, {**good, field: "x" * (given["maxLength"] + 1)}
        if given.get("minLength"):
            yield field, {**good, field: "x" * (given["minLength"] - 1)}
        if "minimum" in given:
            yield field, {**good, field: given["minimum"] - 1}
        if kind(given) == "array" and "$ref" in given["items"]:
            inner = schema_name(given["items"]) or ""
            for below, item in bad_fields(inner, updates=False):
                right = sample(given["items"], full=False)
                yield f"{field}[1].{below}", {**good, field: [right, item]}


@each_case(WITH_MODEL)
def test_body_with_one_field_at_fault(case: Case, wire_api: Any) -> None:
    assert case.body is not None
    tried = 0
    for place, body in bad_fields(schema_name(case.body.schema) or "", case.updates):
        message = refused(case, wire_api, case.body, body, ubiops.ApiValueError)
        assert f"`data.{place}`" in message, (place, body, message)
        tried += 1
    assert tried


@each_case(WITH_MODEL)
def test_unknown_field_is_sent_with_a_warning(case: Case, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    values = values_of(case.required)
    with pytest.warns(UserWarning, match="has no field `no_such_field`"):
        getattr(wire_api, case.name)(**{**values, "data": {**sample(case.body.schema), "no_such_field": [1]}})  # type: ignore[union-attr]
    assert wire.last.json["no_such_field"] == [1]
    wire.requests.clear()


@each_case(UPLOADS)
def test_file_that_is_none(case: Case, wire_api: Any, tmp_path: Path) -> None:
    (file,) = (argument for argument in case.arguments if argument.place == "file")
    text = tmp_path / "text"
    text.touch()
    closed = io.BytesIO()
    closed.close()
    with text.open() as opened_as_text:
        wrong = {
            "no such file": [tmp_path / "missing.zip", str(tmp_path / "missing.zip"), "", "nul\0byte"],
            "a folder": [tmp_path, str(tmp_path)],
            "no file": [7, b"content", ["list"], object(), closed, opened_as_text, io.StringIO("text")],
        }
        for values in wrong.values():
            for value in values:
                message = refused(case, wire_api, file, value, ubiops.ApiFileError)
                assert len(message) < 500
    assert "missing.zip" in refused(case, wire_api, file, tmp_path / "missing.zip", ValueError)
    assert "zip it first" in refused(case, wire_api, file, tmp_path, OSError)
    assert "io.BytesIO" in refused(case, wire_api, file, b"content", ValueError)


def test_file_that_may_not_be_read(wire_api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret"
    path.touch(mode=0o000)
    # The tests may run as root, who may read everything.
    monkeypatch.setattr(os, "access", lambda given, mode: given != str(path))
    case = cases()["blobs_create"]
    assert "Permission denied" in refused(case, wire_api, case.arguments[1], path, ubiops.ApiFileError)


@each_case([case for case in CASES if case.body is not None and kind(case.body.schema) == "free"])
def test_data_without_a_form_in_json(case: Case, wire_api: Any) -> None:
    assert case.body is not None
    circular: list[Any] = []
    circular.append(circular)
    for value in (float("nan"), float("inf"), {1, 2}, b"bytes", object(), circular):
        message = refused(case, wire_api, case.body, [{"a": value}], ubiops.ApiValueError)
        assert "`data[0].a" in message
    refused(case, wire_api, case.body, [{("a", "tuple"): 1}], ubiops.ApiValueError)


@pytest.mark.parametrize("host", ["", "//api.ubiops.com/v2.1", "ftp://api.ubiops.com/v2.1", 7])
def test_host_without_scheme(host: Any) -> None:
    configuration = ubiops.Configuration(host=host, api_key={"Authorization": "Token t"})
    with (
        ubiops.ApiClient(configuration) as client,
        pytest.raises(ubiops.ApiValueError, match=r"host.*https://.*`service_status`"),
    ):
        ubiops.CoreApi(client).service_status()


@pytest.mark.parametrize("host", ["https://", "http:///v2.1", "http://[::1", "http://host:port/v2.1"])
def test_host_that_is_no_url(host: str) -> None:
    configuration = ubiops.Configuration(host=host, api_key={"Authorization": "Token t"})
    with (
        ubiops.ApiClient(configuration) as client,
        pytest.raises(ubiops.ApiValueError, match=r"host.*`service_status`"),
    ):
        ubiops.CoreApi(client).service_status()


@pytest.mark.parametrize("token", ["", " ", "Token", "Token "])
def test_empty_token(token: str, wire: Server) -> None:
    configuration = ubiops.Configuration(host=wire.url, api_key={"Authorization": token})
    with (
        ubiops.ApiClient(configuration) as client,
        pytest.raises(ubiops.ApiValueError, match=r"is empty.*<YOUR.*`projects_list`"),
    ):
        ubiops.CoreApi(client).projects_list()


def test_empty_token_in_the_environment(wire: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UBIOPS_API_TOKEN", " ")
    client = ubiops.ApiClient(ubiops.Configuration(host=wire.url))
    with client, pytest.raises(ubiops.ApiValueError, match="UBIOPS_API_TOKEN is empty"):
        ubiops.CoreApi(client).projects_list()


@pytest.mark.parametrize("token", ["Token t\nX-Evil: 1", "Token t\r\n", "Token \0", "Token €"])
def test_token_that_no_header_carries(token: str, wire: Server) -> None:
    configuration = ubiops.Configuration(host=wire.url, api_key={"Authorization": token})
    with (
        ubiops.ApiClient(configuration) as client,
        pytest.raises(ubiops.ApiValueError, match=r"Authori.*`projects_list`") as caught,
    ):
        ubiops.CoreApi(client).projects_list()
    assert "Token" not in str(caught.value)


@pytest.mark.parametrize(
    "timeout", [0, -1, "10", True, (1, 2, 3), (0, 1), (1,), float("nan"), float("inf"), {}, [[], 1]]
)
def test_request_timeout_that_can_not_be_used(timeout: Any, wire_api: Any) -> None:
    for options in ({}, {"async_req": True}):
        with pytest.raises(ubiops.ApiValueError, match=r"_request_timeout.*`projects_list`"):
            wire_api.projects_list(_request_timeout=timeout, **options)


def test_header_of_the_caller_with_a_line_break(wire: Server, wire_api: Any) -> None:
    client = ubiops.ApiClient(wire_api.api_client.configuration, header_name="X-One", header_value="a\r\nX-Two: b")
    with client, pytest.raises(ubiops.ApiValueError, match=r"X-One.*`projects_list`"):
        ubiops.CoreApi(client).projects_list()


def test_header_name_with_a_line_break(wire: Server, wire_api: Any) -> None:
    client = ubiops.ApiClient(wire_api.api_client.configuration, header_name="X-One\r\nX-Two", header_value="b")
    with client, pytest.raises(ubiops.ApiValueError, match=r"X-One.*`projects_list`"):
        ubiops.CoreApi(client).projects_list()


def test_type_error_within_the_call_is_not_taken_for_a_wrong_argument(wire: Server) -> None:
    def broken(configuration: ubiops.Configuration) -> None:
        raise TypeError("the program's own")

    configuration = ubiops.Configuration(host=wire.url, api_key={"Authorization": "Token t"})
    configuration.refresh_api_key_hook = broken
    with ubiops.ApiClient(configuration) as client, pytest.raises(TypeError, match=r"^the program's own$"):
        ubiops.CoreApi(client).projects_list()


# With validation off


@pytest.fixture
def lenient_api(wire: Server) -> Iterator[Any]:
    configuration = ubiops.Configuration(host=wire.url, api_key={"Authorization": "Token t"})
    configuration.client_side_validation = False
    with ubiops.ApiClient(configuration) as client:
        yield ubiops.CoreApi(client)


class TestWithoutValidation:
    """`Configuration.client_side_validation = False` switches the checks off, for requests."""

    @pytest.fixture(autouse=True)
    def _is_sent(self, wire: Server, _nothing_is_sent: None) -> Iterator[None]:
        yield
        wire.requests.clear()

    def test_dict_body_is_sent_as_it_is(self, wire: Server, lenient_api: Any) -> None:
        body = {"name": None, "input_type": "no such word", "unknown": 7, "labels": {"a": None}}
        lenient_api.deployments_create("p", body)
        assert wire.last.json == body

    def test_any_query_parameter_is_sent(self, wire: Server, lenient_api: Any) -> None:
        wire.default = Answer.json([])
        lenient_api.deployment_requests_list("p", "d", limit="many", success="maybe")
        assert wire.last.query == {"limit": "many", "success": "maybe"}

    def test_server_timeout_that_is_no_number_is_sent(self, wire: Server, lenient_api: Any) -> None:
        lenient_api.deployment_requests_create("p", "d", {}, timeout="long")
        assert wire.last.query == {"timeout": "long"}

    def test_number_in_a_path_is_written(self, wire: Server, lenient_api: Any) -> None:
        lenient_api.deployments_get("p", 7)
        assert wire.last.path == "/v2.1/projects/p/deployments/7"

    @pytest.mark.parametrize("name", ["", ".", ".."])
    def test_path_that_would_lead_elsewhere_is_refused_even_so(self, name: str, wire: Server, lenient_api: Any) -> None:
        with pytest.raises(ubiops.ApiValueError, match="bucket_name"):
            lenient_api.buckets_delete("p", name)
        assert wire.requests == []

    def test_missing_argument_is_refused_even_so(self, wire: Server, lenient_api: Any) -> None:
        with pytest.raises(ubiops.ApiValueError, match="`data` when calling `deployments_create`"):
            lenient_api.deployments_create("p", None)
        assert wire.requests == []

    def test_answers_are_read_as_ever(self, wire: Server, lenient_api: Any) -> None:
        wire.default = Answer.json({"name": "p", "creation_date": "2023-01-02"})
        assert lenient_api.projects_get("p").creation_date == datetime.date(2023, 1, 2)


@pytest.mark.parametrize("timeout", [-1000, 10**400])
def test_odd_server_timeout_is_left_to_the_server(timeout: int, wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json({"error": "timeout is out of range"}, 400)
    with pytest.raises(ubiops.BadRequestError):
        wire_api.deployment_requests_create("p", "d", {}, timeout=timeout)
    assert wire.last.query == {"timeout": str(timeout)}
    wire.requests.clear()


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(ubiops.ApiTypeError, match="`api_client` of CoreApi, must be ApiClient, not 'Token x'"):
        ubiops.CoreApi("Token x")  # type: ignore[arg-type]


def test_what_is_no_configuration_is_refused() -> None:
    with pytest.raises(ubiops.ApiTypeError, match="`configuration` of ApiClient, must be Configuration, not 'Token x'"):
        ubiops.ApiClient("Token x")  # type: ignore[arg-type]

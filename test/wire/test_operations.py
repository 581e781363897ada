"""Every operation on the wire: what goes out is exact to the byte, what comes back is decoded."""

from __future__ import annotations

import inspect
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import urllib3

import ubiops
from test.server import Answer, Recorded, Server
from test.wire.conftest import TOKEN
from test.wire.document import (
    Argument,
    Case,
    cases,
    encoded,
    reachable,
    same,
    sample,
    schema_name,
    schemas,
    sent,
)
from test.wire.each import each_case

NAMES = (
    "two words",
    "with/slash",
    "100%",
    "%2e%2e",
    "a+b",
    "what?x=1",
    "a#b",
    "größe-名前-\U0001f680",
    "...",
    "&=;:@,!'()*~$[]{}\"\\<>^`|",
    " ",
    "tab\tand\nline",
)
CONTENT = b"PK\x03\x04 \r\n--not a boundary\r\n\x00\xff"
CASES = list(cases().values())
WITH_MODEL = [case for case in CASES if case.body and schema_name(case.body.schema)]
WITH_ANSWER = [case for case in CASES if case.answer is not None]
WITH_FILE = [case for case in CASES if case.file_result]
TEXT_WHEN_STR = [case for case in CASES if case.text_when_str]


def value_of(argument: Argument, turn: int = 0, *, full: bool = True) -> Any:
    """What the tests give for an argument; for a body, plain data."""
    if argument.place == "path":
        return f"{argument.name} {turn}/%ü"
    if argument.place == "file":
        file = io.BytesIO(CONTENT)
        file.name = "/tmp/pack age.zip"
        return file
    return sample(argument.schema, turn, full=full)


def values_of(arguments: tuple[Argument, ...], turn: int = 0, *, full: bool = True) -> dict[str, Any]:
    return {argument.name: value_of(argument, turn + i, full=full) for i, argument in enumerate(arguments)}


def text(value: Any) -> str:
    """A value as a query, header or form parameter carries it; booleans as Python writes them, as they always were."""
    return {True: "True", False: "False"}[value] if isinstance(value, bool) else str(value)


def check_request(case: Case, request: Recorded, values: Mapping[str, Any], streamed: bool = False) -> None:
    """What arrived is, to the byte, what these arguments mean."""
    given = {a.name: (a, values[a.name]) for a in case.arguments if a.name in values}

    def placed(place: str) -> dict[str, str]:
        return {a.wire_name: text(value) for a, value in given.values() if a.place == place}

    path = case.path
    for name, value in placed("path").items():
        path = path.replace(f"{{{name}}}", encoded(value))
    assert request.method == case.method
    assert request.path == f"/v2.1{path}"
    query = request.target.partition("?")[2]
    assert sorted(parse_qsl(query, keep_blank_values=True)) == sorted(placed("query").items())
    assert request.target.isascii()

    headers = {"host": request.headers["Host"], "authorization": TOKEN, "accept-encoding": "identity"}
    if case.method == "GET" and not case.file_result and not streamed:
        headers["accept-encoding"] = "gzip"
    headers["user-agent"] = f"ubiops/{ubiops.__version__} (Python {'.'.join(map(str, sys.version_info[:3]))})"
    headers.update(placed("header"))
    if case.answer is not None or case.file_result:
        headers["accept"] = "application/json"
    if case.method in ("POST", "PUT", "PATCH"):
        headers["content-length"] = str(len(request.body))
    if case.content_type == "multipart/form-data":
        headers["content-type"] = check_form(case, request, values, placed("form"))
    elif case.body is not None:
        check_body(case, request, values)
        is_text = case.text_when_str and isinstance(values.get("data"), str)
        headers["content-type"] = "text/plain" if is_text else "application/json"
    else:
        assert request.body == b""
    assert {name.lower(): value for name, value in request.headers.items()} == headers
    assert len(request.headers) == len(headers)


def check_body(case: Case, request: Recorded, values: Mapping[str, Any]) -> None:
    assert case.body is not None
    if "data" not in values:
        assert request.body == b""
    elif case.text_when_str and isinstance(values["data"], str):
        assert request.body.decode() == values["data"]
    else:
        assert json.loads(request.body) == sent(case.body.schema, values["data"], updates=case.updates)


def check_form(case: Case, request: Recorded, values: Mapping[str, Any], fields: Mapping[str, str]) -> str:
    """The parts of a multipart form; returns the content type that is due."""
    boundary = request.headers["Content-Type"].partition("boundary=")[2]
    head, *parts, end = request.body.split(f"--{boundary}".encode())
    assert (head, end) == (b"", b"--\r\n")
    due = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    due += [
        f'Content-Disposition: form-data; name="{argument.name}"; filename="pack age.zip"\r\n'
        f"Content-Type: application/zip\r\n\r\n".encode()
        + CONTENT
        for argument in case.arguments
        if argument.place == "file" and argument.name in values
    ]
    assert sorted(part.removeprefix(b"\r\n").removesuffix(b"\r\n") for part in parts) == sorted(due)
    return f"multipart/form-data; boundary={boundary}"


def answer_of(case: Case) -> Answer:
    if case.file_result:
        return Answer(case.status, CONTENT, {"Content-Disposition": 'attachment; filename="a.zip"'})
    return Answer(case.status) if case.answer is None else Answer.json(case.example, case.status)


# What goes out


def test_every_method_of_the_api_has_a_case_here() -> None:
    methods = {name for name in dir(ubiops.CoreApi) if hasattr(getattr(ubiops.CoreApi, name), "operation")}
    assert methods == {*cases(), *(f"{name}_with_http_info" for name in cases())}
    assert len(cases()) == 267


@each_case(CASES)
def test_arguments_stand_in_the_order_of_the_document_with_the_required_first(case: Case) -> None:
    for name in (case.name, f"{case.name}_with_http_info"):
        signature = inspect.signature(getattr(ubiops.CoreApi, name))
        _, *parameters, options = signature.parameters.values()
        assert [parameter.name for parameter in parameters] == [argument.name for argument in case.arguments]
        assert [parameter.default for parameter in parameters] == [
            # A required argument that has another name may be given by that.
            inspect.Parameter.empty if argument.required and not argument.alias else None
            for argument in case.arguments
        ]
        assert options.kind is inspect.Parameter.VAR_KEYWORD


@each_case(CASES)
def test_required_arguments_alone(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    values = values_of(case.required, full=False)
    getattr(wire_api, case.name)(*values.values())
    check_request(case, wire.last, values)
    assert len(wire.requests) == 1


@each_case(CASES)
def test_all_arguments_by_position(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    values = values_of(case.arguments)
    getattr(wire_api, case.name)(*values.values())
    check_request(case, wire.last, values)
    assert len(wire.requests) == 1


@each_case(CASES)
def test_all_arguments_by_keyword(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    values = values_of(case.arguments, turn=1)
    getattr(wire_api, case.name)(**dict(reversed(values.items())))
    check_request(case, wire.last, values)


@each_case(CASES)
def test_none_is_not_given(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    values = values_of(case.required)
    getattr(wire_api, case.name)(**dict.fromkeys(a.name for a in case.arguments) | values)
    check_request(case, wire.last, values)


@each_case(WITH_MODEL)
@pytest.mark.parametrize("full", [True, False], ids=["all fields", "required fields"])
def test_model_as_body(case: Case, full: bool, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    values = values_of(case.arguments, turn=2, full=full)
    assert case.body is not None
    model = getattr(ubiops.models, schema_name(case.body.schema) or "")(**values["data"])
    getattr(wire_api, case.name)(**{**values, "data": model})
    check_request(case, wire.last, values)


# The query parameters of metrics_get need each other.
@each_case([case for case in CASES if case.name != "metrics_get"])
def test_names_are_quoted_whole_in_every_path_parameter(
    case: Case, wire: Server, wire_api: Any, downloads: Path
) -> None:
    wire.default = answer_of(case)
    in_path = [argument.name for argument in case.arguments if argument.place == "path"]
    # Each operation gets some of the names, and each name goes to many.
    for turn in range(2 if in_path else 0):
        first = CASES.index(case) + turn * len(NAMES) // 2
        names = {name: NAMES[(first + i) % len(NAMES)] for i, name in enumerate(in_path)}
        values = {**values_of(case.required), **names}
        getattr(wire_api, case.name)(**values)
        check_request(case, wire.last, values)


@each_case([case for case in CASES if any(a.place == "query" for a in case.arguments)])
def test_texts_are_quoted_in_every_query_parameter(case: Case, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    for argument in (a for a in case.arguments if a.place == "query" and a.schema == {"type": "string"}):
        if case.name == "metrics_get":
            # Its older form takes all three or none.
            continue
        for name in (*NAMES, ""):
            values = {**values_of(case.required), argument.name: name}
            getattr(wire_api, case.name)(**values)
            check_request(case, wire.last, values)


@each_case(TEXT_WHEN_STR)
@pytest.mark.parametrize("given", ["", "plain", "größe \U0001f600\r\n", '{"looks": "like JSON"}', "None"])
def test_str_goes_as_text(case: Case, given: str, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    values = {**values_of(case.required), "data": given}
    getattr(wire_api, case.name)(**values)
    check_request(case, wire.last, values)


@each_case(TEXT_WHEN_STR)
@pytest.mark.parametrize("given", [{"a": None}, [], ["one", "two"], [{"x": 1}, None]], ids=repr)
def test_anything_else_goes_as_json(case: Case, given: Any, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    values = {**values_of(case.required), "data": given}
    getattr(wire_api, case.name)(**values)
    check_request(case, wire.last, values)


@each_case([case for case in TEXT_WHEN_STR if not case.name.startswith("batch_")])
@pytest.mark.parametrize("given", [0, False, 1.5, [[1], [2]]], ids=repr)
def test_a_direct_request_takes_any_json(case: Case, given: Any, wire: Server, wire_api: Any) -> None:
    wire.default = answer_of(case)
    values = {**values_of(case.required), "data": given}
    getattr(wire_api, case.name)(**values)
    check_request(case, wire.last, values)


def test_the_eight_operations_that_create_requests_take_text() -> None:
    subjects = ("deployment", "deployment_version", "pipeline", "pipeline_version")
    names = {f"{start}{subject}_requests_create" for start in ("", "batch_") for subject in subjects}
    assert {case.name for case in TEXT_WHEN_STR} == names


# What comes back


@each_case(WITH_ANSWER)
def test_answer_of_the_document_is_decoded(case: Case, wire: Server, wire_api: Any) -> None:
    assert case.answer is not None
    wire.default = answer_of(case)
    data = getattr(wire_api, case.name)(**values_of(case.required))
    assert case.example is not None
    assert same(case.answer, data, case.example)


@each_case(WITH_ANSWER)
def test_answer_with_every_field_is_decoded(case: Case, wire: Server, wire_api: Any) -> None:
    assert case.answer is not None
    for turn in range(4):
        value = sample(case.answer, turn)
        wire.default = Answer.json(value, case.status)
        assert same(case.answer, getattr(wire_api, case.name)(**values_of(case.required)), value)


def test_metrics_get_in_its_older_form_gives_values(wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json([{"value": 2.5, "start_date": None, "end_date": None}])
    times = {"start_date": "a&b", "end_date": "é"}
    (value,) = wire_api.metrics_get("p", "compute", **times, object_type="deployment_version")
    assert isinstance(value, ubiops.Metrics)
    assert value.value == 2.5
    assert wire.last.path == "/v2.1/projects/p/metrics/compute"
    assert wire.last.query == {"start_date": "a&b", "end_date": "é", "object_type": "deployment_version"}
    with pytest.raises(ubiops.ApiValueError, match="object_type"):
        wire_api.metrics_get("p", "compute", **times)


@each_case([case for case in CASES if case.answer is None and not case.file_result])
def test_operation_without_an_answer_gives_none(case: Case, wire: Server, wire_api: Any) -> None:
    for answer in (Answer(204), Answer(200), Answer.json({"some": "thing"})):
        wire.default = answer
        assert getattr(wire_api, case.name)(**values_of(case.required)) is None


@each_case(WITH_ANSWER)
def test_empty_answer_is_none_or_no_items(case: Case, wire: Server, wire_api: Any) -> None:
    assert case.answer is not None
    forms = case.answer.get("oneOf", [case.answer])
    # What an empty answer to metrics_get is cannot be told: one of its forms returns a list.
    empty: list[Any] | None = (
        [] if case.name == "metrics_get" or "array" in [form.get("type") for form in forms] else None
    )
    for answer in (Answer(204), Answer(case.status), Answer(200, b" \r\n")):
        wire.default = answer
        assert getattr(wire_api, case.name)(**values_of(case.required)) == empty
    wire.default = Answer.json(None)
    assert getattr(wire_api, case.name)(**values_of(case.required)) is None


@each_case(WITH_FILE)
def test_file_is_the_open_response_or_on_disk(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    with getattr(wire_api, case.name)(**values_of(case.required)) as response:
        assert (response.status, response.getfilename(), response.read()) == (200, "a.zip", CONTENT)
    assert list(downloads.iterdir()) == []
    path = getattr(wire_api, case.name)(**values_of(case.required), _preload_content=True)
    assert path == str(downloads / "a.zip")
    assert Path(path).read_bytes() == CONTENT
    assert [file.name for file in downloads.iterdir()] == ["a.zip"]


def test_some_operations_give_files() -> None:
    names = {"blobs_get", "exports_download", "imports_download", "revisions_file_download"}
    names |= {"environment_revisions_file_download", "environment_tags_download"}
    of_requests = {
        *("deployment_requests", "deployment_version_requests", "pipeline_requests", "pipeline_version_requests"),
        "pipeline_version_object_requests",
    }
    names |= {f"{name}_{end}_get" for name in of_requests for end in ("input", "output")}
    assert {case.name for case in WITH_FILE} == names


@each_case(CASES)
def test_with_http_info_gives_data_status_and_headers(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    answer = answer_of(case)
    wire.default = answer._replace(headers={**answer.headers, "X-Request-Id": "r-1"})
    values = values_of(case.arguments)
    data, status, headers = getattr(wire_api, f"{case.name}_with_http_info")(**values)
    check_request(case, wire.last, values)
    assert status == case.status
    assert headers["x-request-ID"] == "r-1"
    if case.file_result:
        assert data.read() == CONTENT
    elif case.answer is None:
        assert data is None
    else:
        assert same(case.answer, data, case.example)


@each_case(CASES)
def test_async_req_gives_a_result_to_wait_for(case: Case, wire: Server, wire_api: Any, downloads: Path) -> None:
    wire.default = answer_of(case)
    values = values_of(case.arguments)
    result = getattr(wire_api, case.name)(*values.values(), async_req=True)
    data = result.get(10)
    assert result.successful()
    check_request(case, wire.last, values)
    if case.answer is not None:
        assert same(case.answer, data, case.example)


@each_case(CASES)
def test_without_preload_content_the_response_comes_unread(case: Case, wire: Server, wire_api: Any) -> None:
    answer = answer_of(case)
    wire.default = answer
    values = values_of(case.required)
    response = getattr(wire_api, case.name)(**values, _preload_content=False)
    assert isinstance(response, urllib3.HTTPResponse)
    assert response.status == case.status
    assert response.tell() == 0
    assert response.read() == answer.body
    check_request(case, wire.last, values, streamed=True)


@each_case(CASES)
def test_error_names_the_operation(case: Case, wire: Server, wire_api: Any) -> None:
    wire.default = Answer.json({"error": "No such thing"}, 404)
    with pytest.raises(ubiops.NotFoundError) as caught:
        getattr(wire_api, case.name)(**values_of(case.required))
    error = caught.value
    # Python 3.10 shows the notes of errors as a part of their text.
    assert str(error).splitlines()[:2] == ["Not Found (404)", "Error: No such thing"]
    assert (error.operation, error.method) == (case.name, case.method)
    assert f"/v2.1{error.path}" == wire.last.path


# The whole of it


def test_every_schema_goes_out_or_comes_back_in_these_tests() -> None:
    out = {name for case in WITH_MODEL for name in reachable(case.body and case.body.schema)}
    back = {name for case in WITH_ANSWER for name in reachable(case.answer)}
    # A dictionary comes back in their place, as in 3.12; programs of 4.x may name the classes.
    named_only = {"PipelineVersionObjectConfigurationList", "OutputValueList", "InputOutputFieldBase"}
    # Answers name the newer classes, which derive from these.
    named_only |= {"DeploymentRequestBatchDetail", "OrganizationUserDetail", "DirectPipelineRequestDeploymentRequest"}
    # The older form of metrics_get, below.
    named_only |= {"Metrics"}
    assert out | back | named_only == set(schemas())
    assert len(schemas()) == 204

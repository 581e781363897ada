"""The low-level doors: `call_api`, `deserialize`, `sanitize_for_serialization`, `rest_client.request` and the like."""

from __future__ import annotations

import datetime
import enum
import io
import json
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import urllib3

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.rest import RESTResponse


@pytest.fixture
def kept(wire: Server, wire_api: Any) -> ubiops.ApiClient:
    """The client of `wire`."""
    client: ubiops.ApiClient = wire_api.api_client
    return client


def echo(request: Recorded) -> Answer:
    return Answer(200, request.body, {"Content-Type": "application/json"})


class Colour(enum.Enum):
    RED = "red"


class TestCallApi:
    def test_gives_data_status_and_headers(self, wire: Server, kept: ubiops.ApiClient) -> None:
        wire.default = Answer.json({"name": "p"}, 202, **{"X-Request-Id": "r"})
        data, status, headers = kept.call_api("/projects/p", "GET", response_type="ProjectDetail")
        assert isinstance(data, ubiops.ProjectDetail)
        assert (data.name, status, headers["x-request-id"]) == ("p", 202, "r")

    def test_gives_the_data_alone(self, wire: Server, kept: ubiops.ApiClient) -> None:
        wire.default = Answer.json({"name": "p"})
        data = kept.call_api("/projects/p", "GET", response_type="ProjectDetail", _return_http_data_only=True)
        assert isinstance(data, ubiops.ProjectDetail)

    @pytest.mark.parametrize("given", [ubiops.ProjectDetail, "ProjectDetail"])
    def test_response_type_by_class_and_name(self, given: Any, wire: Server, kept: ubiops.ApiClient) -> None:
        wire.default = Answer.json({"name": "p"})
        assert kept.call_api("/p", "GET", response_type=given)[0].name == "p"

    def test_unknown_response_type_is_refused_before_anything_is_sent(
        self, wire: Server, kept: ubiops.ApiClient
    ) -> None:
        for given in ("NoSuchModel", "list[NoSuchModel]", dict, 7):
            with pytest.raises(ubiops.ApiTypeError, match="response_type"):
                kept.call_api("/p", "GET", response_type=given)
        assert wire.requests == []

    def test_without_a_response_type_the_data_is_none(self, wire: Server, kept: ubiops.ApiClient) -> None:
        assert kept.call_api("/p", "GET", _return_http_data_only=True) is None

    def test_path_parameters_are_quoted_whole(self, wire: Server, kept: ubiops.ApiClient) -> None:
        kept.call_api("/a/{one}/{two}", "GET", {"one": "x/{two} ?", "two": 7})
        assert wire.last.target == "/v2.1/a/x%2F%7Btwo%7D%20%3F/7"
        kept.call_api("a/{one}", "GET", [("one", "é")])
        assert wire.last.target == "/v2.1/a/%C3%A9"

    @pytest.mark.parametrize("value", ["", ".", "..", None, "\ud83d"])
    def test_path_parameter_that_would_lead_elsewhere_is_refused(
        self, value: Any, wire: Server, kept: ubiops.ApiClient
    ) -> None:
        with pytest.raises(ubiops.ApiValueError, match=r"`one` when calling `/a/\{one\}`"):
            kept.call_api("/a/{one}", "DELETE", {"one": value})
        assert wire.requests == []

    def test_query_parameters(self, wire: Server, kept: ubiops.ApiClient) -> None:
        moment = datetime.datetime(2023, 1, 2, tzinfo=datetime.timezone.utc)
        pairs = {"a": "x y&z", "b": True, "none": None, "when": moment, "n": 1.5, "é": "", "colour": Colour.RED}
        due = [("a", "x y&z"), ("b", "True"), ("when", "2023-01-02T00:00:00+00:00"), ("n", "1.5"), ("é", "")]
        for given in (pairs, list(pairs.items())):
            kept.call_api("/q", "GET", query_params=given)
            query = wire.last.target.partition("?")[2]
            assert parse_qsl(query, keep_blank_values=True) == [*due, ("colour", "red")]

    def test_query_parameter_without_utf8_is_refused(self, wire: Server, kept: ubiops.ApiClient) -> None:
        with pytest.raises(ubiops.ApiValueError, match="`a`, can't be encoded as UTF-8"):
            kept.call_api("/q", "GET", query_params={"a": "\ud83d"})

    def test_collection_formats(self, wire: Server, kept: ubiops.ApiClient) -> None:
        formats = {"csv": "csv", "ssv": "ssv", "tsv": "tsv", "pipes": "pipes", "multi": "multi"}
        kept.call_api("/q", "GET", query_params={name: ["a", 2] for name in formats}, collection_formats=formats)
        query = parse_qsl(wire.last.target.partition("?")[2])
        due = [("csv", "a,2"), ("ssv", "a 2"), ("tsv", "a\t2"), ("pipes", "a|2"), ("multi", "a"), ("multi", "2")]
        assert query == due

    def test_credentials_go_only_where_they_are_asked_for(self, wire: Server, kept: ubiops.ApiClient) -> None:
        kept.call_api("/x", "GET")
        assert "Authorization" not in wire.last.headers
        kept.call_api("/x", "GET", auth_settings=["api_key", "no such scheme"])
        assert wire.last.headers["Authorization"] == "Token secret-token"

    def test_body_is_json(self, wire: Server, kept: ubiops.ApiClient) -> None:
        kept.call_api("/x", "post", body={"a": [ubiops.Status(status="ok"), None], "d": datetime.date(2023, 1, 2)})
        assert wire.last.method == "POST"
        assert wire.last.headers["Content-Type"] == "application/json"
        assert wire.last.json == {"a": [{"status": "ok"}, None], "d": "2023-01-02"}

    @pytest.mark.parametrize("name", ["Content-Type", "content-type"])
    def test_content_type_decides_how_the_body_is_written(
        self, name: str, wire: Server, kept: ubiops.ApiClient
    ) -> None:
        kept.call_api("/x", "POST", header_params={name: "text/plain", "X-None": None, "X-N": 7}, body="größe")
        assert wire.last.body == "größe".encode()
        assert wire.last.headers.get_all("Content-Type") == ["text/plain"]  # type: ignore[attr-defined]
        assert wire.last.headers["X-N"] == "7"
        assert "X-None" not in wire.last.headers
        kept.call_api("/x", "POST", header_params={name: "application/vnd.x+json"}, body="größe")
        assert wire.last.json == "größe"
        assert wire.last.headers.get_all("Content-Type") == ["application/vnd.x+json"]  # type: ignore[attr-defined]

    def test_body_without_a_form_in_json_is_refused(self, wire: Server, kept: ubiops.ApiClient) -> None:
        with pytest.raises(ubiops.ApiValueError, match=r"`a\[1\]`.*set"):
            kept.call_api("/x", "POST", body={"a": [0, {1}]})
        assert wire.requests == []

    def test_form(self, wire: Server, kept: ubiops.ApiClient) -> None:
        kept.call_api("/x", "POST", post_params={"a": "x y", "none": None, "b": 2})
        assert wire.last.headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert wire.last.body == b"a=x+y&b=2"

    def test_files_make_a_multipart_form(self, wire: Server, kept: ubiops.ApiClient, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"one")
        files = {"file": tmp_path / "a.txt", "more": [str(tmp_path / "a.txt"), io.BytesIO(b"two")], "none": None}
        kept.call_api("/x", "POST", post_params=[("field", "value"), ("none", None)], files=files)
        content_type = wire.last.headers["Content-Type"]
        assert content_type.startswith("multipart/form-data; boundary=")
        parts = wire.last.body.split(b"--" + content_type.partition("boundary=")[2].encode())
        heads = [part.partition(b"\r\n\r\n")[0].split(b"\r\n")[1] for part in parts[1:-1]]
        assert heads == [
            b'Content-Disposition: form-data; name="field"',
            b'Content-Disposition: form-data; name="file"; filename="a.txt"',
            b'Content-Disposition: form-data; name="more"; filename="a.txt"',
            b'Content-Disposition: form-data; name="more"; filename="file"',
        ]
        contents = [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]]
        assert contents == [b"value\r\n", b"one\r\n", b"one\r\n", b"two\r\n"]

    def test_missing_file_is_refused_by_name(self, wire: Server, kept: ubiops.ApiClient) -> None:
        with pytest.raises(ubiops.ApiFileError, match=r"files\['file'\].*missing"):
            kept.call_api("/x", "POST", files={"file": "/missing"})
        assert wire.requests == []

    def test_async_req(self, wire: Server, kept: ubiops.ApiClient) -> None:
        wire.default = Answer.json({"status": "ok"})
        data, status, _ = kept.call_api("/x", "GET", response_type="Status", async_req=True).get(10)
        assert (data, status) == (ubiops.Status(status="ok"), 200)

    def test_preload_content_false(self, wire: Server, kept: ubiops.ApiClient) -> None:
        response, status, headers = kept.call_api("/x", "GET", _preload_content=False)
        assert (status, headers["Content-Type"]) == (200, "application/json")
        assert isinstance(response, urllib3.HTTPResponse)
        assert response.read() == b"{}"

    def test_other_host_gets_no_credentials(self, wire: Server, kept: ubiops.ApiClient, server: Server) -> None:
        kept.call_api("/x", "GET", auth_settings=["api_key"], _host=f"{server.origin}/other/")
        assert server.last.target == "/other/x"
        assert "Authorization" not in server.last.headers
        kept.call_api("/x", "GET", auth_settings=["api_key"], _host=f"{wire.origin}/v9")
        assert wire.last.target == "/v9/x"
        assert "Authorization" in wire.last.headers

    @pytest.mark.parametrize("host", ["host", "http://host:port", "http://", 7])
    def test_other_host_that_is_no_url_is_refused(self, host: Any, wire: Server, kept: ubiops.ApiClient) -> None:
        with pytest.raises(ubiops.ApiValueError, match="host"):
            kept.call_api("/x", "GET", auth_settings=["api_key"], _host=host)
        assert wire.requests == []

    def test_file_is_written_to_the_configured_folder(
        self, wire: Server, kept: ubiops.ApiClient, downloads: Path
    ) -> None:
        wire.default = Answer(200, b"content", {"Content-Disposition": "attachment; filename=a.txt"})
        path = kept.call_api("/x", "GET", response_type="file", _return_http_data_only=True)
        assert path == str(downloads / "a.txt")
        assert Path(path).read_bytes() == b"content"

    def test_folder_that_is_missing_fails_and_leaves_no_connection_open(
        self, wire: Server, kept: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        wire.default = Answer(200, b"x" * 3_000_000)
        monkeypatch.setattr(kept.configuration, "temp_folder_path", str(tmp_path / "missing"))
        with pytest.raises(FileNotFoundError, match="missing"):
            kept.call_api("/x", "GET", response_type="file")
        assert kept.last_response.urllib3_response.closed


class TestDeserialize:
    class Response:
        """What programs pass for an answer: an object with the body."""

        def __init__(self, data: Any) -> None:
            self.data = data

    def test_reads_models_from_an_object_with_data(self, kept: ubiops.ApiClient) -> None:
        text = json.dumps([{"status": "ok"}, {"status": "down"}])
        for data in (text, text.encode()):
            value = kept.deserialize(self.Response(data), "list[Status]")
            assert value == [ubiops.Status(status="ok"), ubiops.Status(status="down")]
        assert kept.deserialize(self.Response('{"status": "ok"}'), ubiops.Status).status == "ok"

    @pytest.mark.parametrize(
        ("data", "response_type", "value"),
        [
            ('"text"', "str", "text"),
            ("plain text", "str", "plain text"),
            ("7", "int", 7),
            ("7", int, 7),
            ("1.5", "float", 1.5),
            ("true", "bool", True),
            ('{"a": [null]}', "object", {"a": [None]}),
            ('{"a": {"status": "ok"}}', "dict(str, Status)", {"a": ubiops.Status(status="ok")}),
            ('["2023-01-02"]', "list[date]", [datetime.date(2023, 1, 2)]),
            ('"2023-01-02"', datetime.date, datetime.date(2023, 1, 2)),
            ('"2023-01-02T03:04:05"', datetime.datetime, datetime.datetime(2023, 1, 2, 3, 4, 5)),
            ("", "Status", None),
            ("anything", None, None),
        ],
    )
    def test_reads_other_types(self, data: str, response_type: Any, value: Any, kept: ubiops.ApiClient) -> None:
        assert kept.deserialize(self.Response(data), response_type) == value

    @pytest.mark.parametrize("data", ["<html>", "[1]", "7", '"text"', b"\xff\xfe", "[" * 100_000])
    def test_body_that_is_not_what_is_due_raises(self, data: Any, kept: ubiops.ApiClient) -> None:
        with pytest.raises(ubiops.ApiException, match="can't be read as Status"):
            kept.deserialize(self.Response(data), "Status")

    def test_file(self, wire: Server, kept: ubiops.ApiClient, downloads: Path) -> None:
        wire.default = Answer(200, b"content", {"Content-Disposition": 'attachment; filename="../a.txt"'})
        kept.call_api("/x", "GET")
        path = kept.deserialize(kept.last_response, "file")
        assert path == str(downloads / "a.txt")
        assert Path(path).read_bytes() == b"content"


class TestSanitizeForSerialization:
    @pytest.mark.parametrize("value", [None, "text", 7, 1.5, True])
    def test_plain_values_stay(self, value: Any, kept: ubiops.ApiClient) -> None:
        assert kept.sanitize_for_serialization(value) is value

    def test_everything_json_can_carry(self, kept: ubiops.ApiClient) -> None:
        identity = uuid.UUID(int=7)
        zone = datetime.timezone.utc
        given = {
            "model": ubiops.Status(status="ok"),
            "list": [ubiops.Status(status="ok"), (1, None)],
            "time": datetime.datetime(2023, 1, 2, 3, tzinfo=zone),
            "date": datetime.date(2023, 1, 2),
            "uuid": identity,
            "enum": Colour.RED,
            "null": ubiops.NULL,
        }
        assert kept.sanitize_for_serialization(given) == {
            "model": {"status": "ok"},
            "list": [{"status": "ok"}, (1, None)],
            "time": "2023-01-02T03:00:00+00:00",
            "date": "2023-01-02",
            "uuid": str(identity),
            "enum": "red",
            "null": None,
        }

    def test_model_goes_without_what_was_not_given(self, kept: ubiops.ApiClient) -> None:
        model = ubiops.DeploymentUpdate(description="", labels=ubiops.NULL)
        assert kept.sanitize_for_serialization(model) == {"description": "", "labels": None}

    def test_what_json_has_no_form_for_is_refused(self, kept: ubiops.ApiClient) -> None:
        circular: dict[str, Any] = {}
        circular["self"] = circular
        for value in ({1, 2}, object(), b"bytes", circular, [{"a": 1j}]):
            with pytest.raises(ubiops.ApiTypeError, match="JSON"):
                kept.sanitize_for_serialization(value)

    def test_model_that_became_invalid_is_refused_by_place(self, kept: ubiops.ApiClient) -> None:
        model = ubiops.DeploymentUpdate(input_fields=[])
        model.input_fields.append({"name": "x", "data_type": 7})  # type: ignore[union-attr, arg-type]
        with pytest.raises(ubiops.ApiValueError, match=r"input_fields\[0\]\.data_type"):
            kept.sanitize_for_serialization(model)


class TestHeaders:
    @pytest.mark.parametrize(
        ("accepts", "accept"),
        [
            ([], None),
            (["application/json"], "application/json"),
            (["text/html", "Application/JSON"], "application/json"),
            (["text/html", "text/plain"], "text/html, text/plain"),
        ],
    )
    def test_select_header_accept(self, accepts: list[str], accept: str | None, kept: ubiops.ApiClient) -> None:
        assert kept.select_header_accept(accepts) == accept

    @pytest.mark.parametrize(
        ("content_types", "content_type"),
        [
            ([], "application/json"),
            (["text/plain", "Application/JSON"], "application/json"),
            (["*/*"], "application/json"),
            (["Multipart/Form-Data", "text/plain"], "multipart/form-data"),
        ],
    )
    def test_select_header_content_type(
        self, content_types: list[str], content_type: str, kept: ubiops.ApiClient
    ) -> None:
        assert kept.select_header_content_type(content_types) == content_type

    def test_update_params_for_auth(self, kept: ubiops.ApiClient) -> None:
        headers: dict[str, Any] = {"X-Own": "1"}
        query: list[Any] = []
        kept.update_params_for_auth(headers, query, [])
        kept.update_params_for_auth(headers, query, None)
        kept.update_params_for_auth(headers, query, ["unknown"])
        assert headers == {"X-Own": "1"}
        kept.update_params_for_auth(headers, query, ["api_key"])
        assert headers == {"X-Own": "1", "Authorization": "Token secret-token"}
        assert query == []

    def test_update_params_for_auth_of_other_schemes(
        self, kept: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        schemes = {
            "q": {"type": "api_key", "in": "query", "key": "key", "value": "k"},
            "c": {"type": "api_key", "in": "cookie", "key": "Cookie", "value": "c=1"},
        }
        monkeypatch.setattr(kept.configuration, "auth_settings", lambda: schemes)
        headers: dict[str, Any] = {}
        query: list[Any] = []
        kept.update_params_for_auth(headers, query, ["q", "c"])
        assert (headers, query) == ({"Cookie": "c=1"}, [("key", "k")])

    def test_default_headers_and_cookie_go_with_every_request(self, wire: Server, kept: ubiops.ApiClient) -> None:
        with ubiops.ApiClient(kept.configuration, header_name="X-Own", header_value="1", cookie="c=1") as client:
            client.set_default_header("user-agent", "mine/1.0")
            client.set_default_header("X-Number", 7)  # type: ignore[arg-type]
            assert client.user_agent == "mine/1.0"
            ubiops.CoreApi(client).projects_delete("p")
            headers = wire.last.headers
            assert (headers["X-Own"], headers["Cookie"], headers["X-Number"]) == ("1", "c=1", "7")
            assert headers.get_all("User-Agent") == ["mine/1.0"]  # type: ignore[attr-defined]
            client.default_headers["X-None"] = None  # type: ignore[assignment]
            ubiops.CoreApi(client).projects_delete("p")
            assert "X-None" not in wire.last.headers
            del client.default_headers["X-None"]
            client.user_agent = "yours/2.0"
            assert client.default_headers == {"X-Own": "1", "X-Number": 7, "User-Agent": "yours/2.0"}


class TestParametersToTuples:
    def test_dicts_and_pairs(self, kept: ubiops.ApiClient) -> None:
        for given in ({"a": 1, "b": [2]}, [("a", 1), ("b", [2])]):
            assert kept.parameters_to_tuples(given, None) == [("a", 1), ("b", [2])]

    @pytest.mark.parametrize(
        ("name", "pairs"),
        [
            ("csv", [("a", "1,x")]),
            ("ssv", [("a", "1 x")]),
            ("tsv", [("a", "1\tx")]),
            ("pipes", [("a", "1|x")]),
            ("multi", [("a", 1), ("a", "x")]),
        ],
    )
    def test_collection_formats(self, name: str, pairs: list[Any], kept: ubiops.ApiClient) -> None:
        assert kept.parameters_to_tuples({"a": [1, "x"]}, {"a": name}) == pairs

    def test_files_parameters(self, kept: ubiops.ApiClient, tmp_path: Path) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(b"content")
        pairs = kept.files_parameters({"one": str(path), "none": None, "more": [path, io.BytesIO(b"x")]})
        assert [(name, b"".join(upload)) for name, upload in pairs] == [
            ("one", b"content"),
            ("more", b"content"),
            ("more", b"x"),
        ]
        assert kept.files_parameters() == kept.files_parameters({}) == []


class TestRestClient:
    VERBS = ("GET", "HEAD", "OPTIONS", "DELETE", "POST", "PUT", "PATCH")

    @pytest.mark.parametrize("verb", VERBS)
    def test_verb_sends_its_method_with_the_given_headers_alone(
        self, verb: str, wire: Server, kept: ubiops.ApiClient
    ) -> None:
        wire.default = Answer(200, b"answer", {"X-Own": "1"})
        call = getattr(kept.rest_client, verb)
        response = call(f"{wire.url}/x?a=b", headers={"X-Sent": "2", "X-None": None}, query_params={"c": "d e"})
        assert (wire.last.method, wire.last.target) == (verb, "/v2.1/x?a=b&c=d+e")
        assert wire.last.headers["X-Sent"] == "2"
        assert "Authorization" not in wire.last.headers
        assert "X-None" not in wire.last.headers
        assert isinstance(response, RESTResponse)
        assert (response.status, response.reason) == (200, "OK")
        assert response.data == ("" if verb == "HEAD" else "answer")
        assert response.getheader("x-own") == response.getheaders()["X-OWN"] == "1"
        assert response.getheader("x-other", "default") == "default"

    @pytest.mark.parametrize("verb", ["OPTIONS", "DELETE", "POST", "PUT", "PATCH"])
    def test_body_is_json(self, verb: str, wire: Server, kept: ubiops.ApiClient) -> None:
        getattr(kept.rest_client, verb)(f"{wire.url}/x", body={"a": None})
        assert wire.last.json == {"a": None}
        assert wire.last.headers["Content-Type"] == "application/json"

    @pytest.mark.parametrize("verb", ["OPTIONS", "POST", "PUT", "PATCH"])
    def test_form(self, verb: str, wire: Server, kept: ubiops.ApiClient) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        getattr(kept.rest_client, verb)(f"{wire.url}/x", headers=headers, post_params=[("a", "x y"), ("b", 2)])
        assert wire.last.body == b"a=x+y&b=2"
        assert headers == {"Content-Type": "application/x-www-form-urlencoded"}

    def test_multipart_form(self, wire: Server, kept: ubiops.ApiClient) -> None:
        fields = [("field", "value"), ("file", ("a.txt", b"content", "text/plain"))]
        kept.rest_client.POST(f"{wire.url}/x", headers={"Content-Type": "multipart/form-data"}, post_params=fields)
        boundary = wire.last.headers["Content-Type"].partition("boundary=")[2]
        assert wire.last.body.decode() == (
            f'--{boundary}\r\nContent-Disposition: form-data; name="field"\r\n\r\nvalue\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
            f"Content-Type: text/plain\r\n\r\ncontent\r\n--{boundary}--\r\n"
        )

    @pytest.mark.parametrize(
        "body", ["größe", "größe".encode(), [b"gr", "öße".encode()]], ids=["str", "bytes", "blocks"]
    )
    def test_text_and_bytes_go_as_they_are(self, body: Any, wire: Server, kept: ubiops.ApiClient) -> None:
        kept.rest_client.PUT(f"{wire.url}/x", headers={"Content-Type": "text/plain"}, body=body)
        assert wire.last.body == "größe".encode()
        assert wire.last.headers["Content-Type"] == "text/plain"

    def test_request_by_method_name(self, wire: Server, kept: ubiops.ApiClient) -> None:
        for door in (kept.request, kept.rest_client.request):
            response = door("get", f"{wire.url}/x", query_params=[("a", 1), ("none", None)], _request_timeout=5)
            assert (response.status, response.data) == (200, "{}")
            assert (wire.last.method, wire.last.target) == ("GET", "/v2.1/x?a=1")

    def test_arguments_of_the_clients_door_come_in_their_own_order(self, wire: Server, kept: ubiops.ApiClient) -> None:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        kept.request("POST", f"{wire.url}/x", {"q": 1}, headers, [("form", 1)], None)
        assert (wire.last.target, wire.last.body) == ("/v2.1/x?q=1", b"form=1")
        kept.request("POST", f"{wire.url}/x", None, None, None, {"body": 1})
        assert wire.last.json == {"body": 1}
        kept.rest_client.request("POST", f"{wire.url}/x", None, None, {"body": 1}, None)
        assert wire.last.json == {"body": 1}

    def test_unknown_method_is_refused(self, wire: Server, kept: ubiops.ApiClient) -> None:
        for door in (kept.request, kept.rest_client.request):
            with pytest.raises(ubiops.ApiValueError, match="must be `GET`"):
                door("TRACE", f"{wire.url}/x")
        assert wire.requests == []

    def test_unread_response(self, wire: Server, kept: ubiops.ApiClient) -> None:
        response = kept.rest_client.GET(f"{wire.url}/x", _preload_content=False)
        assert isinstance(response, urllib3.HTTPResponse)
        assert response.read() == b"{}"

    @pytest.mark.parametrize("verb", VERBS)
    def test_error(self, verb: str, wire: Server, kept: ubiops.ApiClient) -> None:
        wire.default = Answer.json({"error": "no"}, 409)
        with pytest.raises(ubiops.ConflictError) as caught:
            getattr(kept.rest_client, verb)(f"{wire.url}/x")
        assert caught.value.status == 409

    def test_object_of_its_own(self, wire: Server, kept: ubiops.ApiClient) -> None:
        rest_client = ubiops.rest.RESTClientObject(kept.configuration, pools_size=1, maxsize=1)
        assert rest_client.GET(f"{wire.url}/x").data == "{}"
        rest_client.close()

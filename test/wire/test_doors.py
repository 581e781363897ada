"""Programs that put something of their own in a door of the older client: every call goes through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

import ubiops
from test.server import Answer, Server
from ubiops.operation import Form, Header, Operation, Path, Query
from ubiops.rest import RESTClientObject, RESTResponse

STATUS = '{"status": "patched"}'


@pytest.fixture
def served(server: Server) -> Server:
    server.default = Answer.json({"status": "ok"})
    return server


@pytest.fixture
def patched() -> mock.Mock:
    return mock.Mock(status=200, data=STATUS, getheaders=lambda: {"X-A": "1"})


class Recorder(ubiops.ApiClient):
    """Records what goes through each door, and lets it go on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def call_api(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("call_api", args, kwargs))
        return super().call_api(*args, **kwargs)

    def request(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("request", args, kwargs))
        return super().request(*args, **kwargs)

    def deserialize(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(("deserialize", args, kwargs))
        return super().deserialize(*args, **kwargs)


@pytest.fixture
def recorder(configuration: ubiops.Configuration) -> Iterator[Recorder]:
    with Recorder(configuration) as client:
        yield client


def test_every_door_gets_the_arguments_that_the_older_client_passed(served: Server, recorder: Recorder) -> None:
    api = ubiops.CoreApi(recorder)
    assert api.service_status() == ubiops.Status(status="ok")
    authorization = served.last.headers["Authorization"]
    (first, args, kwargs), (second, request_args, request_kwargs), (third, response_args, _) = recorder.calls
    assert (first, second, third) == ("call_api", "request", "deserialize")
    assert args == ("/status", "GET", {}, [], {"Accept": "application/json"})
    assert kwargs == {
        "body": None,
        "post_params": [],
        "files": {},
        "response_type": "Status",
        "auth_settings": ["api_key"],
        "async_req": None,
        "_return_http_data_only": True,
        "_preload_content": True,
        "_request_timeout": None,
        "collection_formats": {},
    }
    assert request_args == ("GET", f"{served.url}/status")
    assert request_kwargs.pop("headers") == {
        "Accept": "application/json",
        "User-Agent": recorder.user_agent,
        "Authorization": authorization,
    }
    assert request_kwargs == {
        "query_params": [],
        "post_params": [],
        "body": None,
        "_preload_content": True,
        "_request_timeout": None,
    }
    assert isinstance(response_args[0], RESTResponse)
    assert (response_args[0].data, response_args[1]) == ('{"status": "ok"}', "Status")


def test_a_call_through_the_doors_sends_what_it_sends_without_them(
    server: Server, recorder: Recorder, client: ubiops.ApiClient, tmp_path: Any
) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"content")
    label = ubiops.DeploymentUpdate(description=None, labels=ubiops.NULL)
    calls: list[Any] = [
        lambda api: api.deployments_get("my project", "d"),
        lambda api: api.deployments_list("p", labels="a:b&c"),
        lambda api: api.deployment_requests_list("p", "d", status="completed", limit=5, success=True),
        lambda api: api.deployments_update("p", "d", label),
        lambda api: api.deployments_update("p", "d", {"name": "x", "description": None}),
        lambda api: api.deployment_versions_create("p", "d", {"version": "v1"}),
        lambda api: api.deployment_requests_create("p", "d", "text"),
        lambda api: api.deployment_requests_create("p", "d", {"x": [1, None]}),
        lambda api: api.batch_deployment_requests_create("p", "d", [{"x": 1}]),
        lambda api: api.projects_delete("p"),
        lambda api: api.blobs_create("p", str(path), blob_ttl=60),
    ]
    for call in calls:
        sent = []
        for one in (client, recorder):
            server.default = Answer(204)
            call(ubiops.CoreApi(one))
            headers = {name: value for name, value in server.last.headers.items() if name != "Content-Type"}
            content_type, _, boundary = server.last.headers.get("Content-Type", "").partition("; boundary=")
            body = server.last.body.replace(boundary.encode() or b"-", b"")
            sent.append((server.last.method, server.last.target, headers, content_type, body))
        assert sent[0] == sent[1]
    assert len({name for name, _, _ in recorder.calls}) >= 2


NAMES = Operation(
    "names",
    "POST",
    "/from/{from}",
    Path("from_", wire_name="from"),
    Query("import_", wire_name="import"),
    Header("if_", wire_name="X-If"),
    Form("class_", wire_name="class"),
    content_type="multipart/form-data",
)


@pytest.mark.parametrize("client_class", [ubiops.ApiClient, Recorder])
def test_an_argument_may_bear_another_name_in_the_request(
    server: Server, configuration: ubiops.Configuration, client_class: type[ubiops.ApiClient]
) -> None:
    with client_class(configuration) as client:
        NAMES.call(client, ["a", "b", "c", "d"], {})
    assert server.last.target == "/v2.1/from/a?import=b"
    assert server.last.headers["X-If"] == "c"
    assert b'form-data; name="class"\r\n\r\nd\r\n' in server.last.body


def test_all_forms_of_a_call_go_through_the_doors(served: Server, recorder: Recorder) -> None:
    api = ubiops.CoreApi(recorder)
    assert api.service_status_with_http_info()[:2] == (ubiops.Status(status="ok"), 200)
    assert api.service_status(async_req=True).get(10) == ubiops.Status(status="ok")
    assert json.loads(api.service_status(_preload_content=False).data) == {"status": "ok"}
    assert recorder.call_api("/x", "GET", response_type="Status")[0] == ubiops.Status(status="ok")
    api.service_status(_headers={"X-Call": "1", "Accept": "text/plain"})
    assert (served.last.headers["X-Call"], served.last.headers["Accept"]) == ("1", "text/plain")
    served.default = Answer(200, b"content", {"Content-Disposition": "attachment; filename=a"})
    assert api.blobs_get("p", "b").read() == b"content"
    served.default = Answer.json({"error": "no"}, 404)
    with pytest.raises(ubiops.NotFoundError, match="no") as raised:
        api.deployments_get("p", "d")
    assert (raised.value.operation, raised.value.path) == ("deployments_get", "/projects/p/deployments/d")


def test_a_patch_is_seen_after_the_first_call_and_forgotten_when_it_ends(
    served: Server, client: ubiops.ApiClient, patched: mock.Mock
) -> None:
    api = ubiops.CoreApi(client)
    for target in (ubiops.ApiClient, client):
        assert api.service_status().status == "ok"
        with mock.patch.object(target, "call_api", return_value="mine") as door:
            assert api.service_status() == "mine"
        assert door.call_args.args[-5 if len(door.call_args.args) > 5 else 0 :][:2] == ("/status", "GET")
        with mock.patch.object(target, "request", return_value=patched):
            assert api.service_status().status == "patched"
        with mock.patch.object(target, "deserialize", return_value="mine"):
            assert api.service_status() == "mine"
        with mock.patch.object(target, "sanitize_for_serialization", return_value={"name": "mine"}):
            api.deployments_update("p", "d", {"name": "x"})
        assert served.last.json == {"name": "mine"}
    with mock.patch("ubiops.ApiClient.call_api", return_value="mine"):
        assert api.service_status() == "mine"
    for transport in (RESTClientObject, client.rest_client):
        for verb in ("request", "GET"):
            with mock.patch.object(transport, verb, return_value=patched):
                assert api.service_status_with_http_info() == (ubiops.Status(status="patched"), 200, {"X-A": "1"})
            assert api.service_status().status == "ok"


def test_credentials_of_the_programs_own(served: Server, configuration: ubiops.Configuration) -> None:
    class Signing(ubiops.ApiClient):
        def update_params_for_auth(self, headers: Any, querys: Any, auth_settings: Any) -> None:  # type: ignore[override]
            assert auth_settings == ["api_key"]
            headers["X-Signature"] = f"{headers['Accept']}"
            querys.append(("signed", "yes"))

    with Signing(configuration) as client:
        ubiops.CoreApi(client).service_status()
    assert served.last.headers["X-Signature"] == "application/json"
    assert served.last.query == {"signed": "yes"}
    assert "Authorization" not in served.last.headers


def test_a_transport_of_the_programs_own(client: ubiops.ApiClient, patched: mock.Mock) -> None:
    client.rest_client = mock.Mock()
    client.rest_client.GET.return_value = patched
    client.rest_client.POST.return_value = patched
    api = ubiops.CoreApi(client)
    assert api.service_status().status == "patched"
    [url], options = client.rest_client.GET.call_args
    assert url == f"{client.configuration.host}/status"
    assert sorted(options) == ["_preload_content", "_request_timeout", "headers", "query_params"]
    api.projects_create({"name": "p", "organization_name": "o"})
    sent = {"name": "p", "organization_name": "o", "advanced_permissions": False}
    assert client.rest_client.POST.call_args.kwargs["body"] == sent


def test_a_transport_that_derives_from_ours(served: Server, configuration: ubiops.Configuration) -> None:
    class Retrying(RESTClientObject):
        def request(self, method: str, url: str, **options: Any) -> Any:  # type: ignore[override]
            calls.append((method, sorted(options)))
            return super().request(method, url, **options)

    calls: list[tuple[str, list[str]]] = []
    with ubiops.ApiClient(configuration) as client:
        client.rest_client = Retrying(configuration)
        ubiops.CoreApi(client).service_status()
        ubiops.CoreApi(client).projects_create({"name": "p", "organization_name": "o"})
        client.rest_client.close()
    options = ["_preload_content", "_request_timeout", "headers", "query_params"]
    assert calls == [("GET", options), ("POST", sorted([*options, "body", "post_params"]))]
    assert [request.method for request in served.requests] == ["GET", "POST"]


def test_a_long_request_is_waited_for_through_the_doors_too(client: ubiops.ApiClient, patched: mock.Mock) -> None:
    client.rest_client = mock.Mock()
    client.rest_client.POST.return_value = patched
    ubiops.CoreApi(client).deployment_requests_create("p", "d", {}, timeout=3600)
    assert client.rest_client.POST.call_args.kwargs["_request_timeout"] == (None, 3630)


def test_a_client_of_another_class_is_called_by_call_api() -> None:
    class Double:
        configuration = ubiops.Configuration("http://localhost")
        client_side_validation = True

        def call_api(self, path: str, method: str, *args: Any, **kwargs: Any) -> Any:
            return path, method

    assert ubiops.CoreApi(Double()).service_status() == ("/status", "GET")  # type: ignore[arg-type]
    for double in (mock.Mock(spec=ubiops.ApiClient), mock.create_autospec(ubiops.ApiClient, instance=True)):
        double.call_api.return_value = ["mine"]
        assert ubiops.CoreApi(double).deployments_list("p") == ["mine"]
        for name in ("configuration", "rest_client", "default_headers", "cookie", "last_response", "pool_threads"):
            assert hasattr(double, name)


def test_plain_data_becomes_a_model(client: Any) -> None:
    read = client._ApiClient__deserialize
    assert read({"status": "ok"}, "Status") == read({"status": "ok"}, ubiops.Status) == ubiops.Status(status="ok")
    assert read([{"status": "ok"}], "list[Status]") == [ubiops.Status(status="ok")]
    assert (read(None, "Status"), read(5, "int"), read({"a": 1}, "object")) == (None, 5, {"a": 1})


def test_the_newer_clients_arguments_are_taken(served: Server, client: ubiops.ApiClient) -> None:
    options: dict[str, Any] = {"stream": True, "chunk_size": 1, "progress_bar": False}
    assert client.call_api("/x", "GET", response_type="Status", **options)[0].status == "ok"
    assert client.deserialize(client.last_response, "Status", **options).status == "ok"
    assert ubiops.CoreApi(client).service_status(_request_stream=True, _progress_bar=False).status == "ok"
    assert ubiops.ApiClient.select_header_accept(["a/b", "application/json"]) == "application/json"
    assert ubiops.ApiClient.select_header_content_type([]) == "application/json"
    assert ubiops.ApiClient.parameters_to_tuples({"a": 1}, None) == [("a", 1)]
    assert ubiops.ApiClient.files_parameters() == []
    for name in ("querys", "query_params"):
        headers: dict[str, Any] = {}
        pairs: dict[str, Any] = {name: []}
        client.update_params_for_auth(headers, auth_settings=["api_key"], **pairs)
        assert "Authorization" in headers


def test_a_header_that_the_program_sets_wins(served: Server, client: ubiops.ApiClient, tmp_path: Any) -> None:
    api = ubiops.CoreApi(client)
    client.set_default_header("Accept", "text/csv")
    api.service_status()
    assert served.last.headers["Accept"] == "text/csv"
    api.service_status(_headers={"accept": "text/plain", "Authorization": "Token mine"})
    assert served.last.headers.get_all("Accept") == ["text/plain"]  # type: ignore[attr-defined]
    assert served.last.headers["Authorization"] == "Token mine"
    client.set_default_header("Content-Type", "application/vnd.x+json")
    api.deployments_update("p", "d", {})
    assert served.last.headers["Content-Type"] == "application/vnd.x+json"
    (tmp_path / "a").write_bytes(b"x")
    api.blobs_create("p", str(tmp_path / "a"))
    assert served.last.headers["Content-Type"].startswith("multipart/form-data; boundary=")


def test_the_body_of_an_answer_is_text(served: Server, client: ubiops.ApiClient) -> None:
    ubiops.CoreApi(client).service_status()
    assert client.last_response.data == '{"status": "ok"}'
    response = client.rest_client.GET(f"{served.url}/x")
    assert (response.data, response.content) == ('{"status": "ok"}', b'{"status": "ok"}')
    response.data = "mine"
    assert response.data == "mine"
    served.default = Answer(200, b"caf\xe9", {"Content-Type": "text/plain; charset=latin-1"})
    assert client.rest_client.GET(f"{served.url}/x").data == "café"
    served.default = Answer(200, b"\xff\xfe")
    assert client.rest_client.GET(f"{served.url}/x").data == b"\xff\xfe"

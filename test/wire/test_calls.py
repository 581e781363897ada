"""What holds for every call: options, credentials, hosts, answers that can't be read, and threads."""

from __future__ import annotations

import datetime
import gc
import shutil
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from multiprocessing.pool import AsyncResult
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.operation import CallOptions


def requests_of(server: Server) -> list[str]:
    return [f"{request.method} {request.target}" for request in server.requests]


class TestOptions:
    def test_async_req_returns_before_the_answer_is_there(self, server: Server, api: ubiops.CoreApi) -> None:
        answer_now = threading.Event()

        def wait(request: Recorded) -> Answer:
            assert answer_now.wait(10)
            return Answer.json({"name": "p"})

        server.default = wait
        result: Any = api.projects_get("p", async_req=True)
        assert isinstance(result, AsyncResult)
        assert not result.ready()
        answer_now.set()
        assert result.get(10).name == "p"

    def test_async_errors_come_with_the_result(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json({"error": "no"}, 404)
        result: Any = api.projects_get("p", async_req=True)
        with pytest.raises(ubiops.NotFoundError, match="no"):
            result.get(10)

    def test_async_calls_run_in_as_many_threads_as_the_client_has(
        self, server: Server, configuration: ubiops.Configuration
    ) -> None:
        together = threading.Barrier(3)

        def meet(request: Recorded) -> Answer:
            together.wait(10)
            return Answer.json({"name": "p"})

        server.default = meet
        with ubiops.ApiClient(configuration, pool_threads=3) as client:
            results: Any = [ubiops.CoreApi(client).projects_get("p", async_req=True) for _ in range(3)]
            assert [result.get(10).name for result in results] == ["p"] * 3

    def test_bad_input_raises_at_once_with_async_req(self, server: Server, api: ubiops.CoreApi) -> None:
        with pytest.raises(ubiops.ApiValueError, match="project_name"):
            api.projects_get("", async_req=True)

    def test_data_alone_for_the_twin_with_http_info(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json({"name": "p"})
        data: Any = api.projects_get_with_http_info("p", _return_http_data_only=True)
        assert data.name == "p"
        assert api.projects_get("p", _return_http_data_only=False).name == "p"

    def test_without_preload_content_an_error_raises_as_ever(self, server: Server, api: Any) -> None:
        server.default = Answer.json({"error": "no"}, 404)
        with pytest.raises(ubiops.NotFoundError, match="no"):
            api.projects_get("p", _preload_content=False)

    @pytest.mark.parametrize("timeout", [30, 30.5, (5, 30), (5, None), [5, 30.0], None])
    def test_request_timeout_is_seconds_in_all_or_a_pair(self, timeout: Any, server: Server, api: Any) -> None:
        assert isinstance(api.projects_get("p", _request_timeout=timeout), ubiops.ProjectDetail)

    def test_request_timeout_ends_a_call(self, server: Server, api: Any) -> None:
        hang = threading.Event()
        server.default = lambda request: hang.wait(10) and None  # type: ignore[assignment, return-value]
        for timeout in (0.05, (5, 0.05)):
            with pytest.raises(ubiops.ApiTimeoutError) as caught:
                api.deployment_requests_create("p", "d", {}, _request_timeout=timeout)
            assert caught.value.operation == "deployment_requests_create"
        hang.set()

    @pytest.mark.parametrize(
        ("name", "arguments", "option", "default"),
        [
            ("deployment_requests_create", ("p", "d"), "timeout", 300),
            ("deployment_version_requests_create", ("p", "d", "v"), "timeout", 300),
            ("pipeline_requests_create", ("p", "d"), "pipeline_timeout", 3600),
            ("pipeline_version_requests_create", ("p", "d", "v"), "pipeline_timeout", 3600),
        ],
    )
    def test_request_creating_call_waits_as_long_as_the_server_and_30_s_more(
        self,
        name: str,
        arguments: Any,
        option: str,
        default: int,
        server: Server,
        api: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # The timeout of the connection is looked at, since a test can't wait for half a minute and more.
        waits: list[Any] = []
        make_request = urllib3.HTTPConnectionPool._make_request

        def note(self: Any, conn: Any, *args: Any, **options: Any) -> Any:
            response = make_request(self, conn, *args, **options)
            waits.append(conn.timeout)
            return response

        monkeypatch.setattr(urllib3.HTTPConnectionPool, "_make_request", note)
        call = getattr(api, name)
        call(*arguments, {})
        call(*arguments, {}, **{option: 600})
        call(*arguments, {}, **{option: 600}, _request_timeout=(1, 7))
        # No time at all is for the server to refuse.
        call(*arguments, {}, **{option: 0})
        assert waits == [default + 30, 630, 7, default + 30]

    def test_options_are_those_that_the_documentation_names(self) -> None:
        options = {"async_req", "_preload_content", "_request_timeout", "_return_http_data_only", "_headers"}
        # Those of the newer client's that change nothing here.
        assert set(CallOptions.__annotations__) == options | {"_request_stream", "_progress_bar"}


class TestHosts:
    @pytest.mark.parametrize("end", ["", "/", "//", " "])
    def test_host_may_end_in_a_slash(self, end: str, server: Server) -> None:
        configuration = ubiops.Configuration(host=server.url + end)
        with ubiops.ApiClient(configuration) as client:
            ubiops.CoreApi(client).projects_delete("p")
        assert requests_of(server) == ["DELETE /v2.1/projects/p"]
        assert configuration.host == server.url + end

    def test_host_may_have_another_path_or_none(self, server: Server) -> None:
        for path in ("", "/a/b%20c"):
            with ubiops.ApiClient(ubiops.Configuration(host=server.origin + path)) as client:
                ubiops.CoreApi(client).projects_delete("p")
            assert server.last.target == f"{path}/projects/p"

    def test_scheme_may_be_in_capitals(self, server: Server) -> None:
        with ubiops.ApiClient(ubiops.Configuration(host=server.url.replace("http", "HTTP"))) as client:
            ubiops.CoreApi(client).projects_delete("p")
        assert requests_of(server) == ["DELETE /v2.1/projects/p"]

    def test_host_of_a_living_client_can_be_changed(self, server: Server, client: ubiops.ApiClient) -> None:
        client.configuration.host = f"{server.origin}/other"
        ubiops.CoreApi(client).projects_delete("p")
        assert server.last.target == "/other/projects/p"

    def test_without_a_token_none_is_sent(self, server: Server) -> None:
        with ubiops.ApiClient(ubiops.Configuration(host=server.url)) as client:
            ubiops.CoreApi(client).service_status()
        assert "Authorization" not in server.last.headers

    def test_host_and_token_come_from_the_environment(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UBIOPS_API_HOST", server.url)
        monkeypatch.setenv("UBIOPS_API_TOKEN", "Token from-outside")
        with ubiops.ApiClient() as client:
            ubiops.CoreApi(client).service_status()
        assert server.last.headers["Authorization"] == "Token from-outside"

    def test_safe_characters_of_path_parameters_are_not_encoded(self, server: Server, client: Any) -> None:
        client.configuration.safe_chars_for_path_param = "/:"
        api = ubiops.CoreApi(client)
        api.files_delete("p", "b", "a/b:c d")
        assert server.last.target == "/v2.1/projects/p/buckets/b/files/a/b:c%20d"
        for name in ("a/../b", "a//b", "./a", "a/"):
            with pytest.raises(ubiops.ApiValueError, match="lead elsewhere"):
                api.files_delete("p", "b", name)


class TestValues:
    def test_dates_datetimes_and_their_texts_in_a_query(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json([])
        zone = datetime.timezone(datetime.timedelta(hours=2))
        for moment, text in {
            datetime.datetime(2023, 1, 2, 3, 4, 5, 6000, zone): "2023-01-02T03:04:05.006000+02:00",
            datetime.datetime(2023, 1, 2, 3): "2023-01-02T03:00:00",
            datetime.date(2023, 1, 2): "2023-01-02",
            "2023-01-02T03:04:05Z": "2023-01-02T03:04:05Z",
        }.items():
            for call in (
                partial(api.metrics_get, "p", "requests", object_type="deployment"),
                partial(api.projects_usage_get, "p"),
                partial(api.organizations_usage_get, "o"),
            ):
                call(start_date=moment, end_date=moment)
                assert server.last.query["start_date"] == server.last.query["end_date"] == text

    def test_booleans_in_a_query_are_written_as_before(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json([])
        api.deployment_requests_list("p", "d", success=True, pipeline=False)
        assert server.last.query == {"success": "True", "pipeline": "False"}

    def test_lists_of_ids(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json([])
        api.deployment_requests_batch_get("p", "d", ["a", "b"])
        assert server.last.json == ["a", "b"]
        api.deployment_requests_batch_get("p", "d", ("a",))  # type: ignore[call-overload]
        assert server.last.json == ["a"]
        with pytest.raises(ubiops.ApiValueError, match=r"`data\[1\]` when calling `deployment_requests_batch_get`"):
            api.deployment_requests_batch_get("p", "d", ["a", 7])  # type: ignore[list-item]

    def test_files_by_path_and_by_object(self, server: Server, api: ubiops.CoreApi, tmp_path: Path) -> None:
        path = tmp_path / "größe.csv"
        path.write_bytes(b"a,b\r\n")
        with path.open("rb") as opened:
            for file in (path, str(path), opened):
                api.blobs_create("p", file, blob_ttl=604800)
                assert b'name="file"; filename="gr\xc3\xb6\xc3\x9fe.csv"\r\nContent-Type: text/csv' in server.last.body
                assert server.last.body.count(b"a,b\r\n") == 1
                assert server.last.headers["blob-ttl"] == "604800"

    def test_form_fields_without_a_file(self, server: Server, api: ubiops.CoreApi) -> None:
        api.imports_create("p", import_link="http://x/ä", skip_confirmation=True)
        assert b'name="import_link"\r\n\r\nhttp://x/\xc3\xa4\r\n' in server.last.body
        assert b'name="skip_confirmation"\r\n\r\nTrue\r\n' in server.last.body
        assert b"filename" not in server.last.body

    def test_dict_and_model_given_are_not_changed(self, server: Server, api: ubiops.CoreApi) -> None:
        body: dict[str, Any] = {
            "name": "d",
            "input_type": "plain",
            "output_type": "plain",
            "labels": {"a": "b"},
            "description": None,
        }
        given = dict(body)
        model = ubiops.DeploymentCreate(**body)
        before = model.to_dict()
        for data in (body, model):
            api.deployments_create("p", data)
        assert body == given
        assert model.to_dict() == before


class TestAnswers:
    @pytest.mark.parametrize("body", [b"<html>", b"[]", b'"text"', b"7", b"\xff\xfe{}", b'{"a":', b"[" * 100_000])
    def test_body_that_is_not_what_is_due_raises_with_status_and_body(
        self, body: bytes, server: Server, api: ubiops.CoreApi
    ) -> None:
        server.default = Answer(200, body, {"X-Own": "1"})
        with pytest.raises(ubiops.ApiException, match="can't be read as ProjectDetail") as caught:
            api.projects_get("p")
        error = caught.value
        assert error.status == 200
        assert error.body == body.decode(errors="replace")
        assert error.headers is not None
        assert error.headers["X-Own"] == "1"
        assert (error.operation, error.path) == ("projects_get", "/projects/p")

    @pytest.mark.parametrize("body", [b"{}", b"[7]", b"[[]]", b"[null]"])
    def test_list_that_is_none_raises(self, body: bytes, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer(200, body)
        with pytest.raises(ubiops.ApiException, match=r"can't be read as list\[ProjectList\]"):
            api.projects_list()

    def test_answer_of_an_operation_without_one_is_not_looked_at(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer(200, b"<html>")
        assert api.projects_delete("p") is None

    def test_any_success_will_do(self, server: Server, api: ubiops.CoreApi) -> None:
        for status in (200, 201, 202, 203):
            server.default = Answer.json({"name": "p"}, status)
            assert api.projects_get("p").name == "p"

    @pytest.mark.parametrize(
        ("body", "shown"),
        [
            (b'{"error": "Name is taken"}', "Error: Name is taken\n"),
            (b'{"error_message": "It failed"}', "Error: It failed\n"),
            (b"<html>", "HTTP response headers: {'Content-Length': '6', 'X-A': '1'}\nHTTP response body: <html>\n"),
            (b"", "HTTP response headers: {'Content-Length': '0', 'X-A': '1'}\n"),
        ],
        ids=["json", "error_message", "html", "nothing"],
    )
    def test_every_error_status_raises_its_class(
        self, body: bytes, shown: str, server: Server, api: ubiops.CoreApi
    ) -> None:
        api.api_client.configuration.retries = 0
        classes = {
            400: ubiops.BadRequestError,
            401: ubiops.UnauthorizedError,
            403: ubiops.ForbiddenError,
            404: ubiops.NotFoundError,
            409: ubiops.ConflictError,
            413: ubiops.PayloadTooLargeError,
            422: ubiops.UnprocessableEntityError,
            429: ubiops.TooManyRequestsError,
        }
        for status in range(400, 600):
            server.default = Answer(status, body, {"X-A": "1"})
            with pytest.raises(ubiops.ApiException) as caught:
                api.deployments_create("p", {"name": "d", "input_type": "plain", "output_type": "plain"})
            error = caught.value
            assert type(error) is classes.get(status, ubiops.ServerError if status >= 500 else ubiops.ApiRequestError)
            assert (error.status, error.body) == (status, body.decode())
            assert str(error) == f"{error.reason} ({status})\n{shown}"
            assert error.headers is not None
            assert error.headers["X-A"] == "1"
        assert len(server.requests) == 200

    def test_error_echoing_the_token_does_not_show_it(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = lambda request: Answer(
            400, f"You sent {request.headers['Authorization']}".encode(), {"X-Echo": request.headers["Authorization"]}
        )
        with pytest.raises(ubiops.BadRequestError) as caught:
            api.projects_get("p")
        error = caught.value
        for shown in (str(error), repr(error), error.body, repr(error.headers), repr(error.__dict__)):
            assert "secret-token" not in str(shown)
        assert error.body == "You sent ***"

    def test_short_token_does_not_garble_errors(self, server: Server) -> None:
        server.default = Answer.json({"error": "the test is wrong"}, 400)
        configuration = ubiops.Configuration(host=server.url, api_key={"Authorization": "Token t"})
        with (
            ubiops.ApiClient(configuration) as client,
            pytest.raises(ubiops.BadRequestError, match="the test is wrong"),
        ):
            ubiops.CoreApi(client).projects_list()


class TestThreads:
    def test_threads_that_share_a_client_get_their_own_answers(
        self, server: Server, api: ubiops.CoreApi, request: pytest.FixtureRequest
    ) -> None:
        # Threads take turns as often as they can, so that what they share by mistake shows.
        request.addfinalizer(partial(sys.setswitchinterval, sys.getswitchinterval()))
        sys.setswitchinterval(1e-6)
        server.default = lambda recorded: Answer.json({"name": recorded.segments[-1]})
        names = [f"p-{number}" for number in range(400)]
        with ThreadPoolExecutor(8) as executor:
            assert [project.name for project in executor.map(api.projects_get, names)] == names

    def test_threads_that_share_a_client_share_its_pool(self, client: ubiops.ApiClient) -> None:
        start = threading.Barrier(8)

        def pool(_: int) -> Any:
            start.wait(10)
            return client.pool

        with ThreadPoolExecutor(8) as executor:
            assert len(set(map(id, executor.map(pool, range(8))))) == 1

    def test_closed_client_can_be_used_again(self, server: Server, client: ubiops.ApiClient) -> None:
        api: Any = ubiops.CoreApi(client)
        for _ in range(2):
            api.projects_delete("p", async_req=True).get(10)
            client.close()
            client.close()
        assert len(server.requests) == 2

    def test_threads_end_with_the_client(self, server: Server, configuration: ubiops.Configuration) -> None:
        before = set(threading.enumerate())
        client = ubiops.ApiClient(configuration, pool_threads=4)
        api: Any = ubiops.CoreApi(client)
        api.projects_delete("p", async_req=True).get(10)
        threads = [thread for thread in threading.enumerate() if thread not in before and thread.name != "server"]
        pool_threads = [thread for thread in threads if "process_request_thread" not in thread.name]
        assert len(pool_threads) >= 4
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            del client, api
            gc.collect()
        deadline = time.monotonic() + 10
        for thread in pool_threads:
            thread.join(deadline - time.monotonic())
        assert not any(thread.is_alive() for thread in pool_threads)


class TestPrograms:
    """Programs of today, line by line."""

    def test_deployment_request_from_the_documentation(self, server: Server) -> None:
        server.answers = [Answer.json({"status": "ok"}), Answer.json({"id": "r", "success": True, "result": {"x": 1}})]
        configuration = ubiops.Configuration()
        configuration.api_key["Authorization"] = "Token my-api-token"
        configuration.host = server.url
        client = ubiops.ApiClient(configuration)
        api = ubiops.CoreApi(client)
        print(api.service_status())
        response = api.deployment_requests_create(
            project_name="my-project", deployment_name="my-deployment", data={"input": 3.14}
        )
        assert response.result == {"x": 1}
        client.close()
        assert requests_of(server) == [
            "GET /v2.1/status",
            "POST /v2.1/projects/my-project/deployments/my-deployment/requests",
        ]

    def test_api_key_prefix(self, server: Server) -> None:
        configuration = ubiops.Configuration(host=server.url)
        configuration.api_key["Authorization"] = "my-api-token"
        configuration.api_key_prefix["Authorization"] = "Token"
        with ubiops.ApiClient(configuration) as client:
            ubiops.CoreApi(client).service_status()
        assert server.last.headers["Authorization"] == "Token my-api-token"

    def test_download_of_a_blob(self, server: Server, api: Any, tmp_path: Path) -> None:
        disposition = {"Content-Disposition": 'attachment; filename="my data.csv"'}
        server.default = Answer(200, b"a,b\n", disposition)
        # Where the program saves the file itself.
        api.api_client.configuration.temp_folder_path = str(tmp_path)
        for options in ({}, {"_preload_content": False}):
            with api.blobs_get("p", "b", **options) as response:
                filename = response.getfilename()
                with (tmp_path / filename).open("wb") as file:
                    shutil.copyfileobj(response, file)
            assert filename == "my data.csv"
            assert (tmp_path / filename).read_bytes() == b"a,b\n"
            assert len(list(tmp_path.iterdir())) == 1

    def test_upload_of_a_revision(self, server: Server, api: ubiops.CoreApi, tmp_path: Path) -> None:
        server.default = Answer.json({"revision": "r", "build": "b"}, 201)
        package = tmp_path / "package.zip"
        package.write_bytes(b"PK")
        upload = api.revisions_file_upload(project_name="p", deployment_name="d", version="v1", file=str(package))
        assert (upload.revision, upload.build) == ("r", "b")
        assert b'name="file"; filename="package.zip"' in server.last.body

    def test_model_is_printed_and_looked_into(
        self, server: Server, api: ubiops.CoreApi, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server.default = Answer.json({"name": "p", "creation_date": "2023-01-02"})
        project = api.projects_get("p")
        print(project)
        assert "'name': 'p'" in capsys.readouterr().out
        assert "'creation_date': datetime.date(2023, 1, 2)" in str(project)
        values = {name: value for name, value in vars(project).items() if name.startswith("_")}
        assert list(values) == [f"_{name}" for name in type(project).openapi_types]
        assert values["_name"] == "p"

    def test_error_is_caught_and_printed(self, server: Server, api: ubiops.CoreApi) -> None:
        server.default = Answer.json({"error": "Project not found"}, 404)
        with pytest.raises(ubiops.exceptions.ApiException) as caught:
            api.projects_get("p")
        e = caught.value
        assert e.status == 404
        assert e.reason == "Not Found"
        assert e.body == '{"error": "Project not found"}'
        assert str(e) == "Not Found (404)\nError: Project not found\n"

    def test_client_is_closed_by_hand_or_by_with(self, server: Server, configuration: Any) -> None:
        client = ubiops.ApiClient(configuration)
        api = ubiops.CoreApi(client)
        api.projects_delete("p")
        api.api_client.close()
        with ubiops.ApiClient(configuration) as client:
            ubiops.CoreApi(client).projects_delete("p")
        assert len(server.requests) == 2

    def test_api_without_a_client_makes_its_own(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("UBIOPS_API_HOST", server.url)
        api = ubiops.CoreApi()
        api.projects_delete("p")
        api.api_client.close()
        assert server.last.target == "/v2.1/projects/p"

    def test_api_is_subclassed(self, server: Server, client: ubiops.ApiClient) -> None:
        class MyApi(ubiops.CoreApi):
            project = "p"

            @property
            def title(self) -> str:
                return self.project.title()

            @staticmethod
            def twice(value: int) -> int:
                return 2 * value

            def deployment(self, name: str) -> Any:
                return self.deployments_get(self.project, name)

        api = MyApi(client)
        assert (api.project, api.title, api.twice(2)) == ("p", "P", 4)
        assert isinstance(api.deployment("d"), ubiops.DeploymentDetail)
        assert server.last.target == "/v2.1/projects/p/deployments/d"

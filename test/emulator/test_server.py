"""The server itself: how it starts and ends, and what it answers before any handler is asked."""

from __future__ import annotations

import contextlib
import gc
import importlib.util
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import freezegun
import pytest
import time_machine
import urllib3
from sqlalchemy.exc import IntegrityError

import ubiops
import ubiops.utils
from test.document import DOCUMENT
from test.emulator.project import TestProject, kept_signals, make_zip, wait_until
from ubiops.emulator import Emulator, Fault
from ubiops.emulator.__main__ import main
from ubiops.emulator.handlers import load_handlers
from ubiops.emulator.store import Store
from ubiops.emulator.tables import User
from ubiops.emulator.web.document import load_document

ROOT = Path(ubiops.__file__).parents[1]


@pytest.fixture
def http() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager() as http:
        yield http


def get(http: urllib3.PoolManager, emulator: Emulator, path: str, method: str = "GET") -> urllib3.BaseHTTPResponse:
    headers = {"Authorization": emulator.token}
    return http.request(method, f"{emulator.url.removesuffix('/v2.1')}{path}", headers=headers)


def test_status(api: ubiops.CoreApi) -> None:
    assert api.service_status().status == "ok"


@pytest.mark.parametrize("authorization", [None, "", "Token wrong", "Token", "wrong"])
def test_without_the_token_there_is_401(
    http: urllib3.PoolManager, emulator: Emulator, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = http.request("GET", f"{emulator.url}/projects", headers=headers)
    assert response.status == 401
    assert "token" in response.json()["error"].lower()


@pytest.mark.parametrize("path", ["/", "/v2.1", "/v2.1/", "/v1/status", "/v2.1/nothing", "/v2.1/projects/p/nothing"])
def test_an_unknown_path_is_404(http: urllib3.PoolManager, emulator: Emulator, path: str) -> None:
    response = get(http, emulator, path)
    assert response.status == 404
    assert "/v2.1/" in response.json()["error"]


def test_another_method_is_405(http: urllib3.PoolManager, emulator: Emulator) -> None:
    response = get(http, emulator, "/v2.1/projects", "DELETE")
    assert response.status == 405
    assert response.json()["error"] == "The method DELETE is not allowed here; use GET, POST"


def test_a_doubled_slash_in_front_is_let_pass(http: urllib3.PoolManager, emulator: Emulator) -> None:
    assert get(http, emulator, "//v2.1/status").status == 200


def test_an_operation_without_a_handler_is_404(
    http: urllib3.PoolManager, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As of an operation that the document has and the emulator doesn't.
    monkeypatch.delitem(emulator.app._app._app._app._api._handlers, "service_status")  # type: ignore[attr-defined]
    response = get(http, emulator, "/v2.1/status")
    assert (response.status, response.json()) == (404, {"error": "The emulator doesn't do service_status yet"})


def test_every_operation_has_its_handler() -> None:
    operations = {operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()}
    assert len(operations) == 267
    assert operations <= load_handlers(load_document().operations).keys()


def test_every_handler_takes_what_its_operation_has() -> None:
    operations = load_document().operations
    for name, handler in load_handlers(operations).items():
        operation, parameters = operations[name], inspect.signature(inspect.unwrap(handler)).parameters
        given = {parameter.argument for parameter in (*operation.query, *operation.headers)}
        if operation.body is not None:
            given |= {"data"} if "multipart/form-data" not in operation.body.media_types else set()
        takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        assert takes_all or given <= parameters.keys(), name


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "no body"),
        (b"{", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b"NaN", "NaN is not JSON"),
        (b'{"name": "\\ud800", "organization_name": "emulator"}', "surrogate"),
        (b"[]", "is not of type 'object'"),
        (b'{"name": "p"}', "'organization_name' is a required property"),
        (b'{"name": 5, "organization_name": "emulator"}', "name: 5 is not of type 'string'"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_a_body_that_does_not_fit_is_400(
    http: urllib3.PoolManager, emulator: Emulator, body: bytes, problem: str
) -> None:
    headers = {"Authorization": emulator.token, "Content-Type": "application/json"}
    response = http.request("POST", f"{emulator.url}/projects", headers=headers, body=body)
    assert response.status == 400
    assert problem in response.json()["error"]


def test_another_media_type_is_415(http: urllib3.PoolManager, emulator: Emulator) -> None:
    headers = {"Authorization": emulator.token, "Content-Type": "text/csv"}
    response = http.request("POST", f"{emulator.url}/projects", headers=headers, body=b"a,b")
    assert response.status == 415
    assert response.json()["error"] == "The Content-Type must be application/json, not text/csv"


@pytest.mark.usefixtures("deployed")
def test_reset_forgets_everything(emulator: Emulator, project: TestProject) -> None:
    assert project.request({"x": 1.5}) == {"y": 3.0}
    project.api.projects_create({"name": "another", "organization_name": "emulator"})
    project.api.organizations_update("emulator", {"name": "mine"})
    emulator.reset()
    # All but what it was started with.
    assert [found.name for found in project.api.projects_list()] == ["lab"]
    assert project.api.deployments_list("lab") == []
    assert [organization.name for organization in project.api.organizations_list()] == ["emulator"]


def test_a_reset_forgets_what_a_data_directory_held(tmp_path: Path) -> None:
    for _ in range(2):
        with Emulator(data_dir=tmp_path) as emulator, emulator.client().api_client as client:
            api = ubiops.CoreApi(client)
            for name in ("first", "second"):
                api.projects_create({"name": name, "organization_name": "emulator"})
                emulator.reset()
                assert api.projects_list() == []
            api.projects_create({"name": "kept", "organization_name": "emulator"})
    with Emulator(data_dir=tmp_path) as emulator, emulator.client().api_client as client:
        assert [found.name for found in ubiops.CoreApi(client).projects_list()] == ["kept"]


def test_the_token_can_be_chosen() -> None:
    with Emulator(token="mine", project="lab") as emulator:
        assert emulator.token == "Token mine"
        api = emulator.client()
        with api.api_client:
            assert [project.name for project in api.projects_list()] == ["lab"]


def test_a_port_that_is_taken_is_an_error(emulator: Emulator) -> None:
    port = int(emulator.url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(OSError, match="in use"):
        Emulator(port=port)


def test_the_state_survives_in_a_data_directory(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            project = TestProject(api, "lab")
            project.deploy()
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            assert TestProject(api, "lab").request({"x": 2.0}) == {"y": 4.0}


def test_the_state_is_its_owners(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path / "data"):
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "data").glob("emulator.db*")}
    assert modes
    assert set(modes.values()) == {0o600}
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_an_error_of_the_database_shows_no_values(tmp_path: Path) -> None:
    store = Store(tmp_path / "emulator.db")
    try:
        with pytest.raises(IntegrityError) as failed, store.session() as session:
            session.add_all([User(id="1", email="s3cret", name="", surname="") for _ in range(2)])
        assert "s3cret" not in str(failed.value)
    finally:
        store.close()


def test_what_was_under_way_goes_on_after_a_restart(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    code = f"""
        class Deployment:
            def request(self, data):
                return {{"y": float(open({str(gate)!r}).read())}}
    """
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            project = TestProject(api, "lab")
            project.deploy(code)
            requests = api.batch_deployment_requests_create("lab", "model", [{"x": 1}])
            ids = [request.id for request in requests]
            wait_until(
                lambda: api.deployment_requests_get("lab", "model", ids[0]),
                lambda request: request.status == "processing",
            )
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        gate.write_text("7")
        api = emulator.client()
        with api.api_client:
            request = TestProject(api, "lab").finished(ids)[ids[0]]
    assert (request.status, request.result) == ("completed", {"y": 7.0})


def test_the_client_does_not_import_the_emulator() -> None:
    code = "import ubiops, sys; ubiops.CoreApi; print('ubiops.emulator' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "False"


def test_a_missing_dependency_is_named() -> None:
    missing = "sys.modules |= dict.fromkeys(['python_multipart', 'simpleeval', 'yaml'])"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; {missing}; import ubiops.emulator"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
    )
    assert result.stderr.splitlines()[-1] == (
        "ImportError: The emulator needs packages that are missing: pip install python-multipart simpleeval pyyaml"
    )


# As a process of its own


@contextlib.contextmanager
def emulator_process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], ubiops.CoreApi]]:
    command = [sys.executable, "-W", "error", "-m", "ubiops.emulator", "--project", "lab", *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        settings = dict(process.stdout.readline().strip().partition("=")[::2] for _ in range(2))
        assert "ready" in process.stdout.readline()
        configuration = ubiops.Configuration(
            settings["UBIOPS_API_HOST"], {"Authorization": settings["UBIOPS_API_TOKEN"].strip("'")}
        )
        with ubiops.ApiClient(configuration) as client:
            try:
                yield process, ubiops.CoreApi(client)
            finally:
                process.kill()


def is_alive(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


WITH_CHILD = """
    import os
    import subprocess

    class Deployment:
        def __init__(self):
            self.child = subprocess.Popen(["sleep", "600"])

        def request(self, data):
            return {"y": [os.getpid(), self.child.pid]}
"""


@contextlib.contextmanager
def no_process_left_behind(api: ubiops.CoreApi) -> Iterator[None]:
    """What ends the emulator in here must end the code that it runs, with what that has started."""
    TestProject(api, "lab").deploy(WITH_CHILD, output_fields=[{"name": "y", "data_type": "array_int"}])
    pids = api.deployment_requests_create("lab", "model", {"x": 1}).result["y"]
    assert all(is_alive(pid) for pid in pids)
    yield
    wait_until(lambda: [pid for pid in pids if is_alive(pid)], lambda alive: not alive)


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_a_killed_emulator_leaves_no_process_behind(tmp_path: Path) -> None:
    with emulator_process("--data-dir", str(tmp_path)) as (process, api), no_process_left_behind(api):
        process.kill()
        assert process.wait(30) == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_its_options_and_its_end(tmp_path: Path) -> None:
    with emulator_process("--data-dir", str(tmp_path), "--token", "mine") as (process, api):
        assert api.api_client.configuration.api_key["Authorization"] == "Token mine"
        with no_process_left_behind(api):
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        assert process.stderr is not None
        assert process.stderr.read() == ""
    with Emulator(data_dir=tmp_path) as emulator:
        again = emulator.client()
        with again.api_client:
            assert [deployment.name for deployment in again.deployments_list("lab")] == ["model"]


def test_a_form_that_is_broken_is_400(http: urllib3.PoolManager, emulator: Emulator, project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    headers = {"Authorization": emulator.token, "Content-Type": "multipart/form-data"}
    url = f"{emulator.url}/projects/lab/deployments/model/versions/v1/revisions"
    response = http.request("POST", url, headers=headers, body=make_zip({"deployment.py": ""}).read())
    assert response.status == 400
    assert json.loads(response.data)["error"].startswith("The form can't be read")


# As an object


def test_start_after_stop_serves_with_the_same_state(tmp_path: Path) -> None:
    emulator = Emulator(project="lab", data_dir=tmp_path)
    with pytest.raises(RuntimeError, match="isn't running"):
        emulator.reset()
    api = emulator.client()
    with api.api_client:
        emulator.start()
        TestProject(api, "lab").deploy()
        for _ in range(2):
            with pytest.raises(RuntimeError, match="already running"):
                emulator.start()
            emulator.stop()
            emulator.stop()
            with pytest.raises(ubiops.ApiConnectionError):
                api.service_status(_request_timeout=5)
            emulator.start()
            assert TestProject(api, "lab").request({"x": 4}) == {"y": 8}
        emulator.stop()
        with Emulator(data_dir=tmp_path), pytest.raises(OSError, match="Another emulator uses the data directory"):
            emulator.start()
        with emulator:
            assert TestProject(api, "lab").request({"x": 4}) == {"y": 8}
    with pytest.raises(RuntimeError, match="closed"):
        emulator.start()


def test_a_temporary_state_goes_with_the_object() -> None:
    emulator = Emulator()
    directory = Path(emulator._store._engine.url.database or "").parent
    emulator.start().stop()
    assert directory.is_dir()
    del emulator
    gc.collect()
    assert not directory.exists()


def test_the_port_is_kept_while_it_does_not_serve() -> None:
    emulator = Emulator()
    port = int(emulator.url.rpartition(":")[2].partition("/")[0])
    emulator.start().stop()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    assert Emulator().url != emulator.url


def test_the_name_of_the_project_is_checked_as_the_api_does() -> None:
    for name in ("", "Lab", "my lab", "l" * 65):
        with pytest.raises(ValueError, match=f"The project name '{name}' is not valid"):
            Emulator(project=name)
    with (
        kept_signals(),
        pytest.raises(SystemExit, match="The emulator can't start: The project name 'Lab' is not valid"),
    ):
        main(["--project", "Lab"])


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
def test_a_host_of_ipv6(tmp_path: Path) -> None:
    with Emulator(host="::1", project="lab") as emulator:
        assert emulator.url.startswith("http://[::1]:")
        api = emulator.client()
        with api.api_client:
            (tmp_path / "a").write_text("text")
            uri = ubiops.utils.upload_file(api, "lab", str(tmp_path / "a"))
            ubiops.utils.download_file(api, "lab", file_uri=uri, output_path=str(tmp_path / "b"))
    assert (tmp_path / "b").read_text() == "text"


def test_its_clients_use_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with Emulator(project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            assert [project.name for project in api.projects_list()] == ["lab"]


@pytest.mark.parametrize("freeze", [freezegun.freeze_time, partial(time_machine.travel, tick=False)])
def test_frozen_time_hangs_nothing_and_dates_follow_it(freeze: Any) -> None:
    with freeze("2031-05-06 07:08:09"):
        emulator = Emulator(project="lab").start()
        api = emulator.client()
        project = TestProject(api, "lab")
        project.deploy()
        assert project.request({"x": 1}) == {"y": 2}
        project.finished([request.id for request in api.batch_deployment_requests_create("lab", "model", [{"x": 1}])])
        assert str(api.deployments_get("lab", "model").creation_date) == "2031-05-06 07:08:09+00:00"
        # Waits for the event loop's clock, which goes on.
        emulator.faults.add(Fault(latency=0.2))
        api.service_status()
        emulator.stop()
        emulator.start()
    assert project.request({"x": 1}) == {"y": 2}
    with freeze("2032-01-01"):
        assert project.request({"x": 1}) == {"y": 2}
        emulator.stop()
    api.api_client.close()


def test_a_relative_data_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Emulator(data_dir="data", project="lab") as emulator:
        api = emulator.client()
        with api.api_client:
            project = TestProject(api, "lab")
            project.deploy()
            assert project.request({"x": 1}) == {"y": 2}
    assert (tmp_path / "data" / "emulator.db").is_file()


def test_it_runs_from_a_zipped_package(tmp_path: Path) -> None:
    library = tmp_path / "library.zip"
    with zipfile.ZipFile(library, "w") as archive:
        for file in (ROOT / "ubiops").rglob("*"):
            if file.suffix in (".py", ".json"):
                archive.write(file, file.relative_to(ROOT))
            compiled = Path(importlib.util.cache_from_source(file))
            if file.suffix == ".py" and compiled.is_file():
                # Without these, which a zip has in this place, all is compiled at each start.
                archive.write(compiled, file.relative_to(ROOT).with_suffix(".pyc"))
    program = """
        import sys, ubiops
        from ubiops import utils
        from ubiops.emulator import Emulator

        assert "library.zip" in ubiops.__file__
        with Emulator(project="lab") as emulator:
            api = emulator.client()
            api.deployments_create("lab", {"name": "model", "input_type": "plain", "output_type": "plain"})
            api.deployment_versions_create("lab", "model", {"version": "v1"})
            upload = api.revisions_file_upload("lab", "model", "v1", file=sys.argv[1])
            utils.wait_for_revision(api, "lab", "model", "v1", upload.revision)
            print(api.deployment_requests_create("lab", "model", "there").result)
            api.api_client.close()
    """
    code = """
        class Deployment:
            def request(self, data):
                return "hello " + data
    """
    package = tmp_path / "package.zip"
    package.write_bytes(make_zip({"deployment.py": code}).read())
    command = [sys.executable, "-c", textwrap.dedent(program), str(package)]
    environment = {**os.environ, "PYTHONPATH": str(library)}
    result = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.stdout == "hello there\n", result.stderr


def test_without_unix_processes_it_says_so() -> None:
    code = "import sys; sys.modules['fcntl'] = None; import ubiops.emulator"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, check=False)
    assert result.stderr.splitlines()[-1] == (
        "ImportError: The emulator runs on Linux, macOS and in WSL, not on this system (it needs fcntl)"
    )


@pytest.mark.parametrize("number", ["9223372036854775808", "-99999999999999999999", "1e3", "one"])
def test_an_integer_that_no_database_takes_is_400(
    http: urllib3.PoolManager, emulator: Emulator, project: TestProject, number: str
) -> None:
    response = get(http, emulator, f"/v2.1/projects/lab/audit?limit={number}")
    assert (response.status, response.json()["error"]) == (
        400,
        f"The query parameter 'limit' must be an integer, not '{number}'",
    )

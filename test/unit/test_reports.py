"""Reports that render the locals of every frame of an error show no credential and nothing that was sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer, silent

SECRETS = {
    "TOKEN": "Token t0ken-secret",
    "BODY": "b0dy-secret",
    "HEADER": "h3ader-secret",
    "SIGNATURE": "s1gnature-secret",
}

# The tests of a program, which fail. What is secret stands in no frame of its own.
PROGRAM = """
    import os

    import ubiops
    import ubiops.utils


    def api():
        configuration = ubiops.Configuration(os.environ["HOST"], {"Authorization": os.environ["TOKEN"]})
        configuration.retries = 0
        return ubiops.CoreApi(ubiops.ApiClient(configuration, cookie=os.environ["HEADER"]))


    def body():
        return {"secret": os.environ["BODY"], "x": [os.environ["BODY"]]}


    def test_refused_by_the_server():
        api().deployment_requests_create("p", "d", body())


    def test_refused_with_headers():
        api().deployments_get("p", "d", _headers={"X-Own": os.environ["HEADER"]})


    def test_low_level():
        api().api_client.call_api(
            "/x", "POST", {}, [], {"X-Own": os.environ["HEADER"]}, body=body(), auth_settings=["api_key"]
        )


    def test_in_a_thread():
        api().deployment_requests_create("p", "d", body(), async_req=True).get(30)


    def test_doors():
        class Client(ubiops.ApiClient):
            def request(self, *args, **kwargs):
                return super().request(*args, **kwargs)

        # A body would stand in the program's own frame.
        ubiops.CoreApi(Client(api().api_client.configuration)).service_status()


    def test_bad_input():
        api().project_environment_variables_create("p", {"name": 5, "value": os.environ["BODY"], "secret": True})


    def test_unknown_argument():
        api().project_environment_variables_create("p", {"value": os.environ["BODY"]}, valeu=os.environ["BODY"])


    def test_surplus_argument():
        api().project_environment_variables_create("p", {"value": os.environ["BODY"]}, os.environ["BODY"])


    def test_missing_argument():
        api().deployments_update(data={"description": os.environ["BODY"]})


    def test_upload():
        api().blobs_create("p", __file__)


    def test_missing_file():
        api().revisions_file_upload("p", "d", "v", file="/none/such.zip")


    def test_hook():
        def refresh(configuration):
            raise RuntimeError("the hook failed")

        one = api()
        one.api_client.configuration.refresh_api_key_hook = refresh
        one.deployment_requests_create("p", "d", body())


    def test_helper_upload():
        ubiops.utils.upload_file(api(), "p", __file__)


    def test_while_another_error_is_handled():
        try:
            raise ValueError("the program's own")
        except ValueError:
            api().deployment_requests_create("p", "d", body())
"""


def failing(tmp_path: Path, host: str, *options: str) -> str:
    """What pytest reports of a program's tests, all of which fail."""
    path = tmp_path / "test_program.py"
    path.write_text(textwrap.dedent(PROGRAM))
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", *options, str(path)]
    # Of pytest alone: loading the plugins that are installed takes longer than the tests.
    environment = {**os.environ, **SECRETS, "HOST": host, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment["PYTHONPATH"] = str(Path(ubiops.__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=100, check=False, cwd=tmp_path, env=environment
    )
    assert f"{PROGRAM.count('def test_')} failed" in done.stdout, done.stdout + done.stderr
    return done.stdout + done.stderr


def check(report: str) -> None:
    for name, secret in SECRETS.items():
        assert secret.rpartition(" ")[2] not in report, f"{name} in {report}"


@pytest.mark.parametrize(("kind", "options"), [("refused", []), ("unreachable", ["--showlocals", "-vv"])])
def test_pytest_shows_none(server: Server, tmp_path: Path, kind: str, options: list[str]) -> None:
    signed = f"{server.origin}/file?X-Goog-Signature={SECRETS['SIGNATURE']}"
    server.default = lambda request: (
        Answer.json({"url": signed})
        if request.method == "POST" and "/files/" in request.path
        else Answer.json({"error": "refused"}, 400)
    )
    host = server.url if kind == "refused" else "http://127.0.0.1:1/v2.1"
    report = failing(tmp_path, host, *options)
    check(report)
    # It shows where: the program's own frames, with the errors and what they came from.
    assert "refused" in report
    assert "the hook failed" in report
    assert "the program's own" in report
    assert "test_program.py" in report
    if kind == "refused" and sys.version_info >= (3, 11):
        # The helper came as far as the signed URL.
        assert "while calling PUT /file" in report


def shown(error: BaseException) -> str:
    """All that a crash reporter can read: types, text and the locals of every frame, through all causes."""
    return "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())


def failure(call: Callable[[], Any]) -> BaseException:
    with pytest.raises(ubiops.OpenApiException) as caught:
        call()
    frames = caught.tb
    # Without the frames of this test, which hold what is secret.
    while frames is not None and frames.tb_frame.f_globals["__name__"] == __name__:
        frames = frames.tb_next  # type: ignore[assignment]
    return caught.value.with_traceback(frames)


def calls(api: Any, path: Path) -> list[Callable[[], Any]]:
    secret = {"secret": SECRETS["BODY"]}
    return [
        lambda: api.deployment_requests_create("p", "d", secret, _request_timeout=0.2),
        lambda: api.deployment_requests_create("p", "d", SECRETS["BODY"], _request_timeout=0.2),
        lambda: api.deployment_requests_create("p", "d", secret, _request_timeout=0.2, async_req=True).get(30),
        lambda: api.api_client.call_api("/x", "POST", body=secret, auth_settings=["api_key"], _request_timeout=0.2),
        lambda: api.blobs_create("p", str(path), _request_timeout=0.2),
        lambda: api.deployment_requests_create("p", "d", {"secret": SECRETS["BODY"], "x": float("nan")}),
        lambda: api.deployments_update("p", "d", {"description": SECRETS["BODY"], "name": 5}),
    ]


@pytest.mark.parametrize("kind", ["refused", "silent", "closed", "unreachable"])
def test_the_frames_of_an_error_show_none(
    configuration: ubiops.Configuration, server: Server, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "file"
    path.write_text(SECRETS["BODY"])
    configuration.retries = 0
    configuration.api_key["Authorization"] = SECRETS["TOKEN"]
    with RawServer(silent) as quiet, ubiops.ApiClient(configuration) as client:
        server.default = Answer.json({"error": "refused"}, 400) if kind == "refused" else None
        configuration.host = {"silent": quiet.url, "unreachable": "http://127.0.0.1:1"}.get(kind, server.url)
        for call in calls(ubiops.CoreApi(client), path):
            text = shown(failure(call))
            check(text)
            # The causes are told, their frames are not.
            assert "urllib3/" not in text
            assert "http/client" not in text


def test_the_frames_of_a_helpers_error_show_no_body(api: Any, server: Server) -> None:
    def answer(request: Any) -> Answer:
        return Answer.json([]) if request.method == "GET" else Answer.json({"error": "refused"}, 400)

    server.default = answer
    text = shown(failure(lambda: ubiops.utils.upsert_environment_variables(api, "p", {"NAME": SECRETS["BODY"]})))
    assert "refused" in text
    check(text)


def test_with_debug_all_frames_are_there(configuration: ubiops.Configuration, server: Server) -> None:
    server.default = Answer.json({"error": "refused"}, 400)
    with ubiops.ApiClient(configuration) as client:
        short = shown(failure(lambda: ubiops.CoreApi(client).service_status()))
        configuration.debug = True
        try:
            long = shown(failure(lambda: ubiops.CoreApi(client).service_status()))
        finally:
            configuration.debug = False
    assert "rest.py" in long
    assert "rest.py" not in short


def test_the_context_that_a_program_handles_keeps_its_frames(api: Any, server: Server) -> None:
    server.default = Answer.json({"error": "refused"}, 400)

    def call() -> None:
        try:
            json.loads("[")
        except ValueError:
            api.service_status()

    text = shown(failure(call))
    assert "json/decoder.py" in text
    assert "ubiops/operation.py" not in text


def test_an_error_of_a_hook_keeps_the_hooks_frames(
    configuration: ubiops.Configuration, client: ubiops.ApiClient
) -> None:
    def refresh(configuration: ubiops.Configuration) -> None:
        raise RuntimeError("the hook failed")

    configuration.refresh_api_key_hook = refresh
    with pytest.raises(RuntimeError) as caught:
        ubiops.CoreApi(client).deployment_requests_create("p", "d", {"secret": SECRETS["BODY"]})
    names = [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert names[0] == "test_an_error_of_a_hook_keeps_the_hooks_frames"
    assert names[-1] == "refresh"
    assert len(names) == 3
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="notes came with Python 3.11")
def test_what_may_be_a_defect_says_how_to_see_its_frames(api: Any) -> None:
    # Stands for a defect: nothing checks it.
    api.api_client.default_headers = 5
    with pytest.raises(AttributeError) as caught:
        api.service_status()
    assert caught.value.__notes__ == ["The frames of the client are left out: configuration.debug = True keeps them"]  # type: ignore[attr-defined]

"""The emulator's own paths: health, reset, faults; and its lock on the data directory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.emulator.project import kept_signals, wait_until
from ubiops.emulator import Emulator, Fault
from ubiops.emulator.__main__ import main


@pytest.fixture(scope="module")
def _served() -> Iterator[Emulator]:
    # Its own: what faults do to answers is no conformance to the document.
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def emulator(_served: Emulator) -> Emulator:
    _served.reset()
    return _served


@pytest.fixture
def api(emulator: Emulator) -> Iterator[ubiops.CoreApi]:
    """A client that tries once, so that each fault is seen."""
    configuration = ubiops.Configuration(emulator.url, {"Authorization": emulator.token})
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client:
        yield ubiops.CoreApi(client)


def control(
    emulator: Emulator, method: str, name: str, body: Any = None, token: str | None = None
) -> urllib3.BaseHTTPResponse:
    url = emulator.url.replace("/v2.1", f"/_emulator/{name}")
    headers = {"Authorization": emulator.token if token is None else token}
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with urllib3.PoolManager() as http:
        return http.request(method, url, headers=headers, body=content, retries=False)


def test_health_needs_no_token(emulator: Emulator) -> None:
    response = control(emulator, "GET", "health", token="")
    assert (response.status, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize(("method", "name"), [("POST", "reset"), ("GET", "faults"), ("POST", "faults")])
def test_the_rest_needs_the_token(emulator: Emulator, method: str, name: str) -> None:
    response = control(emulator, method, name, token="Token wrong")
    assert response.status == 401
    assert "token" in response.json()["error"]


@pytest.mark.parametrize(
    ("method", "name", "allowed"), [("POST", "health", "GET"), ("GET", "reset", "POST"), ("PUT", "faults", "DELETE")]
)
def test_another_method_is_405(emulator: Emulator, method: str, name: str, allowed: str) -> None:
    response = control(emulator, method, name)
    assert response.status == 405
    assert allowed in response.json()["error"]


def test_reset_over_http(emulator: Emulator, api: ubiops.CoreApi) -> None:
    api.projects_create({"name": "lab", "organization_name": "emulator"})
    emulator.faults.add(Fault(status=500, times=1000, path="*/projects"))
    assert control(emulator, "POST", "reset").status == 204
    assert api.projects_list() == []


def test_a_status_for_the_next_requests(emulator: Emulator, api: ubiops.CoreApi) -> None:
    fault = {"method": "GET", "path": "/v2.1/projects", "times": 2, "status": 503, "retry_after": 7}
    response = control(emulator, "POST", "faults", fault)
    assert response.status == 201
    assert response.json().items() >= fault.items()
    for left in (1, 0):
        with pytest.raises(ubiops.ApiException, match="_emulator/faults") as caught:
            api.projects_list()
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"] == "7"  # type: ignore[index]
        assert [fault["times"] for fault in control(emulator, "GET", "faults").json()] == [left][:left]
    assert api.projects_list() == []


def test_a_status_without_retry_after(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(status=429))
    with pytest.raises(ubiops.ApiException) as caught:
        api.service_status()
    assert caught.value.status == 429
    assert "Retry-After" not in (caught.value.headers or {})


def test_what_is_refused_is_not_carried_out(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(method="POST", status=500))
    with pytest.raises(ubiops.ApiException):
        api.projects_create({"name": "lab", "organization_name": "emulator"})
    assert api.projects_list() == []


def test_only_what_matches_is_hit(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(method="DELETE", status=500))
    emulator.faults.add(Fault(path="/v2.1/projects/*/deployments", status=500))
    assert api.service_status().status == "ok"
    with pytest.raises(ubiops.exceptions.ServerError):
        api.deployments_list("lab")
    with pytest.raises(ubiops.exceptions.NotFoundError):
        api.deployments_list("lab")


def test_the_client_retries_a_fault_away(emulator: Emulator) -> None:
    api = emulator.client()
    emulator.faults.add(Fault(status=503, retry_after=0, times=2))
    with api.api_client:
        assert api.service_status().status == "ok"
    assert emulator.faults.left() == []


def test_latency(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(latency=0.3))
    start = time.monotonic()
    assert api.service_status().status == "ok"
    assert time.monotonic() - start >= 0.3


def test_latency_beyond_a_timeout(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(latency=30))
    with pytest.raises(ubiops.exceptions.ApiTimeoutError):
        api.service_status(_request_timeout=0.2)


def test_a_reset_drops_what_is_delayed(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(latency=3600))
    call: Any = api.service_status(_request_timeout=60, async_req=True)
    wait_until(emulator.faults.left, lambda left: not left)
    emulator.reset()
    with pytest.raises(ubiops.exceptions.ApiConnectionError) as caught:
        call.get()
    assert not isinstance(caught.value, ubiops.exceptions.ApiTimeoutError)


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dropped_connection(emulator: Emulator, api: ubiops.CoreApi, method: str) -> None:
    emulator.faults.add(Fault(method=method, drop=True))
    project = {"name": "lab", "organization_name": "emulator"}
    call: Callable[[], object] = api.service_status if method == "GET" else partial(api.projects_create, project)
    with pytest.raises(ubiops.exceptions.ApiConnectionError):
        call()
    assert api.projects_list() == []


def test_a_truncated_body(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(truncate=True))
    url = emulator.url + "/projects"
    with urllib3.PoolManager() as http:
        response = http.request(
            "GET", url, headers={"Authorization": emulator.token}, preload_content=False, retries=False
        )
        assert (response.status, response.headers["Content-Length"]) == (200, "2")
        with pytest.raises(urllib3.exceptions.ProtocolError):
            response.read()
    emulator.faults.add(Fault(truncate=True, method="POST"))
    with pytest.raises(ubiops.exceptions.ApiConnectionError):
        api.projects_create({"name": "lab", "organization_name": "emulator"})
    assert [project.name for project in api.projects_list()] == ["lab"]


def test_faults_are_taken_back(emulator: Emulator, api: ubiops.CoreApi) -> None:
    emulator.faults.add(Fault(status=500, times=10, path="/v2.1/*"))
    assert control(emulator, "DELETE", "faults").status == 204
    assert api.service_status().status == "ok"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"{", "Expecting"),
        ([], "is not of type 'object'"),
        ({}, "must have a latency, a status, drop or truncate"),
        ({"latenzy": 1}, "'latenzy' was unexpected"),
        ({"status": 200}, "status: 200 is not one of"),
        ({"status": 500, "times": 0}, "times: 0 is less than the minimum of 1"),
        ({"latency": -1}, "latency: -1 is less than the minimum of 0"),
        ({"method": "get", "drop": True}, "method: 'get' is not one of"),
        ({"drop": True, "truncate": True}, "can have only one of"),
        ({"drop": True, "retry_after": 1}, "must come with a status"),
    ],
)
def test_a_body_that_is_no_fault(emulator: Emulator, body: Any, problem: str) -> None:
    response = control(emulator, "POST", "faults", body)
    assert response.status == 400
    assert problem in response.json()["error"]


def test_a_fault_has_a_largest_size(emulator: Emulator) -> None:
    url = f"{emulator.url.rpartition('/')[0]}/_emulator/faults"
    headers = {"Authorization": emulator.token}
    with urllib3.PoolManager() as http:
        answer = http.request("POST", url, body=b" " * (2**20 + 1), headers=headers)
        assert (answer.status, answer.json()["error"][:29]) == (413, "The body is larger than 1 MiB")


def test_a_fault_made_in_python_is_checked_too() -> None:
    with pytest.raises(ValueError, match="status: 700 is not one of"):
        Fault(status=700)


def test_another_path_of_its_own_is_404(emulator: Emulator) -> None:
    response = control(emulator, "GET", "nothing")
    assert response.status == 404
    assert response.json()["error"]


# The lock


def test_a_second_emulator_on_a_data_directory_refuses(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path):
        with pytest.raises(OSError, match=f"Another emulator uses the data directory {tmp_path}"):
            Emulator(data_dir=tmp_path)
        problem = f"^The emulator can't start: Another emulator uses the data directory {tmp_path}$"
        with kept_signals(), pytest.raises(SystemExit, match=problem):
            main(["--data-dir", str(tmp_path)])
    with Emulator(data_dir=tmp_path):
        pass

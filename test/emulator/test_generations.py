"""Both paths of the API over one state, and what the older client's service didn't have. Over plain HTTP: the answers
are those that any client gets."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import urllib3

import ubiops
from test.emulator.log import write_log
from test.emulator.pipelines import make_line
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator

Call = Callable[..., Any]


class Caller:
    """Makes requests, to ``/v2.1`` unless the path says otherwise; gives the status and what the answer holds."""

    def __init__(self, emulator: Emulator, http: urllib3.PoolManager) -> None:
        self._base = emulator.url.rpartition("/")[0]
        self._headers = {"Authorization": emulator.token}
        self._http = http

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        url = self._base + (path if path.startswith("/v2/") else f"/v2.1/projects/lab{path}")
        options = {} if body is None else {"json": body}
        return self._http.request(method, url, headers={**self._headers, **headers}, **options)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        response = self.send(method, path, body, **headers)
        assert response.status < 300, response.data
        return response.json() if response.data else None

    def refused(self, status: int, method: str, path: str, body: Any = None) -> str:
        response = self.send(method, path, body)
        assert response.status == status, response.data
        return str(response.json()["error"])


@pytest.fixture
def call(emulator: Emulator) -> Iterator[Caller]:
    with urllib3.PoolManager() as http:
        yield Caller(emulator, http)


# The paths


def test_both_paths_have_one_state(emulator: Emulator, project: TestProject) -> None:
    project.create_deployment()
    newest = emulator.client(generation="4.15")
    with newest.api_client:
        assert newest.api_client.configuration.host.endswith("/v2")
        assert newest.deployments_get("lab", "model").name == "model"


def test_an_operation_of_the_other_path_is_404(project: TestProject, call: Caller) -> None:
    text = call.refused(404, "GET", "/v2/projects/lab/deployments/model/versions/v1/builds")
    assert text == "builds_list is not served at /v2, but at /v2.1"
    assert call.refused(404, "GET", "/events") == "project_events_list is not served at /v2.1, but at /v2"


def test_one_generation_alone(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"generation must be one of 3.12, 4.14, 4.15, not '5'"):
        Emulator(generation="5")
    with Emulator(generation="4.15", project="lab") as emulator:
        assert emulator.url.endswith("/v2")
        api = emulator.client()
        with api.api_client:
            assert [project.name for project in api.projects_list()] == ["lab"]


def test_an_operation_of_another_generation_is_404() -> None:
    with Emulator(generation="4.14", project="lab") as emulator, urllib3.PoolManager() as http:
        text = Caller(emulator, http).refused(404, "GET", "/blobs")
    assert text == "The service of the client 4.14 has no blobs_list"


@pytest.mark.usefixtures("deployed")
def test_the_answers_that_can_not_serve_all_follow_the_generation(project: TestProject, call: Caller) -> None:
    project.request({"x": 1})
    types = call("GET", "/instance-types")
    assert isinstance(types, list)
    newest = call("GET", "/instance-types", **{"User-Agent": "UbiOps/python/4.14.0"})
    assert (newest["next"], newest["previous"], len(newest["results"])) == (None, None, len(types))
    for older, newer in zip(types, newest["results"], strict=True):
        assert older | {"display_name": newer["display_name"]} == newer
    assert (types[0]["display_name"], newest["results"][0]["display_name"]) == ("256 MB", "256 MB + 0.0625 vCPU")
    first = call("GET", "/v2/projects/lab/instance-types?limit=3")
    second = call("GET", f"/v2/projects/lab/instance-types?limit=3&cursor={first['next']}")
    assert [*first["results"], *second["results"]] == newest["results"][:6]
    assert second["previous"] == "0"
    assert "cursor" in call.refused(400, "GET", "/v2/projects/lab/instance-types?cursor=x")
    assert isinstance(call("GET", "/usage"), list)
    usage = call("GET", "/v2/projects/lab/usage")
    [version] = usage["data_deployments"]
    assert (usage["interval"], version["deployment_name"], version["version"]) == ("month", "model", "v1")
    assert 0 < version["data"][0]["value"] == usage["data_project"][0]["value"]
    of_all = call("GET", "/v2/organizations/emulator/usage")
    assert of_all["data_projects"][0]["project_name"] == "lab"
    project.api.deployments_delete("lab", "model")
    usage = call("GET", "/v2/projects/lab/usage")
    assert usage["data_deployments"] == []
    assert usage["data_deleted_deployments"] == usage["data_project"]


def test_a_database_of_the_last_release_is_read_on(tmp_path: Path) -> None:
    with Emulator(data_dir=tmp_path, project="lab") as emulator, emulator.client().api_client as client:
        TestProject(ubiops.CoreApi(client), "lab").create_deployment()
    with sqlite3.connect(tmp_path / "emulator.db") as connection:
        # What was added since.
        for table in ("deployment_request", "pipeline_request"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN priority")
        connection.execute("ALTER TABLE project DROP COLUMN labels")
        connection.execute("ALTER TABLE organization_user DROP COLUMN join_date")
        connection.execute("DROP TABLE upload_part")
    connection.close()
    with Emulator(data_dir=tmp_path) as emulator, emulator.client().api_client as client:
        project = TestProject(ubiops.CoreApi(client), "lab")
        assert project.api.deployments_get("lab", "model").name == "model"
        project.deploy_version()
        assert project.request({"x": 1}) == {"y": 2}
        assert project.api.projects_get("lab").name == "lab"


# Requests


def test_urgent_requests_go_first(project: TestProject, call: Caller, tmp_path: Path, gated: Any) -> None:
    path = "/deployments/model/requests"
    [running] = call("POST", f"{path}/batch", [{"x": 0}])
    wait_until(lambda: call("GET", f"{path}/{running['id']}"), lambda found: found["status"] == "processing")
    [late] = call("POST", f"{path}/batch?priority=1", [{"x": 1}])
    [urgent] = call("POST", f"{path}/batch?priority=0", [{"x": 2}])
    for number in range(3):
        gated()
        wait_until(lambda: call("GET", f"{path}?status=completed"), lambda found, least=number + 1: len(found) >= least)  # type: ignore[misc]
    ended = {id: call("GET", f"{path}/{id}")["time_completed"] for id in (late["id"], urgent["id"])}
    assert ended[urgent["id"]] < ended[late["id"]]
    assert "priority: it must be 0" in call.refused(400, "POST", f"{path}/batch?priority=2", [{"x": 1}])


def test_many_requests_are_cancelled(project: TestProject, call: Caller, gated: Any) -> None:
    path = "/deployments/model/requests"
    running, second, third = call("POST", f"{path}/batch", [{"x": 0}] * 3)
    wait_until(lambda: call("GET", f"{path}/{running['id']}"), lambda found: found["status"] == "processing")
    assert call("POST", f"{path}/cancel?status=pending", []) == {}
    assert [call("GET", f"{path}/{item['id']}")["status"] for item in (second, third)] == ["cancelled"] * 2
    assert call("POST", "/deployments/model/versions/v1/requests/cancel", [running["id"]]) == {}
    wait_until(lambda: call("GET", f"{path}/{running['id']}"), lambda found: found["status"] == "cancelled")
    assert "Pass the ids" in call.refused(400, "POST", f"{path}/cancel", [])
    assert "not found" in call.refused(404, "POST", f"{path}/cancel", ["nothing"])


def test_pipeline_requests_are_cancelled_with_what_they_began(project: TestProject, call: Caller, gated: Any) -> None:
    make_line(project)
    path = "/pipelines/line/requests"
    made = one, two, three, _ = call("POST", f"{path}/batch", [{"x": 0}] * 4)
    wait_until(lambda: call("GET", "/deployments/model/requests"), lambda found: len(found) == 4)
    of_version = "/pipelines/line/versions/v1/requests"
    for of, item in ((path, one), (of_version, two)):
        assert call("PATCH", f"{of}/{item['id']}", {"status": "cancelled"}) == {}
    assert call("POST", f"{of_version}/cancel", [three["id"]]) == {}
    assert call("POST", f"{path}/cancel?status=processing", []) == {}
    for item in made:
        ended = wait_until(
            partial(call, "GET", f"{path}/{item['id']}"), lambda found: found["time_completed"] is not None
        )
        assert (ended["status"], ended["success"]) == ("cancelled", False)
        assert "cancelled" in call.refused(400, "PATCH", f"{path}/{item['id']}", {"status": "cancelled"})
    wait_until(
        lambda: call("GET", "/deployments/model/requests"),
        lambda found: {request["status"] for request in found} == {"cancelled"},
    )


@pytest.mark.usefixtures("deployed")
def test_input_and_output_are_files_too(project: TestProject, call: Caller) -> None:
    make_line(project)
    for path in [
        f"/{place}requests"
        for of in ("deployments/model", "pipelines/line")
        for place in (f"{of}/", f"{of}/versions/v1/")
    ]:
        id = call("POST", path, {"x": 4})["id"]
        assert call("GET", f"{path}/{id}/input") == {"x": 4}
        output = call.send("GET", f"{path}/{id}/output")
        assert (output.json(), output.headers["Content-Type"]) == ({"y": 8}, "application/octet-stream")
        assert f"{id}_output.json" in output.headers["Content-Disposition"]
    project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_mode": "metadata"})
    id = call("POST", "/deployments/model/requests", {"x": 4})["id"]
    assert "has no stored output" in call.refused(404, "GET", f"/deployments/model/requests/{id}/output")


@pytest.mark.usefixtures("deployed")
def test_requests_of_both_kinds_are_listed_together(project: TestProject, call: Caller) -> None:
    make_line(project)
    for path in ("/deployments/model/requests", "/pipelines/line/requests", "/deployments/model/requests"):
        call("POST", path, {"x": 4})
    found = call("GET", "/requests")
    assert [item["deployment"] or item["pipeline"] for item in found] == ["model", "model", "line", "model"]
    assert call("GET", "/requests?limit=2&offset=1") == found[1:3]
    assert call("GET", "/requests?sort=asc") == found[::-1]


# Files


def test_a_file_is_uploaded_in_parts(project: TestProject, call: Caller, emulator: Emulator) -> None:
    path = "/buckets/default/files/dir%2Fbig"
    upload = call("POST", f"{path}/start-multipart-upload", {})
    parts = []
    with urllib3.PoolManager() as http:
        for number, content in ((2, b"wrong"), (1, b"first "), (2, b"second")):
            url = call("POST", f"{path}?upload_id={upload['upload_id']}&part_number={number}")["url"]
            answer = http.request("PUT", url, body=content)
            assert answer.status == 200
            parts.append({"PartNumber": str(number), "ETag": answer.headers["ETag"]})
        body = {"upload_id": upload["upload_id"], "parts": [parts[1], parts[0]]}
        assert "ETag of the part 2" in call.refused(400, "POST", f"{path}/complete-multipart-upload", body)
        assert "the part '3' was not uploaded" in call.refused(
            400, "POST", f"{path}/complete-multipart-upload", {**body, "parts": [{"PartNumber": "3"}]}
        )
        body["parts"] = [parts[1], parts[2]]
        assert call("POST", f"{path}/complete-multipart-upload", body) == upload
        url = call("GET", f"{path}/download")["url"]
        assert http.request("GET", url).data == b"first second"
        assert call.refused(404, "POST", f"{path}/complete-multipart-upload", body)
    # Nothing is left of the part that was replaced.
    assert len(list(emulator._engine.storage.path("x").parent.iterdir())) == 1


def test_parts_go_with_their_bucket(project: TestProject, call: Caller, emulator: Emulator) -> None:
    upload = call("POST", "/buckets/default/files/a/start-multipart-upload", {})
    url = call("POST", f"/buckets/default/files/a?upload_id={upload['upload_id']}&part_number=1")["url"]
    with urllib3.PoolManager() as http:
        assert http.request("PUT", url, body=b"part").status == 200
        project.api.buckets_delete("lab", "default")
        assert http.request("PUT", url, body=b"part").status == 404
    contents = emulator._engine.storage.path("x").parent
    assert list(contents.iterdir()) == []


# Logs


def test_logs_by_query(emulator: Emulator, project: TestProject, call: Caller) -> None:
    code = """
        import sys

        class Deployment:
            def request(self, data):
                print(f"took {data['x']} s")
                print("a timeout (5%)", file=sys.stderr)
                return {"y": 1}
    """
    project.deploy(code)
    request = call("POST", "/deployments/model/requests", {"x": 1})
    call("POST", "/deployments/model/requests", {"x": 2})

    def found(query: str, **window: str) -> list[str]:
        fields = {"query": query, **window}
        return [line["log"] for line in call("GET", f"/logs?{urlencode(fields)}")]

    own = f"| deployment_request_id = `{request['id']}`"
    assert found(own) == ["took 1 s", "a timeout (5%)"]
    assert found("|= `took`") == ["took 1 s", "took 2 s"]
    assert found("|= `(5%)` != `2`") == ["a timeout (5%)"] * 2
    assert found("|~ `took [2-9] s$`") == ["took 2 s"]
    assert found(f"{own} !~ `^took`") == ["a timeout (5%)"]
    # By steps back it would take longer than anybody waits.
    write_log(emulator, [(datetime.now(timezone.utc), "a" * 10_000)])
    assert found("|~ `(a+)+$`") == ["a" * 10_000]
    assert found("|~ `(a+)+b$`") == []
    assert found(f"{own} and level = `error`") == ["a timeout (5%)"]
    assert found("| system != `true` and deployment_name = `model` and level = `info`") == ["took 1 s", "took 2 s"]
    start, end = datetime.now(timezone.utc) - timedelta(hours=1), datetime.now(timezone.utc) + timedelta(hours=1)
    window = {"start": end.isoformat(), "end": start.isoformat()}
    assert found("|= `took`", **window) == ["took 2 s", "took 1 s"]
    window = {"start": str(int(start.timestamp() * 1e9)), "end": str(int(end.timestamp() * 1e9))}
    assert found("|= `took`", limit="1", **window) == ["took 1 s"]
    [line] = call("GET", "/logs?limit=1&query=%7C%3D+%60took%60")
    assert datetime.fromtimestamp(line["timestamp"] / 1e9, timezone.utc) == datetime.fromisoformat(
        line["timestamp_str"]
    )
    assert line["metadata"]["deployment_version"] == "v1"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("query=|= `open", "can't be read"),
        ("query=| nothing = `a`", "there is no label 'nothing'"),
        ("query=|~ `(`", "not a regular expression"),
        (r"query=|~ `(a)\1`", "not a regular expression: invalid escape sequence"),
        ("limit=0", "limit: it must be from 1 to 5000"),
        ("start=2023-01-01", "pass both"),
        ("start=yesterday&end=2023-01-01", "start: 'yesterday' is not a date"),
    ],
)
def test_logs_that_can_not_be_asked_for(project: TestProject, call: Caller, query: str, problem: str) -> None:
    assert problem in call.refused(400, "GET", f"/logs?{query}")


# Projects


@pytest.mark.usefixtures("deployed")
def test_everything_is_exported(project: TestProject, call: Caller) -> None:
    make_line(project)
    project.api.project_environment_variables_create("lab", {"name": "A", "value": "1", "secret": False})
    for packages in ("true", "false"):
        export = call("POST", f"/exports?all=true&packages={packages}", {})
        done = wait_until(
            partial(call, "GET", f"/exports/{export['id']}"), lambda found: found["status"] in ("completed", "failed")
        )
        assert ("zip" in done["deployments"]["model"]["versions"]["v1"]) == (packages == "true")
        assert list(done["pipelines"]["line"]["versions"]) == ["v1"]
        assert done["environment_variables"]["A"]["value"] == "1"


def test_projects_have_labels(project: TestProject, call: Caller) -> None:
    assert call("PATCH", "", {"labels": {"team": "grid"}})["labels"] == {"team": "grid"}
    named = call("GET", "/v2/projects?labels=team:grid")
    assert [found["name"] for found in named] == ["lab"]
    assert call("GET", "/v2/projects?labels=team:other") == []


def test_who_i_am_what_is_limited_and_what_a_voucher_is(project: TestProject, call: Caller) -> None:
    user = call("GET", "/v2/user")
    assert (user["email"], user["authentication"], user["surname"]) == ("admin@emulator.local", "token", "-")
    assert {quota["quota"] for quota in call("GET", "/quotas")} == {None}
    assert "voucher 'FREE' was not found" in call.refused(404, "GET", "/v2/vouchers/FREE")

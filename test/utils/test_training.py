"""`ubiops.Training`: experiments and runs, over a server of the tests that keeps deployments, versions and requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.training.constants import DEFAULT_TRAINING_DEPLOYMENT_NAME
from ubiops.training.training import Training

BASE = "training-base-deployment"
DETAILS = {"name": BASE, "input_type": "structured", "output_type": "structured", "input_fields": []}


class Service(Server):
    """A project of a service with the template for training."""

    def __init__(self) -> None:
        super().__init__()
        self.default = self._serve
        self.deployment: dict[str, Any] | None = None
        self.versions: dict[str, dict[str, Any]] = {}
        self.variables: dict[str, list[dict[str, Any]]] = {}
        self.uploads: list[bytes] = []
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.refuse_upload = False

    def _serve(self, request: Recorded) -> Answer:
        method, segments = request.method, request.segments
        if segments[0] == "storage":
            self.files["/".join(segments[1:])] = request.body
            return Answer(200)
        if segments[0] == "template-deployments":
            others = {"id": "t0", "details": {"name": "other"}}
            return Answer.json([others, {"id": "t1", "details": DETAILS}])
        assert segments[:2] == ["projects", "lab"]
        match method, segments[2:]:
            case "POST", ["buckets", bucket, "files", file]:
                return Answer.json({"url": f"{self.url}/storage/{bucket}/{file}", "provider": "ubiops", "file": file})
            case "POST", ["deployments"]:
                self.deployment = request.json
                return Answer.json(request.json, 201)
            case "GET", ["deployments", name] if self.deployment:
                return Answer.json({**self.deployment, "name": name})
            case _, ["deployments", name, "versions", *rest] if name == BASE:
                return self._serve_versions(request, method, rest)
        return Answer.json({"error": "Deployment was not found"}, 404)

    def _serve_versions(self, request: Recorded, method: str, rest: list[str]) -> Answer:
        if not rest and method == "POST":
            made = {"id": "v", "status": "unavailable", "creation_date": "2026-01-01T00:00:00+00:00", **request.json}
            self.versions[made["version"]] = made
            self.variables[made["version"]] = []
            return Answer.json(made, 201)
        if not rest:
            return Answer.json(list(self.versions.values()))
        name, *rest = rest
        if name not in self.versions:
            return Answer.json({"error": f"Deployment version was not found: '{name}'"}, 404)
        match method, rest:
            case "GET", []:
                return Answer.json(self.versions[name])
            case "PATCH", []:
                changed = {**self.versions.pop(name), **request.json}
                self.versions[changed["version"]] = changed
                self.variables[changed["version"]] = self.variables.pop(name)
                return Answer.json(changed)
            case "DELETE", []:
                del self.versions[name]
                return Answer.json({})
            case "POST", ["revisions"]:
                if self.refuse_upload:
                    return Answer.json({"error": "The version can't be built"}, 400)
                self.uploads.append(request.body)
                return Answer.json({"revision": "r", "build": "b"}, 201)
            case _, ["environment-variables", *rest]:
                return self._serve_variables(request, method, self.variables[name], rest)
            case _, ["requests", *rest]:
                return self._serve_runs(request, method, name, rest)
        raise AssertionError((method, rest))

    @staticmethod
    def _serve_variables(request: Recorded, method: str, kept: list[dict[str, Any]], rest: list[str]) -> Answer:
        if method == "POST":
            kept.append({"id": f"e{len(kept)}", **request.json})
            return Answer.json(kept[-1], 201)
        if not rest:
            return Answer.json(kept)
        one = next(variable for variable in kept if variable["id"] == rest[0])
        if method == "PATCH":
            one.update(request.json)
        if method == "DELETE":
            kept.remove(one)
        return Answer.json(one)

    def _serve_runs(self, request: Recorded, method: str, version: str, rest: list[str]) -> Answer:
        if rest == ["batch"]:
            (data,) = request.json
            run = {"id": f"q{len(self.runs)}", "version": version, "deployment": BASE, "status": "pending"}
            self.runs[run["id"]] = {**run, "time_created": "2026-01-01T00:00:00+00:00", "request_data": data}
            return Answer.json([self.runs[run["id"]]])
        if not rest:
            return Answer.json([{**run, "request_data": None} for run in self.runs.values()])
        if rest[0] not in self.runs:
            return Answer.json({"error": "Deployment request was not found"}, 404)
        if method == "PATCH":
            self.runs[rest[0]].update(request.json)
        if method == "DELETE":
            del self.runs[rest[0]]
            return Answer.json({})
        return Answer.json(self.runs[rest[0]])


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def training(service: Service) -> Iterator[Training]:
    configuration = ubiops.Configuration(host=service.url, api_key={"Authorization": "Token abc"})
    with ubiops.ApiClient(configuration) as client:
        yield ubiops.Training(client)


@pytest.fixture
def experiment(training: Training) -> Any:
    training.initialize("lab")
    data = ubiops.ExperimentCreate(name="exp", environment_name="py", environment_tag="v1", default_bucket="models")
    return training.experiments_create("lab", data)


def test_a_project_is_prepared_once(service: Service, training: Training) -> None:
    training.initialize("lab")
    training.initialize("lab")
    assert service.deployment is not None
    assert service.deployment["name"] == DEFAULT_TRAINING_DEPLOYMENT_NAME == BASE
    assert [request.method for request in service.requests] == ["GET", "GET", "POST", "GET"]


def test_an_experiment_is_a_version_with_the_template_s_code(service: Service, experiment: Any) -> None:
    assert type(experiment) is ubiops.ExperimentList
    assert isinstance(experiment, ubiops.DeploymentVersionList)
    assert (experiment.name, experiment.environment_name, experiment.environment_tag) == ("exp", "py", "v1")
    made = service.versions["exp"]
    assert {"name", "default_bucket", "language"}.isdisjoint(made)
    assert made["request_retention_mode"] == "full"
    assert [(one["name"], one["value"]) for one in service.variables["exp"]] == [("SYS_DEFAULT_BUCKET", "models")]
    (upload,) = service.uploads
    assert b'name="template_deployment_id"\r\n\r\nt1\r\n' in upload


def test_experiments_are_read_changed_and_deleted(service: Service, training: Training, experiment: Any) -> None:
    found = training.experiments_get("lab", "exp")
    assert type(found) is ubiops.ExperimentDetail
    assert isinstance(found, ubiops.DeploymentVersionDetail)
    assert (found.id, found.name, found.default_bucket, found.creation_date.year) == ("v", "exp", "models", 2026)  # type: ignore[union-attr]
    (listed,) = training.experiments_list("lab", labels="a:b")
    assert (type(listed), listed.name) == (ubiops.ExperimentList, "exp")
    assert service.last.query == {"labels": "a:b"}
    changed = training.experiments_update("lab", "exp", {"name": "new", "default_bucket": "other"})
    assert (type(changed), changed.name, changed.default_bucket) == (ubiops.ExperimentDetail, "new", "other")
    assert len(service.variables["new"]) == 1
    assert training.experiments_delete("lab", "new") is None
    assert service.versions == {}


def test_an_experiment_that_can_t_get_its_code_is_taken_back(service: Service, training: Training) -> None:
    training.initialize("lab")
    service.refuse_upload = True
    with pytest.raises(ubiops.exceptions.BadRequestError, match="The experiment can't be built"):
        training.experiments_create("lab", {"name": "exp", "environment": "python3-11"})
    assert service.versions == {}


def test_a_run_is_a_request_with_uploaded_files(
    service: Service, training: Training, experiment: Any, tmp_path: Path
) -> None:
    code = tmp_path / "train.py"
    code.write_text("def train(training_data, parameters, context): return {}")
    data = ubiops.ExperimentRunCreate(
        name="first", training_code=str(code), training_data="ubiops-file://default/cars.csv", parameters={"a": [1]}
    )
    service.answers = []
    files_get = {"file": "cars.csv", "size": 1}
    serve = service._serve
    service.default = lambda request: (
        Answer.json(files_get) if request.method == "GET" and request.path.endswith("cars.csv") else serve(request)
    )
    run = training.experiment_runs_create("lab", "exp", data, timeout=14400)
    assert type(run) is ubiops.ExperimentRunCreateResponse
    assert isinstance(run, ubiops.DeploymentRequestBatchCreateResponse)
    assert (run.id, run.experiment, run.status) == ("q0", "exp", "pending")
    assert service.last.query == {"timeout": "14400"}
    sent = service.runs["q0"]["request_data"]
    assert re.fullmatch("ubiops-file://models/experiments/exp/runs/[0-9a-f-]{36}/code/train.py", sent["training_code"])
    assert service.files[sent["training_code"].removeprefix("ubiops-file://")] == code.read_bytes()
    assert {key: value for key, value in sent.items() if key != "training_code"} == {
        "name": "first",
        "training_data": "ubiops-file://default/cars.csv",
        "parameters": {"a": [1]},
    }


def test_runs_are_read_stopped_and_deleted(service: Service, training: Training, experiment: Any) -> None:
    service.runs["q0"] = {
        "id": "q0",
        "version": "exp",
        "status": "processing",
        "time_created": "2026-01-01T00:00:00+00:00",
        "request_data": {"name": "first"},
    }
    found = training.experiment_runs_get("lab", "exp", "q0")
    assert (type(found), found.experiment, found.request_data) == (ubiops.ExperimentRunDetail, "exp", {"name": "first"})
    assert isinstance(found, ubiops.DeploymentRequestDetail)
    (listed,) = training.experiment_runs_list("lab", "exp", limit=5)
    assert (type(listed), listed.id, listed.experiment) == (ubiops.ExperimentRunList, "q0", "exp")
    training.experiment_runs_update("lab", "exp", "q0", ubiops.ExperimentRunUpdate(status="cancelled"))
    assert service.runs["q0"]["status"] == "cancelled"
    assert training.experiment_runs_delete("lab", "exp", "q0") is None
    assert service.runs == {}


def test_environment_variables_of_an_experiment(service: Service, training: Training, experiment: Any) -> None:
    made = training.experiment_environment_variables_create("lab", "exp", {"name": "A", "value": "1", "secret": False})
    assert type(made) is ubiops.EnvironmentVariableList
    assert made.id is not None
    assert training.experiment_environment_variables_get("lab", "exp", made.id).value == "1"
    training.experiment_environment_variables_update(
        "lab", "exp", made.id, {"name": "A", "value": "2", "secret": False}
    )
    values = {one.name: one.value for one in training.experiment_environment_variables_list("lab", "exp")}
    assert values == {"SYS_DEFAULT_BUCKET": "models", "A": "2"}
    training.experiment_environment_variables_delete("lab", "exp", made.id)
    assert [one["name"] for one in service.variables["exp"]] == ["SYS_DEFAULT_BUCKET"]


def test_errors_say_experiment_and_run(training: Training, experiment: Any) -> None:
    with pytest.raises(ubiops.exceptions.NotFoundError, match="Error: Experiment was not found: 'my-version'"):
        training.experiments_get("lab", "my-version")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="Error: Run was not found"):
        training.experiment_runs_get("lab", "exp", "q9")
    other = ubiops.ApiException(500, "no JSON", None, body="version")
    assert Training.wrap_exception(other).body == "version"
    kept = ubiops.ApiException(400, "", None, body=json.dumps({"error": "'my version' is no version", "code": 3}))
    assert json.loads(str(Training.wrap_exception(kept).body)) == {"error": "'my version' is no experiment", "code": 3}


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda training: training.experiments_create("lab", {"environment": "a"}), "`data.name`"),
        (lambda training: training.experiments_create("lab", "exp"), "expected ExperimentCreate or dict, got str"),
        (
            lambda training: training.experiments_create(
                "lab", {"name": "a", "environment": "b", "environment_name": "c"}
            ),
            "environment",
        ),
        (lambda training: training.experiment_runs_create("lab", "exp", {"name": "a"}), "`data.training_code`"),
        (lambda training: training.experiments_list("lab", async_req=True), "`async_req`"),
    ],
)
def test_bad_input_is_refused_before_anything_is_sent(
    service: Service, training: Training, call: Any, problem: str
) -> None:
    with pytest.raises((ubiops.ApiValueError, ubiops.ApiTypeError), match=problem):
        call(training)
    assert service.requests == []

"""Training against the emulator: as a tutorial has it, from the data to a deployment of the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject, make_zip
from ubiops.utils import deploy, download_file, wait_for_experiment, wait_for_experiment_run

TRAIN = """
import csv
import json

def train(training_data, parameters, context):
    with open(training_data) as file:
        rows = [(float(row["area"]), float(row["price"])) for row in csv.DictReader(file)]
    rows = rows[: parameters["rows"]]
    mean_x, mean_y = (sum(column) / len(rows) for column in zip(*rows))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in rows) / sum((x - mean_x) ** 2 for x, _ in rows)
    with open("model.json", "w") as file:
        json.dump({"slope": slope, "intercept": mean_y - slope * mean_x}, file)
    print("trained on", len(rows), "rows")
    return {"artifact": "model.json", "metrics": {"slope": slope}, "metadata": {"run": context["id"]}}
"""

SERVE = """
import json
import os

class Deployment:
    def __init__(self, base_directory, context):
        with open(os.path.join(base_directory, "model.json")) as file:
            self.model = json.load(file)

    def request(self, data):
        return {"price": self.model["slope"] * data["area"] + self.model["intercept"]}
"""


@pytest.fixture
def training(project: TestProject) -> ubiops.Training:
    training = ubiops.Training(project.api.api_client)
    training.initialize("lab")
    # It does nothing where the deployment is there.
    training.initialize("lab")
    return training


Run = Callable[..., Any]


@pytest.fixture
def run(training: ubiops.Training, project: TestProject, tmp_path: Path) -> Run:
    """Runs code in an experiment; returns the run when it has ended."""
    training.experiments_create("lab", {"name": "first", "instance_type": "512mb"})
    wait_for_experiment(project.api, "lab", "first", quiet=True)

    def start(code: str | bytes, **fields: Any) -> Any:
        path = tmp_path / ("code.zip" if isinstance(code, bytes) else "code.py")
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        run = training.experiment_runs_create("lab", "first", {"name": "run", "training_code": str(path), **fields})
        try:
            return wait_for_experiment_run(project.api, "lab", "first", run.id, quiet=True)
        except ubiops.utils.RequestFailed:
            return training.experiment_runs_get("lab", "first", run.id)

    return start


def test_train_and_deploy(project: TestProject, training: ubiops.Training, tmp_path: Path) -> None:
    api, folder = project.api, tmp_path / "work"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "prices.csv").write_text("area,price\n50,200\n100,350\n150,500\n1000,1\n")

    # An experiment, with a bucket of its own, and a run of it.
    api.buckets_create("lab", {"name": "models", "provider": "ubiops"})
    variable = {"name": "SYS_DEFAULT_BUCKET", "value": "default", "secret": False}
    inherited = api.project_environment_variables_create("lab", variable)
    experiment = training.experiments_create("lab", {"name": "prices", "default_bucket": "models"})
    assert experiment.name == "prices"
    assert api.project_environment_variables_get("lab", inherited.id).value == "default"
    wait_for_experiment(api, "lab", "prices", quiet=True)
    run = training.experiment_runs_create(
        "lab",
        "prices",
        {
            "name": "all-but-one",
            "training_code": str(folder / "train.py"),
            "training_data": str(folder / "prices.csv"),
            "parameters": {"rows": 3},
        },
        timeout=14400,
    )
    finished = wait_for_experiment_run(api, "lab", "prices", run.id, quiet=True)
    assert finished.result["metrics"] == {"slope": 3.0}
    assert finished.result["metadata"] == {"run": run.id}
    uri = finished.result["artifact"]
    assert uri == f"ubiops-file://models/deployment_requests/{run.id}/output/model.json"
    assert [one.id for one in training.experiment_runs_list("lab", "prices")] == [run.id]
    assert project.log(deployment_request_id=run.id) == ["trained on 3 rows"]

    # The model goes into a package of its own.
    package = folder / "deployment_package"
    package.mkdir()
    (package / "deployment.py").write_text(SERVE)
    shutil.move(download_file(api, "lab", file_uri=uri, output_path=str(folder)), package / "model.json")
    deploy(
        api,
        "lab",
        package,
        "prices",
        input_fields=[{"name": "area", "data_type": "double"}],
        output_fields=[{"name": "price", "data_type": "double"}],
        quiet=True,
    )
    assert api.deployment_requests_create("lab", "prices", {"area": 70}).result == {"price": 260}


def test_code_may_be_a_zip_and_return_several_files(run: Run, project: TestProject, tmp_path: Path) -> None:
    files = {
        "code/train.py": """
            from pathlib import Path
            from helper import NAMES

            def train(training_data, parameters, context):
                assert training_data is None and parameters == {}
                for name in NAMES:
                    Path(name).write_text(name)
                return {"additional_output_files": NAMES}
        """,
        "code/helper.py": 'NAMES = ["a.txt", "b.txt"]',
    }
    result = run(make_zip(files).read()).result
    assert result.keys() == {"additional_output_files"}
    for uri, name in zip(result["additional_output_files"], ("a.txt", "b.txt"), strict=True):
        assert Path(download_file(project.api, "lab", file_uri=uri, output_path=str(tmp_path))).read_text() == name


def test_each_run_has_its_own_code_and_leaves_no_folder_to_the_next(run: Run) -> None:
    before = "."
    for number in (1, 2):
        code = f"""
import os

def train(training_data, parameters, context):
    there = os.path.exists(parameters["before"])
    return {{"metrics": {{"number": {number}}}, "metadata": {{"folder": os.getcwd(), "before": there}}}}
"""
        result = run(code, parameters={"before": before}).result
        assert result["metrics"] == {"number": number}
        assert result["metadata"]["before"] is (number == 1)
        before = result["metadata"]["folder"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("def train(a, b, c): raise ValueError('no data')", "ValueError: no data"),
        ("def train(a, b, c): return 3", "train must return a dictionary of artifact, metadata"),
        ("def train(a, b, c): return {'model': 3}", "train returned model; the outputs are artifact"),
        ("", "no attribute 'train'"),
    ],
)
def test_a_run_that_fails_says_why_in_its_log(run: Run, project: TestProject, code: str, problem: str) -> None:
    failed = run(code)
    assert failed.status == "failed"
    assert [line for line in project.log(deployment_request_id=failed.id) if problem in line]


def test_a_template_that_is_not_there(project: TestProject) -> None:
    [template] = project.api.template_deployments_list()
    assert template.details["name"] == "training-base-deployment"
    project.create_deployment()
    project.create_version()
    with pytest.raises(ubiops.exceptions.NotFoundError, match="The template 'none' was not found"):
        project.api.revisions_file_upload("lab", "model", "v1", template_deployment_id="none")

"""Deployments."""

from __future__ import annotations

from typing import Any

import pytest
import urllib3

import ubiops
from test.emulator.project import TestProject

PLAIN: dict[str, Any] = {"input_type": "plain", "output_type": "plain", "input_fields": [], "output_fields": []}


def test_a_deployment_is_created_and_read(project: TestProject) -> None:
    widget = {"type": "slider", "configuration": {"min": 0, "max": 10}}
    created = project.create_deployment(
        input_fields=[{"name": "x", "data_type": "double", "widget": widget}], labels={"team": "grid"}, description="D"
    )
    detail = project.api.deployments_get("lab", "model")
    assert (detail.id, detail.name, detail.project) == (created.id, "model", "lab")
    assert (detail.description, detail.labels) == ("D", {"team": "grid"})
    assert detail.input_fields[0].to_dict() == {"name": "x", "data_type": "double", "widget": widget}
    assert detail.output_fields[0].to_dict()["data_type"] == "double"
    assert detail.creation_date == detail.last_updated == created.creation_date
    assert detail.creation_date.utcoffset() is not None
    assert detail.default_version is None


def test_plain_data_has_no_fields(project: TestProject) -> None:
    created = project.create_deployment(**PLAIN)
    assert (created.input_fields, created.output_fields) == ([], [])
    with pytest.raises(ubiops.exceptions.BadRequestError, match="input_fields: plain data has no fields"):
        project.create_deployment("other", **PLAIN | {"input_fields": [{"name": "x", "data_type": "int"}]})


@pytest.mark.parametrize("returned", ["None", "{}"])
def test_structured_data_may_have_no_fields(project: TestProject, returned: str) -> None:
    code = f"""
        class Deployment:
            def request(self, data):
                print(data)
                return {returned}
    """
    project.deploy(code, input_fields=[], output_fields=[])
    assert project.request({}) == ({} if returned == "{}" else None)
    url = f"{project.api.api_client.configuration.host}/projects/lab/deployments/model/requests"
    with urllib3.PoolManager(headers=project.api.api_client.configuration.api_key) as http:
        for body in (b"null", b"[{}, null]"):
            assert http.request("POST", url, body=body, headers=http.headers).status == 201
        refused = http.request("POST", url, json={"x": 1}, headers=http.headers)
    assert refused.json()["error"] == "The input has the unknown field 'x'; it has no fields"
    assert project.log() == ["{}", "None", "{}", "None"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"input_fields": [{"name": "a", "data_type": "int"}] * 2}, "'a' occurs more than once"),
        ({"input_fields": [{"name": "a b", "data_type": "int"}]}, "field name 'a b' is not valid"),
        ({"input_fields": [{"name": "a", "data_type": "color"}]}, r"input_fields\[0\].data_type: 'color'"),
        ({"input_type": "curly"}, "input_type: 'curly' is not one of"),
        ({"name": "Model"}, "deployment name 'Model' is not valid"),
        ({"description": "d" * 401}, "description: it must have at most 400 characters, not 401"),
        ({"labels": {"a": 1}}, "labels.a: 1 is not of type 'string'"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, settings: dict[str, Any], problem: str) -> None:
    project.api.api_client.client_side_validation = False
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        project.create_deployment(**settings)
    assert project.api.deployments_list("lab") == []


def test_a_name_is_taken_once_in_a_project(project: TestProject) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.ConflictError, match="named 'model' exists already in the project 'lab'"):
        project.create_deployment()
    project.api.projects_create({"name": "other", "organization_name": "emulator"})
    assert TestProject(project.api, "other").create_deployment().project == "other"


def test_the_label_filter_wants_one_of_its_labels(project: TestProject) -> None:
    project.create_deployment("a", labels={"team": "grid", "stage": "live"})
    project.create_deployment("b", labels={"team": "gas"})
    project.create_deployment("c")

    def names(labels: str) -> list[str | None]:
        return [deployment.name for deployment in project.api.deployments_list("lab", labels=labels)]

    assert names("team:grid") == ["a"]
    assert names("team:gas,stage:live") == ["a", "b"]
    assert names("team:oil") == []
    assert names("") == ["a", "b", "c"]
    with pytest.raises(ubiops.exceptions.BadRequestError, match="'team' must be of the form key:value"):
        names("team")


def test_the_list_counts_versions_and_leaves_widgets_out(project: TestProject) -> None:
    project.create_deployment()
    project.create_version("v1")
    project.create_version("v2")
    [deployment] = project.api.deployments_list("lab")
    assert deployment.number_of_versions == 2
    assert deployment.input_fields[0].to_dict() == {"name": "x", "data_type": "double"}


def test_an_update_changes_what_it_gives(project: TestProject) -> None:
    created = project.create_deployment(labels={"a": "1"}, description="old")
    updated = project.api.deployments_update("lab", "model", {"name": "renamed", "labels": {"b": "2"}})
    assert (updated.name, updated.labels, updated.description) == ("renamed", {"b": "2"}, "old")
    assert updated.creation_date == created.creation_date
    assert updated.last_updated >= created.last_updated
    cleared = project.api.deployments_update("lab", "renamed", {"labels": ubiops.NULL, "description": ""})
    assert (cleared.labels, cleared.description) == ({}, "")
    fields = [{"name": "z", "data_type": "int"}]
    assert project.api.deployments_update("lab", "renamed", {"input_fields": fields}).input_fields[0].name == "z"


def test_an_update_keeps_names_apart(project: TestProject) -> None:
    project.create_deployment("a")
    project.create_deployment("b")
    with pytest.raises(ubiops.exceptions.ConflictError, match="named 'b' exists already"):
        project.api.deployments_update("lab", "a", {"name": "b"})
    assert project.api.deployments_update("lab", "a", {"name": "a"}).name == "a"


def test_only_an_available_version_becomes_the_default(project: TestProject) -> None:
    project.deploy(version="v1")
    project.create_version("v2")
    with pytest.raises(ubiops.exceptions.BadRequestError, match="Default cannot be set to an unavailable version"):
        project.api.deployments_update("lab", "model", {"default_version": "v2"})
    with pytest.raises(ubiops.exceptions.NotFoundError, match="Deployment version was not found"):
        project.api.deployments_update("lab", "model", {"default_version": "v3"})
    project.deploy_version(version="v4")
    assert project.api.deployments_update("lab", "model", {"default_version": "v4"}).default_version == "v4"


@pytest.mark.usefixtures("deployed")
def test_a_deleted_deployment_is_gone(project: TestProject) -> None:
    project.api.deployments_delete("lab", "model")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="deployment 'model' was not found in the project 'lab'"):
        project.api.deployments_get("lab", "model")
    assert project.create_deployment().name == "model"

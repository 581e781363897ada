"""Pipelines, their versions, objects and attachments."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from test.emulator.pipelines import X, Y, attach, deployment, make_line, make_pipeline, operator
from test.emulator.project import TestProject
from ubiops.exceptions import ApiException


def refused(status: int) -> Any:
    return pytest.raises(ApiException, match=rf"\({status}\)")


# Pipelines


def test_a_pipeline_is_created_read_listed_and_deleted(project: TestProject) -> None:
    fields = [{"name": "x", "data_type": "int", "widget": {"type": "slider", "configuration": {"min": 0}}}]
    created = project.api.pipelines_create(
        "lab",
        {
            "name": "line",
            "description": "of two",
            "input_type": "structured",
            "input_fields": fields,
            "output_type": "plain",
            "labels": {"stage": "test"},
        },
    )
    assert (created.name, created.project, created.output_fields) == ("line", "lab", [])
    assert created.input_fields[0].widget.type == "slider"
    read = project.api.pipelines_get("lab", "line")
    assert read.default_version is None
    assert [pipeline.name for pipeline in project.api.pipelines_list("lab", labels="stage:test,a:b")] == ["line"]
    assert project.api.pipelines_list("lab", labels="stage:live") == []
    project.api.pipelines_delete("lab", "line")
    with refused(404):
        project.api.pipelines_get("lab", "line")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"name": "Line"}, 400),
        ({"name": "taken"}, 409),
        ({"input_type": "plain"}, 400),
        ({"input_fields": [*X, *X]}, 400),
        ({"description": "d" * 401}, 400),
    ],
)
def test_invalid_pipelines_are_refused(project: TestProject, change: dict[str, Any], status: int) -> None:
    data = {"name": "line", "input_type": "structured", "input_fields": X, "output_type": "plain"}
    project.api.pipelines_create("lab", {**data, "name": "taken"})
    with refused(status):
        project.api.pipelines_create("lab", {**data, **change})


def test_the_output_type_is_required(project: TestProject) -> None:
    with pytest.raises(ApiException, match="output_type"):
        project.api.pipelines_create("lab", {"name": "line", "input_type": "plain"})


def test_structured_pipelines_may_have_no_fields(project: TestProject) -> None:
    make_pipeline(project, input_fields=[], output_fields=[])
    assert project.api.pipelines_get("lab", "line").input_fields == []


def test_a_pipeline_is_updated(project: TestProject) -> None:
    make_pipeline(project)
    project.api.pipeline_versions_create("lab", "line", {"version": "v2"})
    changed = project.api.pipelines_update(
        "lab", "line", {"name": "route", "default_version": "v2", "labels": {"a": "b"}, "description": "new"}
    )
    assert (changed.name, changed.default_version, changed.labels) == ("route", "v2", {"a": "b"})
    assert changed.input_fields[0].name == "x"
    with refused(404):
        project.api.pipelines_update("lab", "route", {"default_version": "v3"})


def test_the_type_of_the_input_can_change(project: TestProject) -> None:
    make_pipeline(project)
    plain = project.api.pipelines_update("lab", "line", {"input_type": "plain"})
    assert (plain.input_type, plain.input_fields) == ("plain", [])
    with refused(400):
        project.api.pipelines_update("lab", "line", {"input_fields": X})
    structured = project.api.pipelines_update("lab", "line", {"input_type": "structured", "input_fields": Y})
    assert [field.name for field in structured.input_fields] == ["y"]
    assert project.api.pipelines_update("lab", "line", {"input_fields": []}).input_fields == []


def test_attachments_lose_fields_that_a_pipeline_loses(project: TestProject) -> None:
    project.create_deployment()
    make_line(project)
    project.api.pipelines_update("lab", "line", {"input_fields": Y})
    attachments = project.api.pipeline_versions_get("lab", "line", "v1").attachments
    assert [attachment.sources[0].mapping != [] for attachment in attachments] == [False, True]


# Versions


def test_the_first_version_becomes_default(project: TestProject) -> None:
    version = make_pipeline(project)
    project.api.pipeline_versions_create("lab", "line", {"version": "v2", "labels": {"a": "b"}})
    assert version.request_retention_time == 604800
    assert version.request_retention_mode == "full"
    assert project.api.pipelines_get("lab", "line").default_version == "v1"
    assert [found.version for found in project.api.pipeline_versions_list("lab", "line")] == ["v1", "v2"]
    assert [found.version for found in project.api.pipeline_versions_list("lab", "line", labels="a:b")] == ["v2"]


def test_a_version_is_updated_and_deleted(project: TestProject) -> None:
    make_pipeline(project)
    changed = project.api.pipeline_versions_update(
        "lab",
        "line",
        "v1",
        {"version": "v2", "description": "new", "request_retention_mode": "metadata", "request_retention_time": 60},
    )
    assert (changed.version, changed.description) == ("v2", "new")
    assert (changed.request_retention_mode, changed.request_retention_time) == ("metadata", 60)
    project.api.pipeline_versions_delete("lab", "line", "v2")
    assert project.api.pipelines_get("lab", "line").default_version is None
    with refused(404):
        project.api.pipeline_versions_get("lab", "line", "v2")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"version": "V 1"}, 400),
        ({"version": "v1"}, 409),
        ({"request_retention_time": 2419201}, 400),
        ({"monitoring": "nobody"}, 400),
        ({"default_notification_group": "nobody"}, 400),
    ],
)
def test_invalid_versions_are_refused(project: TestProject, change: dict[str, Any], status: int) -> None:
    make_pipeline(project)
    with refused(status):
        project.api.pipeline_versions_create("lab", "line", {"version": "v2", **change})


def test_monitoring_is_set_and_nulled(project: TestProject) -> None:
    contacts = [{"type": "email", "configuration": {"email_address": "ana@example.com"}}]
    project.api.notification_groups_create("lab", {"name": "team", "contacts": contacts})
    version = make_pipeline(project, settings={"monitoring": "team"})
    assert version.monitoring == "team"
    changed = project.api.pipeline_versions_update("lab", "line", "v1", {"monitoring": ubiops.NULL})
    assert changed.monitoring is None


# Objects


def test_objects_show_what_they_refer_to(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    version = make_pipeline(
        project,
        [
            deployment("free"),
            deployment("fixed", version="v1"),
            operator("add", "function", expression="x + 1", input_fields=X, output_fields=[{**X[0], "name": "output"}]),
        ],
    )
    shown = {item.name: item for item in version.objects}
    assert [shown[name].version for name in ("free", "fixed", "add")] == [None, "v1", None]
    assert [shown[name].reference_type for name in ("free", "add")] == ["deployment", "operator"]
    assert shown["free"].reference_name == "model"
    assert shown["free"].input_fields[0].name == "x"
    assert shown["add"].output_fields[0].name == "output"
    project.api.deployments_update("lab", "model", {"name": "engine"})
    again = project.api.pipeline_versions_get("lab", "line", "v1")
    assert again.objects[0].reference_name == "engine"


OUTPUT = [{"name": "output", "data_type": "double"}]
COUNT = [{"name": "n", "data_type": "int"}]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"name": "pipeline_start", "reference_name": "model"}, "reserved"),
        ({"name": "Free", "reference_name": "model"}, "not valid"),
        (operator("op", "loop"), "no operator"),
        ({**operator("op", "raise-error", error_message="no"), "version": "v1"}, "no version"),
        (operator("op", "function", input_fields=X, output_fields=OUTPUT), "needs expression"),
        (operator("op", "function", expression="x +", input_fields=X, output_fields=OUTPUT), "not a Python expression"),
        (operator("op", "function", expression="x", input_fields=X, output_fields=Y), "named output"),
        (operator("op", "if-condition", expression="x", input_fields=X, output_fields=Y), "among"),
        (operator("op", "raise-error"), "error_message"),
        (operator("op", "raise-error", error_message="no", input_fields=X), "no fields"),
        (operator("op", "one-to-many", input_fields=X, output_fields=Y), "the same"),
        (operator("op", "one-to-many", batch_size=0, input_fields=X, output_fields=X), "batch_size"),
        (operator("op", "many-to-one", input_fields=X, output_fields=Y), "the same"),
        (operator("op", "count-many", output_fields=X), "of type int"),
        (operator("op", "count-many", input_fields=X, output_fields=COUNT), "no input_fields"),
        (operator("op", "pipeline-variable", output_fields=X), "output_values"),
        (
            operator("op", "pipeline-variable", output_fields=X, output_values=[{"name": "x", "value": "high"}]),
            "must be of type double",
        ),
        (
            operator("op", "pipeline-variable", output_fields=X, output_values=[{"name": [], "value": 1}]),
            "output_values",
        ),
        (operator("op", "many-to-one", input_fields=[{"name": "x"}]), "data_type"),
        (operator("op", "many-to-one", input_fields="x"), "must be a list"),
    ],
)
def test_invalid_objects_are_refused(project: TestProject, item: dict[str, Any], words: str) -> None:
    project.create_deployment()
    with pytest.raises(ApiException, match=words) as caught:
        make_pipeline(project, [item])
    assert caught.value.status == 400


def test_objects_refer_to_what_is_there(project: TestProject) -> None:
    project.create_deployment()
    for number, item in enumerate([deployment("a", "nothing"), deployment("a", version="v9")]):
        with refused(404):
            make_pipeline(project, [item], name=f"line-{number}")


def test_names_of_objects_are_unique(project: TestProject) -> None:
    project.create_deployment()
    with pytest.raises(ApiException, match="more than once"):
        make_pipeline(project, [deployment("a"), deployment("a")])


def test_a_pipeline_does_not_run_itself(project: TestProject) -> None:
    make_pipeline(project, name="inner")
    outer = {"name": "object", "reference_name": "inner", "reference_type": "pipeline"}
    make_pipeline(project, [outer], name="outer")
    body = {"objects": [{**outer, "reference_name": "outer"}]}
    with pytest.raises(ApiException, match="would run itself"):
        project.api.pipeline_versions_update("lab", "inner", "v1", body)
    assert project.api.pipeline_versions_get("lab", "inner", "v1").objects == []


def test_what_was_read_can_be_sent_back(project: TestProject) -> None:
    project.create_deployment()
    before = make_line(project).to_dict()
    update = {key: before[key] for key in ("version", "objects", "attachments", "monitoring", "description")}
    after = project.api.pipeline_versions_update("lab", "line", "v1", update).to_dict()
    assert after["objects"] == before["objects"]
    assert [a["sources"] for a in after["attachments"]] == [b["sources"] for b in before["attachments"]]


def test_objects_and_attachments_are_removed_with_null_or_an_empty_list(project: TestProject) -> None:
    project.create_deployment()
    make_line(project)
    project.api.api_client.client_side_validation = False
    version = project.api.pipeline_versions_update("lab", "line", "v1", {"attachments": None})
    assert (len(version.objects), version.attachments) == (1, [])
    version = project.api.pipeline_versions_update("lab", "line", "v1", {"objects": []})
    assert version.objects == []


def test_attachments_go_with_their_objects(project: TestProject) -> None:
    project.create_deployment()
    make_line(project)
    assert project.api.pipeline_versions_update("lab", "line", "v1", {"objects": []}).attachments == []


# Attachments


@pytest.mark.parametrize(
    ("attachments", "words"),
    [
        ([attach("nothing", {"pipeline_start": {}})], "no object 'nothing'"),
        ([attach("a", {"nothing": {}})], "no object 'nothing'"),
        ([attach("pipeline_start", {"a": {}})], "can't be a destination"),
        ([attach("a", {"pipeline_end": {}})], "can't be a source"),
        ([attach("a", {})], "no sources"),
        ([attach("a", {"pipeline_start": {"z": "x"}})], "no field 'z'"),
        ([attach("a", {"pipeline_start": {"x": "z"}})], "no field 'z'"),
        ([attach("a", {"pipeline_start": {"x": "x"}, "b": {"y": "x"}})], "fed more than once"),
        ([attach("a", {"b": {"y": "x"}}), attach("b", {"a": {"y": "x"}})], "circle"),
        ([attach("c", {"pipeline_start": {"x": "s"}})], "of type double"),
        ([attach("p", {"pipeline_start": {"x": "s"}})], "plain data has no fields"),
    ],
)
def test_invalid_attachments_are_refused(project: TestProject, attachments: list[dict[str, Any]], words: str) -> None:
    project.create_deployment()
    project.create_deployment("text", input_fields=[{"name": "s", "data_type": "string"}])
    project.create_deployment("plain", input_type="plain", input_fields=[])
    objects = [deployment("a"), deployment("b"), deployment("c", "text"), deployment("p", "plain")]
    with pytest.raises(ApiException, match=words) as caught:
        make_pipeline(project, objects, attachments)
    assert caught.value.status == 400


# What pipelines refer to


def test_what_a_pipeline_refers_to_is_not_deleted(project: TestProject) -> None:
    project.create_deployment()
    for version in ("v1", "v2", "v3"):
        project.create_version(version)
    make_pipeline(project, [deployment("free"), deployment("fixed", version="v2")])
    for delete in (
        lambda: project.api.deployments_delete("lab", "model"),
        lambda: project.api.deployment_versions_delete("lab", "model", "v1"),
        lambda: project.api.deployment_versions_delete("lab", "model", "v2"),
    ):
        with pytest.raises(ApiException, match="'v1' of the pipeline 'line'") as caught:
            delete()
        assert caught.value.status == 400
    project.api.deployment_versions_delete("lab", "model", "v3")
    project.api.pipelines_delete("lab", "line")
    project.api.deployments_delete("lab", "model")


def test_a_pipeline_within_another_is_not_deleted(project: TestProject) -> None:
    make_pipeline(project, name="inner")
    make_pipeline(project, [{"name": "a", "reference_name": "inner", "reference_type": "pipeline"}], name="outer")
    with refused(400):
        project.api.pipelines_delete("lab", "inner")
    with refused(400):
        project.api.pipeline_versions_delete("lab", "inner", "v1")
    project.api.pipelines_delete("lab", "outer")
    project.api.pipelines_delete("lab", "inner")


def test_attachments_follow_a_field_of_their_deployment(project: TestProject) -> None:
    project.create_deployment()
    make_line(project)
    project.api.deployments_update("lab", "model", {"input_fields": [{"name": "z", "data_type": "double"}]})
    attachments = project.api.pipeline_versions_get("lab", "line", "v1").attachments
    mapping = attachments[0].sources[0].mapping[0]
    assert (mapping.source_field_name, mapping.destination_field_name) == ("x", "z")
    fields = [{"name": "z", "data_type": "int"}, {"name": "w", "data_type": "int"}]
    with pytest.raises(ApiException, match="one at a time"):
        project.api.deployments_update("lab", "model", {"input_fields": fields})


def test_a_project_goes_with_its_pipelines(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    make_pipeline(project, [deployment("a", version="v1")])
    project.api.projects_delete("lab")
    with refused(404):
        project.api.pipelines_list("lab")


# Variables and events


def test_the_variables_of_an_object(project: TestProject) -> None:
    project.create_deployment()
    project.create_version()
    make_pipeline(project, [deployment("a"), operator("stop", "raise-error", error_message="no")])
    variable = {"value": "1", "secret": False}
    project.api.project_environment_variables_create("lab", {"name": "OF_PROJECT", **variable})
    project.api.deployment_environment_variables_create("lab", "model", {"name": "OF_DEPLOYMENT", **variable})
    project.api.deployment_version_environment_variables_create(
        "lab", "model", "v1", {"name": "OF_VERSION", "value": "1", "secret": True}
    )
    listed = project.api.pipeline_version_object_environment_variables_list("lab", "a", "line", "v1")
    assert [(item.name, item.value, item.inheritance_type, item.inheritance_name) for item in listed] == [
        ("OF_DEPLOYMENT", "1", "deployment", "model"),
        ("OF_PROJECT", "1", "project", "lab"),
        ("OF_VERSION", None, "version", "v1"),
    ]
    assert project.api.pipeline_version_object_environment_variables_list("lab", "stop", "line", "v1") == []
    with refused(404):
        project.api.pipeline_version_object_environment_variables_list("lab", "b", "line", "v1")


def test_changes_are_audited(project: TestProject) -> None:
    make_pipeline(project)
    project.api.pipelines_update("lab", "line", {"name": "route"})
    events = project.api.pipeline_audit_events_list("lab", "route")
    assert sorted((event.action, event.event) for event in events) == [
        ("create", "Created pipeline line"),
        ("create", "Created version v1 for pipeline line"),
        ("update", "Updated pipeline line: name changed from line to route"),
    ]

"""Environment variables: three levels, inheritance, secrets, copies, and what the code sees of them."""

from __future__ import annotations

from typing import Any

import pytest

import ubiops
from test.emulator.project import TestProject

SHOW = """
    import os
    import sys

    class Deployment:
        def __init__(self, context):
            self.variables = context["environment_variables"]

        def request(self, data):
            print("the value is", os.environ.get(data["x"]))
            print("again", os.environ.get(data["x"]), file=sys.stderr)
            return {"y": [os.environ.get(data["x"], "-"), self.variables.get(data["x"], "-")]}
"""
STRINGS: dict[str, Any] = {
    "input_fields": [{"name": "x", "data_type": "string"}],
    "output_fields": [{"name": "y", "data_type": "array_string"}],
}


def variable(name: str, value: str, *, secret: bool = False) -> dict[str, Any]:
    return {"name": name, "value": value, "secret": secret}


def levels(project: TestProject) -> list[tuple[Any, ...]]:
    """The methods of each level, and the path arguments that go with them."""
    api = project.api
    return [
        ("project_environment_variables", (api, "lab")),
        ("deployment_environment_variables", (api, "lab", "model")),
        ("deployment_version_environment_variables", (api, "lab", "model", "v1")),
    ]


def call(level: tuple[Any, ...], verb: str, *arguments: Any) -> Any:
    prefix, (api, *path) = level
    return getattr(api, f"{prefix}_{verb}")(*path, *arguments)


@pytest.fixture
def built(project: TestProject) -> TestProject:
    project.create_deployment(**STRINGS)
    project.create_version("v1")
    return project


def version_variables(project: TestProject) -> dict[str | None, tuple[str | None, str | None, str | None]]:
    listed = project.api.deployment_version_environment_variables_list("lab", "model", "v1")
    return {found.name: (found.value, found.inheritance_type, found.inheritance_name) for found in listed}


@pytest.mark.parametrize("index", range(3))
def test_each_level_keeps_its_own(built: TestProject, index: int) -> None:
    level = levels(built)[index]
    created = call(level, "create", variable("REGION", "north"))
    assert (created.name, created.value, created.secret) == ("REGION", "north", False)
    assert [found.id for found in call(level, "list")] == [created.id]

    def by_id(verb: str, *arguments: Any) -> Any:
        prefix, (api, *path) = level
        return getattr(api, f"{prefix}_{verb}")(*path[:2], created.id, *path[2:], *arguments)

    assert by_id("get") == created
    assert by_id("update", variable("ZONE", "")).value == ""
    by_id("delete")
    assert call(level, "list") == []
    with pytest.raises(ubiops.exceptions.NotFoundError, match=f"variable '{created.id}' was not found"):
        by_id("get")


@pytest.mark.parametrize("index", range(3))
def test_a_name_is_taken_once_on_each_level(built: TestProject, index: int) -> None:
    for level in levels(built):
        call(level, "create", variable("REGION", "north"))
    with pytest.raises(ubiops.exceptions.ConflictError, match="named 'REGION' exists already"):
        call(levels(built)[index], "create", variable("REGION", "south"))


@pytest.mark.parametrize("name", ["A-B", "A B", "É"])
def test_a_name_has_letters_digits_and_underscores(built: TestProject, name: str) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match="letters, digits and underscores"):
        built.api.project_environment_variables_create("lab", variable(name, "1"))
    for good in ("_A", "A_", "A1", "1"):
        assert built.api.project_environment_variables_create("lab", variable(good, "1")).name == good


def test_a_value_is_required(built: TestProject) -> None:
    with pytest.raises(ubiops.exceptions.BadRequestError, match="value: it is required"):
        built.api.project_environment_variables_create("lab", {"name": "A", "secret": False})


def test_the_nearest_level_wins(built: TestProject) -> None:
    of_project, of_deployment, of_version = levels(built)
    for name in ("A", "B", "C"):
        call(of_project, "create", variable(name, "project"))
    for name in ("B", "C"):
        call(of_deployment, "create", variable(name, "deployment"))
    shadow = call(of_version, "create", variable("C", "version"))
    assert version_variables(built) == {
        "A": ("project", "project", "lab"),
        "B": ("deployment", "deployment", "model"),
        "C": ("version", None, None),
    }
    inherited = built.api.deployment_environment_variables_list("lab", "model")
    assert [found.inheritance_type for found in inherited] == ["project", None, None]
    built.api.deployment_version_environment_variables_delete("lab", "model", shadow.id, "v1")
    assert version_variables(built)["C"] == ("deployment", "deployment", "model")


def test_an_inherited_variable_is_not_changed_from_below(built: TestProject) -> None:
    created = built.api.project_environment_variables_create("lab", variable("A", "1"))
    with pytest.raises(ubiops.exceptions.NotFoundError, match="among those of 'model' itself"):
        built.api.deployment_environment_variables_update("lab", "model", created.id, variable("A", "2"))


def test_a_secret_stays_one_and_is_never_shown(built: TestProject) -> None:
    created = built.api.deployment_environment_variables_create("lab", "model", variable("KEY", "s3cret", secret=True))
    assert created.value is None
    assert built.api.deployment_environment_variables_get("lab", "model", created.id).value is None
    assert version_variables(built) == {"KEY": (None, "deployment", "model")}
    with pytest.raises(ubiops.exceptions.BadRequestError, match="a secret variable stays secret"):
        built.api.deployment_environment_variables_update("lab", "model", created.id, variable("KEY", "x"))


def test_a_copy_overwrites_what_has_the_same_name(built: TestProject) -> None:
    built.create_deployment("source")
    built.create_version("v1", "source")
    api = built.api
    api.deployment_environment_variables_create("lab", "source", variable("A", "of the deployment"))
    api.deployment_version_environment_variables_create("lab", "source", "v1", variable("B", "of v1", secret=True))
    api.deployment_environment_variables_create("lab", "model", variable("A", "old"))
    api.deployment_environment_variables_create("lab", "model", variable("C", "stays"))

    [copied] = api.deployment_environment_variables_copy("lab", "model", {"source_deployment": "source"})
    assert (copied.name, copied.value, copied.inheritance_type) == ("A", "of the deployment", None)
    source = {"source_deployment": "source", "source_version": "v1"}
    [secret] = api.deployment_version_environment_variables_copy("lab", "model", "v1", source)
    assert (secret.name, secret.value, secret.secret) == ("B", None, True)
    assert version_variables(built) == {
        "A": ("of the deployment", "deployment", "model"),
        "B": (None, None, None),
        "C": ("stays", "deployment", "model"),
    }
    with pytest.raises(ubiops.exceptions.NotFoundError, match="deployment 'nothing' was not found"):
        api.deployment_environment_variables_copy("lab", "model", {"source_deployment": "nothing"})


def test_the_code_sees_variables_and_their_changes(project: TestProject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "of this process")
    project.deploy(SHOW, **STRINGS)
    created = project.api.project_environment_variables_create("lab", variable("REGION", "north"))
    assert project.request({"x": "REGION"}) == {"y": ["north", "north"]}
    project.api.project_environment_variables_update("lab", created.id, variable("REGION", "south"))
    assert project.request({"x": "REGION"}) == {"y": ["south", "south"]}
    assert project.request({"x": "OUTSIDE"}) == {"y": ["-", "-"]}


def test_a_secret_does_not_reach_the_log(project: TestProject) -> None:
    project.deploy(SHOW, **STRINGS)
    project.api.project_environment_variables_create("lab", variable("KEY", "s3cret", secret=True))
    assert project.request({"x": "KEY"}) == {"y": ["s3cret", "s3cret"]}
    assert sorted(project.log()) == ["again ***", "the value is ***"]


def test_no_part_of_a_secret_reaches_the_log(project: TestProject) -> None:
    project.deploy(SHOW, **STRINGS)
    key = "-----BEGIN KEY-----\nMIIEpA==\n}\n-----END KEY-----"
    for name, value in (("A", "s3cret"), ("B", "s3cret-and-more"), ("KEY", key)):
        project.api.project_environment_variables_create("lab", variable(name, value, secret=True))
    assert project.request({"x": "B"}) == {"y": ["s3cret-and-more"] * 2}
    assert sorted(project.log()) == ["again ***", "the value is ***"]
    assert project.request({"x": "KEY"}) == {"y": [key] * 2}
    # A line that tells nothing stays as it is.
    assert sorted(project.log()) == ["***"] * 4 + ["again ***"] * 2 + ["the value is ***"] * 2 + ["}"] * 2

"""Setting many environment variables at once."""

from __future__ import annotations

import pickle
from functools import partial
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.project import DOUBLE, TestProject
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.exceptions import (
    ApiConnectionError,
    ApiTypeError,
    ApiValueError,
    ForbiddenError,
    NotFoundError,
    ServerError,
)
from ubiops.utils import UpsertFailed, upsert_environment_variables


class Writing(ubiops.CoreApi):
    """Remembers which variables were written."""

    def __init__(self, api: ubiops.CoreApi) -> None:
        super().__init__(api.api_client)
        self.written: list[tuple[str, str]] = []

    def project_environment_variables_create(self, *args: Any, **options: Any) -> Any:
        self.written.append(("create", options["data"]["name"]))
        return super().project_environment_variables_create(*args, **options)

    def project_environment_variables_update(self, *args: Any, **options: Any) -> Any:
        self.written.append(("update", options["data"]["name"]))
        return super().project_environment_variables_update(*args, **options)


def values(variables: Any) -> dict[str, Any]:
    return {variable.name: (variable.value, variable.secret) for variable in variables}


def test_only_what_differs_is_written(project: TestProject) -> None:
    api = Writing(project.api)
    first = upsert_environment_variables(api, "lab", {"B": "1", "A": "2", "EMPTY": ""})
    assert [(one.name, one.value, one.secret) for one in first] == [
        ("B", "1", False),
        ("A", "2", False),
        ("EMPTY", "", False),
    ]
    assert [type(one) for one in first] == [ubiops.EnvironmentVariableList] * 3
    api.written.clear()
    second = upsert_environment_variables(api, "lab", {"A": "3", "B": "1", "C": "4", "EMPTY": ""})
    assert api.written == [("update", "A"), ("create", "C")]
    assert [one.name for one in second] == ["A", "B", "C", "EMPTY"]
    assert second[1] == first[0]
    assert upsert_environment_variables(api, "lab", {"D": "5"})[0].value == "5"
    assert values(project.api.project_environment_variables_list("lab")) == {
        "A": ("3", False),
        "B": ("1", False),
        "C": ("4", False),
        "D": ("5", False),
        "EMPTY": ("", False),
    }


def test_secret_values_are_always_sent_and_stay_secret(project: TestProject) -> None:
    project.deploy("""
        import os

        class Deployment:
            def request(self, data):
                return {"y": float(os.environ["PASSWORD"])}
    """)
    api = Writing(project.api)
    secret = [{"name": "PASSWORD", "value": "1", "secret": True}]
    [created] = upsert_environment_variables(api, "lab", secret)
    assert (created.value, created.secret) == (None, True)
    assert project.request({"x": 0}) == {"y": 1}
    upsert_environment_variables(api, "lab", secret)
    [updated] = upsert_environment_variables(api, "lab", {"PASSWORD": "2"})
    assert api.written == [("create", "PASSWORD"), ("update", "PASSWORD"), ("update", "PASSWORD")]
    assert (updated.value, updated.secret) == (None, True)
    assert project.request({"x": 0}) == {"y": 2}


def test_a_variable_becomes_secret_but_never_plain(project: TestProject) -> None:
    api = Writing(project.api)
    upsert_environment_variables(api, "lab", {"A": "1"})
    [now] = upsert_environment_variables(api, "lab", [ubiops.EnvironmentVariableCreate("A", "1", True)])
    assert now.secret
    api.written.clear()
    with pytest.raises(
        ApiValueError, match=r"variables\['A'\].* is secret, which can't be changed: delete the variable first"
    ):
        upsert_environment_variables(
            api, "lab", [{"name": "B", "value": "2"}, {"name": "A", "value": "1", "secret": False}]
        )
    assert api.written == []


def test_each_level_has_its_own(project: TestProject) -> None:
    project.deploy(DOUBLE)
    upsert_environment_variables(project.api, "lab", {"A": "project", "B": "project"})
    upsert_environment_variables(project.api, "lab", {"A": "project", "C": "deployment"}, "model")
    upsert_environment_variables(project.api.api_client, "lab", {"A": "version"}, "model", version="v1")
    upsert_environment_variables(project.api, "lab", {"C": "changed"}, deployment_name="model")
    found = project.api.deployment_environment_variables_list("lab", "model")
    assert [(one.name, one.value, one.inheritance_type) for one in found] == [
        ("A", "project", None),
        ("B", "project", "project"),
        ("C", "changed", None),
    ]
    found = project.api.deployment_version_environment_variables_list("lab", "model", "v1")
    assert [(one.name, one.value) for one in found] == [("A", "version"), ("B", "project"), ("C", "changed")]
    upsert_environment_variables(project.api, "lab", {"A": "again"}, "model", "v1")
    assert values(project.api.deployment_version_environment_variables_list("lab", "model", "v1"))["A"][0] == "again"


def test_nothing_to_set_asks_nothing(unreachable: ubiops.CoreApi) -> None:
    assert upsert_environment_variables(unreachable, "lab", {}) == []
    assert upsert_environment_variables(unreachable, "lab", iter([])) == []


def test_a_failure_half_way_names_what_was_done(emulator: Emulator, project: TestProject) -> None:
    upsert_environment_variables(project.api, "lab", {"A": "0"})

    class Failing(ubiops.CoreApi):
        def project_environment_variables_create(self, *args: Any, **options: Any) -> Any:
            if options["data"]["name"] == "C":
                emulator.faults.add(Fault(status=500, times=10))
            return super().project_environment_variables_create(*args, **options)

    wanted = {"A": "1", "B": "hidden", "C": "hidden", "D": "hidden"}
    with pytest.raises(UpsertFailed, match="variable C couldn't be set: Internal Server Error") as failed:
        upsert_environment_variables(Failing(project.api.api_client), "lab", wanted)
    assert "Set before it: A, B" in str(failed.value)
    assert "hidden" not in str(failed.value)
    assert (failed.value.name, [one.name for one in failed.value.done]) == ("C", ["A", "B"])
    assert isinstance(failed.value.__cause__, ServerError)
    copied = pickle.loads(pickle.dumps(failed.value))
    assert (str(copied), copied.name, copied.done) == (str(failed.value), "C", failed.value.done)
    emulator.faults.clear()
    assert values(project.api.project_environment_variables_list("lab")) == {"A": ("1", False), "B": ("hidden", False)}
    assert len(upsert_environment_variables(project.api, "lab", wanted)) == 4


def test_what_the_api_refuses(project: TestProject, callers: Callers, unreachable: ubiops.CoreApi) -> None:
    project.create_deployment()
    for place in (("nowhere",), ("lab", "nothing"), ("lab", "model", "v1")):
        with pytest.raises(NotFoundError):
            upsert_environment_variables(project.api, place[0], {"A": "1"}, *place[1:])
    with pytest.raises(ForbiddenError):
        upsert_environment_variables(callers.service_user(), "lab", {"A": "1"})
    with pytest.raises(UpsertFailed, match="A couldn't be set: Forbidden") as failed:
        upsert_environment_variables(callers.service_user("project-viewer"), "lab", {"A": "1"})
    assert "Set before it: none" in str(failed.value)
    with pytest.raises(ApiConnectionError):
        upsert_environment_variables(unreachable, "lab", {"A": "1"})


@pytest.mark.parametrize("name", ["", "MY-VAR", "my var", "É", "A\n", "A" * 65])
def test_bad_names_are_refused_before_anything_is_sent(unreachable: ubiops.CoreApi, name: Any) -> None:
    for variables in ({"A": "1", name: "2"}, [{"name": "A", "value": "1"}, {"name": name, "value": "2"}]):
        with pytest.raises(
            ApiValueError, match=r"`variables\[.*its name must have 1 to 64 letters, digits and underscores"
        ):
            upsert_environment_variables(unreachable, "lab", variables)
    for value in (3, None):
        with pytest.raises(ApiTypeError, match=r"`variables\[.*\]\.name` .* expected str, got "):
            upsert_environment_variables(unreachable, "lab", {value: "2"})  # type: ignore[arg-type]


def test_bad_arguments_are_refused_before_anything_is_sent(unreachable: ubiops.CoreApi) -> None:
    upsert: Any = partial(upsert_environment_variables, unreachable, "lab")
    for call, kind, problem in (
        (partial(upsert, {"A": 12345}), ApiTypeError, r"`variables\['A'\]\.value` .* expected str, got int"),
        (partial(upsert, {"A": None}), ApiTypeError, "expected str, got NoneType"),
        (
            partial(upsert, [{"name": "A", "value": "1", "secret": "no"}]),
            ApiTypeError,
            r"`variables\[0\]\.secret` .* expected bool, got str",
        ),
        (partial(upsert, [{"name": "A", "value": "1"}] * 2), ApiValueError, "`A` occurs 2 times"),
        (
            partial(upsert, [("A", "1")]),
            ApiTypeError,
            r"`variables\[0\]` .* expected dict or EnvironmentVariableCreate",
        ),
        (partial(upsert, "A=1"), ApiTypeError, "`variables` .* expected dict or list, got str"),
        (partial(upsert, {"A": "1"}, None, "v1"), ApiValueError, "`version` .* must come with `deployment_name`"),
    ):
        with pytest.raises(kind, match=problem) as refused:
            call()
        assert "12345" not in str(refused.value)


def test_variables_read_elsewhere_can_be_set_unless_they_are_secret(project: TestProject) -> None:
    project.create_deployment()
    upsert_environment_variables(project.api, "lab", {"A": "1"})
    read = project.api.project_environment_variables_list("lab")
    assert values(upsert_environment_variables(project.api, "lab", read, "model")) == {"A": ("1", False)}
    upsert_environment_variables(project.api, "lab", [{"name": "B", "value": "2", "secret": True}])
    read = project.api.project_environment_variables_list("lab")
    with pytest.raises(ApiTypeError, match="expected str, got NoneType"):
        upsert_environment_variables(project.api, "lab", read, "model")

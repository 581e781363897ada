"""What all helpers have in common: how they name what is wrong, how they are quiet, what they take for a client."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

import ubiops
from test.utils.packages import write
from ubiops import utils


def helpers(parameter: str) -> dict[str, Callable[..., Any]]:
    """The helpers that have a parameter."""
    found = {name: getattr(utils, name) for name in utils.__all__}
    return {
        name: helper
        for name, helper in found.items()
        if not inspect.isclass(helper) and parameter in inspect.signature(helper).parameters
    }


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, Any]:
    """Arguments that a helper takes, by the parameter's name; any other takes text."""
    return {
        "directory": write(tmp_path / "package", {"deployment.py": "class Deployment:\n    def request(self): ..."}),
        "file_path": __file__,
        "file_paths": [__file__],
        "file": __file__,
        "file_name": "x",
        "files": [],
        "inputs": [],
        "start": "2022-11-03",
        "deployment_name": "d",
        "output_path": tmp_path,
        "variables": {"A": "1"},
    }


def required(helper: Callable[..., Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """What a helper must be given."""
    return {
        parameter.name: arguments.get(parameter.name, "text")
        for parameter in inspect.signature(helper).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }


def test_what_is_no_client_is_refused_by_all(arguments: dict[str, Any]) -> None:
    arguments["client"] = "a token"
    clients = helpers("client")
    del clients["validate_requirements_file"]
    assert {"deploy", "metrics", "tail_logs", "upload_file", "wait_for_import"} <= clients.keys()
    for name, helper in clients.items():
        more = {"download_file": {"file_name": "x"}, "map_requests": {"deployment_name": "d"}}.get(name, {})
        with pytest.raises(ubiops.ApiTypeError, match=f"`client` when calling `{name}`, expected .* got str") as caught:
            helper(**required(helper, arguments), **more)
        # Programs of newer clients catch this.
        assert isinstance(caught.value, AssertionError)


def test_an_argument_of_another_type_is_named_with_the_function_that_was_called(
    unreachable: ubiops.CoreApi, arguments: dict[str, Any]
) -> None:
    arguments["client"] = unreachable
    training = ubiops.Training(unreachable.api_client)
    called = {name: getattr(utils, name) for name in utils.__all__ if not inspect.isclass(getattr(utils, name))}
    called |= {name: method for name, method in inspect.getmembers(training, inspect.ismethod) if name[0] != "_"}
    tried = 0
    for name, helper in called.items():
        for parameter in inspect.signature(helper).parameters.values():
            if parameter.annotation not in ("str", "str | None") or name == "default_zip_name":
                continue
            for wrong in (object(), b"x"):
                given = {**required(helper, arguments), parameter.name: wrong}
                with pytest.raises(
                    ubiops.ApiTypeError,
                    match=rf"`{parameter.name}` when calling `{name}`, expected str( or None)?, got",
                ):
                    helper(**given)
                tried += 1
    assert tried > 200


def test_a_missing_name_is_named_with_the_function_that_was_called(unreachable: ubiops.CoreApi) -> None:
    training = ubiops.Training(unreachable.api_client)
    calls: dict[str, Callable[[Any], Any]] = {
        "wait_for_environment": lambda name: utils.wait_for_environment(unreachable, "lab", name),
        "deploy": lambda name: utils.deploy(unreachable, name, "package", "d"),
        "experiments_get": lambda name: training.experiments_get("lab", name),
    }
    for name, call in calls.items():
        with pytest.raises(ubiops.ApiValueError, match=f"Missing the required parameter .* when calling `{name}`"):
            call(None)
        with pytest.raises(ubiops.ApiValueError, match=f"when calling `{name}`, must not be empty"):
            call("")
    with pytest.raises(ubiops.ApiTypeError, match=r"`api_client` when calling `Training`, expected .* got str"):
        ubiops.Training("a token")  # type: ignore[arg-type]
    with pytest.raises(ubiops.ApiValueError, match=r"`data\.name` when calling `experiments_create`"):
        training.experiments_create("lab", {})


def test_an_empty_name_is_refused_before_anything_is_sent(
    unreachable: ubiops.CoreApi, arguments: dict[str, Any]
) -> None:
    arguments["client"] = unreachable
    optional = {"bucket_name", "deployment_name", "pipeline_name", "revision_id", "tag_name", "version"}
    tried = set()
    for parameter in optional:
        for name, helper in helpers(parameter).items():
            if name == "plot_pipeline":
                # It takes the version itself.
                continue
            with pytest.raises(ubiops.ApiValueError, match=f"`{parameter}` when calling `{name}`, must not be empty"):
                helper(**{**required(helper, arguments), parameter: ""})
            tried.add(name)
    assert {"deploy_environment", "map_requests", "metrics", "upsert_environment_variables"} <= tried


def test_one_word_makes_all_quiet() -> None:
    shown = {*helpers("_progress_bar"), *(name for name in utils.__all__ if name.startswith("wait_for_"))}
    shown |= {"deploy", "validate_package", "zip_dir", "zip_package"}
    assert shown <= helpers("quiet").keys()


def test_all_that_wait_take_none_for_no_limit() -> None:
    declared = {inspect.signature(helper).parameters["timeout"].annotation for helper in helpers("timeout").values()}
    assert declared == {"float | None", "int | None"}


def test_a_timeout_of_another_type_is_a_type_error_everywhere(
    unreachable: ubiops.CoreApi, arguments: dict[str, Any]
) -> None:
    arguments["client"] = unreachable
    for name, helper in helpers("timeout").items():
        more = {"deployment_name": "d"} if name == "map_requests" else {}
        for wrong in ("1", True):
            with pytest.raises(ubiops.ApiTypeError, match=f"`timeout` when calling `{name}`, expected "):
                helper(**{**required(helper, arguments), **more, "timeout": wrong})


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"directory": "nowhere"}, "directory"),
        ({"directory": 5}, "directory"),
        ({"environment_variables": {"A B": "1"}}, r"environment_variables\['A B'\]"),
        ({"environment_variables": 7}, "environment_variables"),
        ({"input_fields": "x"}, "input_fields"),
        ({"input_fields": [1]}, r"input_fields\[0\]"),
        ({"deployment_settings": {"labels": 5}}, r"deployment_settings\['labels'\]"),
        ({"deployment_name": "d" * 65}, "deployment_name"),
        ({"language": "r4.0", "input_fields": {"x": "number"}}, r"input_fields\[0\].data_type"),
        ({"version": ""}, "version"),
        ({"maximum_instances": "x"}, "maximum_instances"),
        ({"timeout": "1"}, "timeout"),
    ],
)
def test_errors_out_of_deploy_name_deploy(
    unreachable: ubiops.CoreApi, tmp_path: Path, options: dict[str, Any], place: str
) -> None:
    write(tmp_path, {"deployment.py": "class Deployment:\n    def request(self, data): ..."})
    with pytest.raises((ubiops.ApiTypeError, ubiops.ApiValueError), match=f"`{place}` when calling `deploy`"):
        utils.deploy(unreachable, "lab", **{"directory": tmp_path, "deployment_name": "d", **options})


def test_doubles_of_a_client_fit() -> None:
    version = mock.Mock(status="available", latest_build="b")
    build = mock.Mock(id="b", status="success")
    for api in (mock.create_autospec(ubiops.CoreApi, instance=True), mock.Mock(spec=ubiops.CoreApi)):
        api.deployment_versions_get.return_value = version
        api.builds_get.return_value = build
        assert utils.wait_for_deployment_version(api, "lab", "d", "v1", quiet=True) is version
        api.deployments_list.return_value = [1, 2]
        assert list(utils.paginate(api.deployments_list, "lab", labels="a:b")) == [1, 2]
        api.deployments_list.assert_called_once_with(project_name="lab", labels="a:b")
    for client in (mock.create_autospec(ubiops.ApiClient, instance=True), mock.Mock(spec=ubiops.ApiClient)):
        with (
            mock.patch.object(ubiops.CoreApi, "deployment_versions_get", autospec=True, return_value=version),
            mock.patch.object(ubiops.CoreApi, "builds_get", return_value=build),
        ):
            assert utils.wait_for_deployment_version(client, "lab", "d", "v1", quiet=True) is version


def test_paginate_finds_the_operation_through_what_wraps_the_method(unreachable: ubiops.CoreApi) -> None:
    @wraps(unreachable.projects_list)
    def counted(*args: Any, **kwargs: Any) -> Any:
        return [len(kwargs)]

    class Mine(ubiops.CoreApi):
        def projects_list(self, **kwargs: Any) -> Any:  # type: ignore[override]
            return [len(kwargs)]

    own = Mine(unreachable.api_client)
    for method in (counted, partial(counted, organization="o"), own.projects_list):
        assert len(list(utils.paginate(method))) == 1


def test_pages_by_cursor_are_read_to_their_end() -> None:
    api = mock.create_autospec(ubiops.CoreApi, instance=True)
    pages = [mock.Mock(results=[1, 2], next="https://host/x?cursor=a%3D&limit=2"), mock.Mock(results=[3], next="b")]
    api.instances_list.side_effect = [*pages, mock.Mock(results=[], next=None)]
    assert list(utils.paginate(api.instances_list, "lab", "d", "v1", page_size=2)) == [1, 2, 3]
    assert [call.kwargs["cursor"] for call in api.instances_list.call_args_list] == [None, "a=", "b"]
    # An older service gives all at once.
    api.instance_types_list.return_value = [1, 2]
    assert list(utils.paginate(api.instance_types_list, "lab")) == [1, 2]
    api.instances_list.side_effect = [mock.Mock(results=[1], next="c")] * 3
    with pytest.raises(ubiops.ApiException, match="leads to itself"):
        list(utils.paginate(api.instances_list, "lab", "d", "v1"))


_ANSWERING = ("_get", "_list", "_create", "_update", "_upload", "_download")


def test_answers_of_another_shape_are_errors_of_the_api(tmp_path: Path) -> None:
    api = mock.create_autospec(ubiops.CoreApi, instance=True)
    answering = [name for name in dir(ubiops.CoreApi) if name.endswith(_ANSWERING)]
    package = write(tmp_path / "package", {"deployment.py": "class Deployment:\n    def request(self, data): ..."})
    calls: list[Callable[[], Any]] = [
        lambda: list(utils.paginate(api.files_list, "lab", "default")),
        lambda: list(utils.paginate(api.deployment_requests_list, "lab", "d")),
        lambda: list(utils.paginate(api.projects_log_list, "lab", {})),
        lambda: utils.wait_for_deployment_version(api, "lab", "d", "v1", quiet=True),
        lambda: utils.wait_for_revision(api, "lab", "d", "v1", "r", quiet=True),
        lambda: utils.wait_for_deployment_request(api, "lab", "d", "r", quiet=True),
        lambda: utils.wait_for_pipeline_version_request(api, "lab", "p", "v1", "r", quiet=True),
        lambda: utils.wait_for_export(api, "lab", "e", quiet=True),
        lambda: utils.download_files(api, "lab", output_path=tmp_path),
        lambda: utils.deploy(api, "lab", package, "d", quiet=True),
        lambda: list(utils.tail_logs(api, "lab", follow=False)),
        lambda: utils.metrics(api, "lab", "requests", "2022-11-03"),
        lambda: utils.upsert_environment_variables(api, "lab", {"A": "1"}),
        lambda: utils.upload_file(api, "lab", package / "deployment.py", quiet=True),
        lambda: utils.download_file(api, "lab", file_name="x", output_path=tmp_path, quiet=True),
    ]
    # Of a list, what isn't an object of it may be what the error holds.
    answers: list[Any] = [None, "", {}, 5, [None], "<html>"]
    for answer in answers:
        for name in answering:
            getattr(api, name).return_value = answer
        for call in calls:
            with pytest.raises(ubiops.ApiException, match="Unexpected answer to") as caught:
                call()
            assert caught.value.body in (repr(answer), "None")


def test_progress_takes_on_and_off(monkeypatch: pytest.MonkeyPatch) -> None:
    from ubiops.utils import progress_bar

    monkeypatch.setattr(progress_bar, "_enabled", None)
    assert [utils.progress(word) for word in ("off", "on", False, True)] == [False, True, False, True]
    with pytest.raises(ubiops.ApiValueError, match="'on' or 'off', not 'false'"):
        utils.progress("false")  # type: ignore[arg-type]
    with pytest.raises(ubiops.ApiTypeError, match="expected bool, got int"):
        utils.progress(0)  # type: ignore[arg-type]

"""Waiting on newer services: revisions that have a status, environments with builds or tags, experiments."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import ubiops
from test.utils.clock import Clock
from test.utils.planned import Planned
from ubiops.utils import (
    BuildFailed,
    RequestFailed,
    WaitError,
    WaitTimeout,
    wait_for_deployment_version,
    wait_for_environment,
    wait_for_experiment,
    wait_for_experiment_run,
    wait_for_revision,
)
from ubiops.utils.exceptions import StatusError


def revision(status: str, error_message: str | None = None) -> Any:
    return SimpleNamespace(id="r", status=status, error_message=error_message)


def version(**fields: Any) -> Any:
    return SimpleNamespace(**{"status": "available", "latest_build": None, "latest_revision": "r", **fields})


@pytest.fixture
def client() -> Iterator[ubiops.ApiClient]:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2")) as client:
        yield client


def test_a_revision_that_has_a_status_is_asked_for_it_alone(client: ubiops.ApiClient, clock: Clock) -> None:
    api = Planned(client, revisions_get=[revision("queued"), revision("building"), revision("success")])
    found: Any = wait_for_revision(api, "lab", "d", "v1", "r", quiet=True)
    assert found.status == "success"
    assert {name for name, *_ in api.calls} == {"revisions_get"}
    assert len(clock.pauses) == 1


def test_the_latest_revision_is_waited_for_where_there_are_no_builds(client: ubiops.ApiClient, clock: Clock) -> None:
    for wait in (
        lambda api: wait_for_deployment_version(api, "lab", "d", "v1", quiet=True),
        lambda api: wait_for_experiment(api, "lab", "v1", quiet=True),
    ):
        api = Planned(
            client, deployment_versions_get=[version()], revisions_get=[revision("building"), revision("success")]
        )
        assert wait(api).status == "available"
        failing = Planned(client, deployment_versions_get=[version()], revisions_get=[revision("failed", "no numpy")])
        with pytest.raises(BuildFailed, match="no numpy") as failed:
            wait(failing)
        assert isinstance(failed.value, StatusError)
        empty = Planned(client, deployment_versions_get=[version(latest_revision=None)])
        with pytest.raises(WaitError, match="has no package"):
            wait(empty)


def test_a_tag_of_an_environment(client: ubiops.ApiClient, clock: Clock) -> None:
    tags = [SimpleNamespace(status=status, error_message="bad pin") for status in ("queued", "building", "available")]
    api = Planned(client, environment_tags_get=tags)
    assert wait_for_environment(api, "lab", "e", "v1", quiet=True) is tags[-1]
    failing = Planned(client, environment_tags_get=[SimpleNamespace(status="failed", error_message="bad pin")])
    with pytest.raises(BuildFailed, match="environment e:v1 failed: bad pin"):
        wait_for_environment(failing, "lab", "e", "v1", quiet=True)
    with pytest.raises(WaitTimeout) as late:
        wait_for_environment(Planned(client, environment_tags_get=tags[:1]), "lab", "e", "v1", timeout=1, quiet=True)
    assert (late.value.status, late.value.last) == (504, tags[0])
    assert isinstance(late.value, ubiops.ApiException)


def test_the_latest_build_of_an_environment(client: ubiops.ApiClient, clock: Clock) -> None:
    environment = SimpleNamespace(id="e", latest_build="b", latest_revision="r")
    builds = [SimpleNamespace(status=status, error_message="bad pin") for status in ("processing", "success")]
    api = Planned(client, environments_get=[environment], environment_builds_get=builds)
    assert wait_for_environment(api, "lab", "e", quiet=True) is environment
    with pytest.raises(WaitError, match=r"has no build: .* pass one as `tag_name`"):
        wait_for_environment(Planned(client, environments_get=[SimpleNamespace(id="e")]), "lab", "e", quiet=True)


def test_a_run_of_an_experiment_is_a_request_to_the_training_deployment(client: ubiops.ApiClient, clock: Clock) -> None:
    runs = [SimpleNamespace(status=status, error_message="nan loss") for status in ("processing", "failed")]
    api = Planned(client, deployment_version_requests_get=runs)
    with pytest.raises(RequestFailed, match="Run r of experiment e failed: nan loss") as failed:
        wait_for_experiment_run(api, "lab", "e", "r", quiet=True)
    assert failed.value.last is runs[-1]
    assert isinstance(failed.value, WaitError)

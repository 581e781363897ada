"""How waits ask: how long a question may take, how long they bear with failures, which build they ask for."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import freezegun
import pytest

import ubiops
from test.utils.clock import Clock
from test.utils.planned import Planned
from ubiops.exceptions import ServerError
from ubiops.utils import WaitTimeout, wait_for_export, wait_for_revision

DONE = SimpleNamespace(status="completed")


@pytest.fixture
def client() -> Iterator[ubiops.ApiClient]:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        yield client


@pytest.mark.parametrize(("timeout", "seconds"), [(1800, 60), (None, 60), (30, 30), (0, 5)])
def test_a_question_takes_a_minute_at_most(
    client: ubiops.ApiClient, clock: Clock, timeout: float | None, seconds: float
) -> None:
    api = Planned(client, exports_get=[DONE])
    wait_for_export(api, "lab", "e", timeout=timeout, quiet=True)
    assert [options["_request_timeout"] for _, _, options in api.calls] == [seconds]


def test_an_answer_ends_an_outage(client: ubiops.ApiClient, clock: Clock) -> None:
    failed, running = ServerError(503, "Service Unavailable"), SimpleNamespace(status="processing")
    # At 10 s a question, each row of failures takes less than the 5 minutes that are borne, both together take more.
    row = [failed] * 25
    api = Planned(client, exports_get=[running, *row, running, *row, DONE])
    assert wait_for_export(api, "lab", "e", timeout=None, quiet=True) is DONE
    assert sum(clock.pauses) > 400
    with pytest.raises(ServerError):
        wait_for_export(Planned(client, exports_get=[running, failed]), "lab", "e", timeout=None, quiet=True)


def test_frozen_time_hangs_no_wait(client: ubiops.ApiClient) -> None:
    running = SimpleNamespace(status="processing")
    with freezegun.freeze_time("2022-11-03"), pytest.raises(WaitTimeout):
        wait_for_export(Planned(client, exports_get=[running]), "lab", "e", timeout=0.1, quiet=True)


def test_without_a_limit_it_goes_on(client: ubiops.ApiClient, clock: Clock) -> None:
    running = SimpleNamespace(status="processing")
    api = Planned(client, exports_get=[*[running] * 1000, DONE])
    wait_for_export(api, "lab", "e", timeout=None, quiet=True)
    assert sum(clock.pauses) > 9000


def test_the_newest_of_several_builds_counts(client: ubiops.ApiClient, clock: Clock) -> None:
    builds: list[Any] = [
        SimpleNamespace(id=id, revision=revision, creation_date=f"2022-11-0{day}", status=status, error_message="old")
        for id, revision, day, status in [
            ("first", "r", 1, "failed"),
            ("newest", "r", 3, "success"),
            ("second", "r", 2, "failed"),
            ("other", "s", 4, "failed"),
        ]
    ]
    api = Planned(
        client, revisions_get=[SimpleNamespace(id="r", status=None)], builds_list=[builds], builds_get=[builds[1]]
    )
    wait_for_revision(api, "lab", "d", "v1", "r", quiet=True)
    [asked] = [arguments for name, arguments, _ in api.calls if name == "builds_get"]
    assert asked[1] == "newest"

"""What happens by itself as time goes by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

import pytest

from test.emulator.pipelines import make_line
from test.emulator.project import TestProject, wait_until
from ubiops.emulator import Emulator
from ubiops.emulator.clock import minutes_due

LATER = datetime.now(timezone.utc) + timedelta(days=30)
NINE = datetime(2023, 1, 1, 9, tzinfo=timezone.utc)
MINUTE = timedelta(minutes=1)


def test_a_request_that_runs_is_not_deleted(
    project: TestProject, emulator: Emulator, gated: Callable[[], None]
) -> None:
    make_line(project)
    waiting = project.api.pipeline_requests_create("lab", "line", {"x": 1}, async_req=True)

    def kept() -> list[int]:
        """How many requests there are to the deployment and to the pipeline."""
        return [
            len(project.api.deployment_requests_list("lab", "model", status="processing")),
            len(project.api.pipeline_requests_list("lab", "line")),
        ]

    wait_until(kept, lambda found: found == [1, 1])
    emulator.tick(LATER)
    assert kept() == [1, 1]
    gated()
    waiting.get(30)
    emulator.tick(LATER)
    assert project.api.deployment_requests_list("lab", "model") == []
    assert project.api.pipeline_requests_list("lab", "line") == []


@pytest.mark.usefixtures("deployed")
def test_what_fails_does_not_stop_the_rest(
    project: TestProject, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project.request({"x": 1})

    def _make_requests(_moment: datetime) -> None:
        raise RuntimeError("broken schedules")

    monkeypatch.setattr(emulator._clock, "_make_requests", _make_requests)
    emulator.tick(LATER)
    assert project.api.deployment_requests_list("lab", "model") == []
    assert "broken schedules" in caplog.text


@pytest.mark.parametrize(
    ("last", "now", "due"),
    [
        (NINE, NINE, []),
        (NINE, NINE + MINUTE, [NINE + MINUTE]),
        (NINE, NINE + 3 * MINUTE, [NINE + MINUTE, NINE + 2 * MINUTE, NINE + 3 * MINUTE]),
        # After a longer sleep, the last ten; where the clock was set back, none until the next minute begins.
        (NINE, NINE + 600 * MINUTE, [NINE + number * MINUTE for number in range(591, 601)]),
        (NINE, NINE - 600 * MINUTE, []),
    ],
)
def test_minutes_that_were_missed_are_made_up_for(last: datetime, now: datetime, due: list[datetime]) -> None:
    assert list(minutes_due(last, now)) == due

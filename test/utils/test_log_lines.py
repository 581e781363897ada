"""Following a log: every line once, in order, whenever it comes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.log import write_log
from test.emulator.project import TestProject
from test.utils.clock import Clock
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.exceptions import ApiTypeError, ApiValueError, ForbiddenError, NotFoundError, ServerError
from ubiops.utils import tail_logs
from ubiops.utils.polling import Outage

CODE = """
    class Deployment:
        def request(self, data):
            print("asked", data["x"])
            return {"y": 0}
"""


def ago(**past: float) -> datetime:
    # Whole seconds, as other moments are counted from it.
    return datetime.now(timezone.utc).replace(microsecond=0) - timedelta(**past)


def texts(lines: Iterator[Any]) -> list[str]:
    return [line.log for line in lines]


def take(number: int, lines: Iterator[Any]) -> list[str]:
    return texts(itertools.islice(lines, number))


def numbered(count: int, start: datetime, step: timedelta = timedelta(0)) -> list[tuple[datetime, str]]:
    return [(start + index * step, f"line {index}") for index in range(count)]


def test_it_begins_with_the_last_ten_lines(emulator: Emulator, project: TestProject) -> None:
    lines = numbered(12, ago(minutes=5), timedelta(seconds=1))
    write_log(emulator, lines)
    assert texts(tail_logs(project.api, "lab", follow=False)) == [text for _, text in lines[2:]]
    assert texts(tail_logs(project.api, "lab", follow=False, lines=2)) == ["line 10", "line 11"]
    assert texts(tail_logs(project.api, "lab", follow=False, lines=0)) == []
    assert texts(tail_logs(project.api.api_client, "lab", None, False, lines=100)) == [text for _, text in lines]


def test_since_a_moment_come_all_lines_however_many_share_theirs(emulator: Emulator, project: TestProject) -> None:
    start = ago(minutes=5)
    lines = numbered(1200, start)
    write_log(emulator, [(start - timedelta(milliseconds=1), "too early"), *lines])
    assert texts(tail_logs(project.api, "lab", follow=False, since=start)) == [text for _, text in lines]
    naive = start.replace(tzinfo=None)
    assert texts(tail_logs(project.api, "lab", follow=False, since=naive)) == [text for _, text in lines]
    assert texts(tail_logs(project.api, "lab", follow=False, since=start, lines=700)) == [
        text for _, text in lines[500:]
    ]
    elsewhere = start.astimezone(timezone(timedelta(hours=5)))
    assert texts(tail_logs(project.api, "lab", follow=False, since=elsewhere, lines=2000))[0] == "line 0"


def test_it_goes_back_for_days(emulator: Emulator, project: TestProject) -> None:
    start = ago(days=3)
    # The server looks through a day at a time: lines stand where one ends and the next begins, and beside.
    moments = [start + timedelta(hours=hours) for hours in (0, 1, 23, 24, 24, 25, 48, 60, 71)]
    lines = [(moment, f"line {index}") for index, moment in enumerate(moments)]
    write_log(emulator, lines)
    assert texts(tail_logs(project.api, "lab", follow=False, since=start)) == [text for _, text in lines]
    assert texts(tail_logs(project.api, "lab", follow=False, since=start, lines=7)) == [text for _, text in lines[2:]]


def test_new_lines_come_once_each_and_late_ones_too(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    start = ago(minutes=5)
    write_log(emulator, numbered(4, start, timedelta(seconds=1)))
    last = start + timedelta(seconds=3)
    clock.plan.extend(
        [
            lambda: None,
            lambda: write_log(emulator, [(last, "of the same moment"), (last + timedelta(seconds=9), "newer")]),
            lambda: write_log(emulator, [(last + timedelta(seconds=1), "late")]),
            lambda: write_log(emulator, numbered(600, last + timedelta(seconds=60))),
        ]
    )
    found = texts(tail_logs(project.api, "lab", lines=2, timeout=60))
    assert found == ["line 2", "line 3", "of the same moment", "newer", "late", *(f"line {n}" for n in range(600))]


def test_it_asks_again_at_once_when_there_was_something(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    clock.plan.extend([lambda: None] * 3)
    clock.plan.append(lambda: write_log(emulator, [(ago(seconds=0), "new")]))
    assert texts(tail_logs(project.api, "lab", timeout=60)) == ["new"]
    assert clock.pauses[:5] == [0.5, 0.75, 1.125, 1.6875, 0.5]
    assert sum(clock.pauses) == 60


def test_only_what_is_new_where_no_line_is_asked_for(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    moment = ago(seconds=10)
    write_log(emulator, numbered(3, moment))
    clock.plan.append(lambda: write_log(emulator, [(moment, "new")]))
    assert texts(tail_logs(project.api, "lab", lines=0, timeout=3)) == ["new"]


def test_the_clock_of_the_server_may_be_ahead(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    write_log(emulator, [(ago(minutes=-30), "old")])
    clock.plan.append(lambda: write_log(emulator, [(ago(minutes=-31), "new")]))
    assert texts(tail_logs(project.api, "lab", timeout=3)) == ["old", "new"]


def test_a_consumer_may_stop_and_others_begin_again(emulator: Emulator, project: TestProject) -> None:
    write_log(emulator, numbered(5, ago(minutes=1)))
    lines = tail_logs(project.api, "lab")
    assert take(2, lines) == ["line 0", "line 1"]
    assert take(3, lines) == ["line 2", "line 3", "line 4"]
    assert take(5, tail_logs(project.api, "lab")) == [f"line {index}" for index in range(5)]


def test_filters(project: TestProject) -> None:
    project.deploy(CODE)
    for number in (1, 2):
        project.request({"x": number})
    requests = project.api.deployment_requests_list("lab", "model", sort="asc")

    def logs(**filters: str | bool | None) -> list[str]:
        return texts(tail_logs(project.api, "lab", filters, follow=False))

    assert logs(system=False, deployment_name="model") == ["asked 1", "asked 2"]
    assert logs(deployment_request_id=requests[1].id, level=None) == ["asked 2"]
    assert logs(system=True) == ["Build started", "Build finished"]


@pytest.mark.parametrize(
    ("arguments", "kind", "problem"),
    [
        ({"filters": {"deployment": "model"}}, ApiValueError, "no `deployment`; did you mean `deployment_name`"),
        ({"filters": {"log": "x"}}, ApiValueError, "no `log`"),
        ({"filters": ["system"]}, ApiTypeError, "`filters` when calling `tail_logs`, expected dict"),
        ({"filters": {"level": 3}}, ApiTypeError, "expected str or bool, got int"),
        ({"lines": -1}, ApiValueError, "must be 0 or more, not -1"),
        ({"lines": True}, ApiTypeError, "`lines` when calling `tail_logs`, expected int"),
        ({"since": "yesterday"}, ApiValueError, "`since` when calling `tail_logs`, must be a date in ISO 8601"),
        ({"timeout": "1"}, ApiTypeError, "expected a number of seconds"),
        ({"timeout": float("nan")}, ApiValueError, "not nan"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    unreachable: ubiops.CoreApi, arguments: dict[str, Any], kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        tail_logs(unreachable, "lab", **arguments)


def test_a_server_that_never_answered_is_no_passing_trouble(unreachable: ubiops.CoreApi, clock: Clock) -> None:
    lines = tail_logs(unreachable, "lab", since=ago(minutes=1))
    with pytest.raises(ubiops.exceptions.ApiConnectionError):
        next(lines)
    assert clock.pauses == []


def test_it_bears_with_a_server_that_fails_for_a_while(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    start = ago(minutes=5)
    write_log(emulator, numbered(3, start))
    clock.plan.extend(
        [
            lambda: emulator.faults.add(Fault(path="*/logs", status=503, times=2)),
            lambda: None,
            lambda: emulator.faults.add(Fault(path="*/logs", drop=True)),
            lambda: write_log(emulator, [(start, "after it")]),
        ]
    )
    found = texts(tail_logs(project.api, "lab", since=start, timeout=60))
    assert found == ["line 0", "line 1", "line 2", "after it"]


def test_a_page_that_fails_half_way_repeats_nothing(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    start = ago(minutes=5)
    write_log(emulator, numbered(1200, start))
    lines = tail_logs(project.api, "lab", since=start, timeout=20)
    found = take(500, lines)
    emulator.faults.add(Fault(path="*/logs", status=502))
    found += texts(lines)
    assert found == [f"line {index}" for index in range(1200)]


def test_it_gives_up_on_a_server_that_fails_for_long(emulator: Emulator, project: TestProject, clock: Clock) -> None:
    emulator.faults.add(Fault(path="*/logs", status=500, times=1000))
    with pytest.raises(ServerError):
        next(tail_logs(project.api, "lab", since=ago(minutes=1)))
    assert Outage.longest < sum(clock.pauses) <= Outage.longest + 10
    with pytest.raises(ServerError):
        next(tail_logs(project.api, "lab", since=ago(minutes=1), follow=False))


def test_what_the_api_refuses_is_raised(project: TestProject, callers: Callers, clock: Clock) -> None:
    with pytest.raises(NotFoundError):
        next(tail_logs(project.api, "nowhere"))
    with pytest.raises(ForbiddenError):
        next(tail_logs(callers.service_user(), "lab"))
    assert clock.pauses == []

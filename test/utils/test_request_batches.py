"""`map_requests`: order, laziness, faulty inputs, a server in trouble, interruptions."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import attach, deployment, make_line, make_pipeline
from test.emulator.project import TestProject, wait_until
from test.utils.requests import FAILING, Calls, Gate, requested, statuses, xs
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.utils import (
    InvalidInput,
    RequestFailed,
    RequestsInDoubt,
    WaitTimeout,
    map_requests,
)
from ubiops.utils.batches import collector, lost, request_map, target
from ubiops.utils.polling import Backoff, Outage

ECHO = """
    class Deployment:
        def request(self, data):
            return data.upper()
"""
BATCH = "*/requests/batch"
COLLECT = "*/requests/collect"


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch, api: ubiops.CoreApi) -> None:
    # A server on this machine answers at once: the tests needn't wait as long as a program that polls another must.
    monkeypatch.setattr(Backoff, "first", 0.05)
    monkeypatch.setattr(Backoff, "longest", 0.2)
    monkeypatch.setattr(lost, "_SETTLING", 0.5)
    monkeypatch.setattr(collector, "_SETTLING", 0.5)
    api.api_client.configuration.retries = 0


class Counting:
    """Inputs that are counted as they are read."""

    def __init__(self, inputs: list[Any]) -> None:
        self.read = 0
        self._inputs = inputs

    def __iter__(self) -> Iterator[Any]:
        for one in self._inputs:
            self.read += 1
            yield one


# Order


@pytest.mark.usefixtures("deployed")
def test_the_results_come_in_the_order_of_the_inputs(project: TestProject, calls: Calls) -> None:
    items = list(map_requests(project.api, "lab", "model", inputs=({"x": x} for x in range(251))))
    assert [(item.index, item.input, item.result) for item in items] == [
        (x, {"x": x}, {"y": 2 * x}) for x in range(251)
    ]
    assert all(item.error is None and item.request is not None for item in items)
    assert calls.batches == 2


@pytest.mark.usefixtures("deployed")
def test_the_client_may_be_the_transport_too(project: TestProject) -> None:
    items = map_requests(project.api.api_client, "lab", deployment_name="model", inputs=xs(2))
    assert [item.result for item in items] == [{"y": 2}, {"y": 4}]


def test_results_come_as_they_are_completed(project: TestProject, gate: Gate) -> None:
    project.create_deployment()
    project.deploy_version(gate.code, maximum_instances=2)
    items = map_requests(project.api, "lab", "model", inputs=xs(5, start=0), chunk_size=2, as_completed=True)
    first = [next(items).index for _ in range(4)]
    gate.open()
    assert sorted(first) == [1, 2, 3, 4]
    assert [item.index for item in items] == [0]


def test_what_is_completed_is_found_behind_many_that_aren_t(
    project: TestProject, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Pages of two, so that it doesn't take hundreds of requests.
    monkeypatch.setitem(target.LIMITS, "deployment", 2)
    project.create_deployment()
    project.deploy_version(gate.code, maximum_instances=5)
    items = map_requests(project.api, "lab", "model", inputs=xs(8, start=-3), as_completed=True)
    first = [next(items).index for _ in range(4)]
    gate.open()
    assert sorted(first) == [4, 5, 6, 7]
    assert sorted(item.index for item in items) == [0, 1, 2, 3]


@pytest.mark.usefixtures("deployed")
def test_no_inputs_make_no_requests(project: TestProject, calls: Calls) -> None:
    assert list(map_requests(project.api, "lab", "model", inputs=[])) == []
    assert calls.batches == 0


def test_plain_deployments_take_strings(project: TestProject) -> None:
    project.create_deployment(input_type="plain", output_type="plain", input_fields=[], output_fields=[])
    project.deploy_version(ECHO)
    inputs = ["one", "two", "drei \u00fc"]
    items = map_requests(project.api, "lab", "model", inputs=inputs)
    assert [item.result for item in items] == ["ONE", "TWO", "DREI \u00dc"]


# Laziness


def test_nothing_happens_before_the_first_result_is_asked_for(project: TestProject, calls: Calls) -> None:
    inputs = Counting(xs(10))
    items = map_requests(project.api, "lab", "nowhere", inputs=inputs)
    assert (inputs.read, calls.count("")) == (0, 0)
    with pytest.raises(ubiops.exceptions.NotFoundError):
        next(items)


@pytest.mark.parametrize("as_completed", [False, True])
@pytest.mark.usefixtures("deployed")
def test_inputs_are_read_as_results_are_taken(project: TestProject, as_completed: bool) -> None:
    inputs = Counting(xs(60))
    options: Any = {"chunk_size": 5, "max_in_flight": 10, "as_completed": as_completed}
    taken = 0
    for _ in map_requests(project.api, "lab", "model", inputs=inputs, **options):
        taken += 1
        assert inputs.read <= taken + 20
    assert (taken, inputs.read) == (60, 60)


def test_what_waits_for_one_before_it_is_bounded(project: TestProject, gate: Gate) -> None:
    project.create_deployment()
    project.deploy_version(gate.code, maximum_instances=2)
    inputs = Counting(xs(100, start=0))
    items = map_requests(project.api, "lab", "model", inputs=inputs, chunk_size=2, max_in_flight=4, timeout=3)
    with pytest.raises(WaitTimeout, match=r"timeout of 3 s .* 7 requests to the version 'v1' .* 1 were outstanding"):
        next(items)
    gate.open()
    assert inputs.read == 8


def test_no_more_are_outstanding_than_allowed(project: TestProject, gate: Gate, calls: Calls) -> None:
    project.deploy(gate.code)
    inputs = Counting(xs(20, start=-19))
    items = map_requests(project.api, "lab", "model", inputs=inputs, chunk_size=3, max_in_flight=7, timeout=1)
    with pytest.raises(WaitTimeout):
        next(items)
    gate.open()
    assert (calls.batches, inputs.read) == (2, 6)
    assert sum(requested(project).values()) == 6


# Faulty inputs


def faulty(count: int, *places: int) -> list[dict[str, Any]]:
    return [{"x": "no number" if place in places else place} for place in range(count)]


@pytest.mark.parametrize(
    ("places", "batches"),
    # The first: the whole, six halves down to it, and the six beside them. The last: its halves needn't be tried.
    [((0,), 13), ((31,), 13), ((63,), 8), ((40,), 13), ((0, 63), 20)],
)
@pytest.mark.usefixtures("deployed")
def test_faulty_inputs_are_found_by_halving(
    project: TestProject, calls: Calls, places: tuple[int, ...], batches: int
) -> None:
    items = list(map_requests(project.api, "lab", "model", inputs=faulty(64, *places), on_error="return"))
    assert [item.index for item in items] == list(range(64))
    assert {item.index for item in items if isinstance(item.error, InvalidInput)} == set(places)
    assert all(item.result == {"y": 2 * item.index} for item in items if item.index not in places)
    assert calls.batches <= batches
    assert set(requested(project).values()) == {1}


@pytest.mark.usefixtures("deployed")
def test_inputs_that_are_all_faulty_are_all_reported(project: TestProject, calls: Calls) -> None:
    inputs = faulty(8, *range(8))
    items = list(map_requests(project.api, "lab", "model", inputs=inputs, on_error="return"))
    assert [item.index for item in items] == list(range(8))
    for item in items:
        assert isinstance(item.error, InvalidInput)
        assert item.error.index == item.index
        assert "the server refused it: Bad Request (400) Error: The input" in str(item.error)
        assert isinstance(item.error.__cause__, ubiops.exceptions.BadRequestError)
    assert calls.batches == 15
    assert requested(project) == {}


@pytest.mark.usefixtures("deployed")
def test_the_first_faulty_input_ends_the_map_after_the_results_before_it(project: TestProject, calls: Calls) -> None:
    items = map_requests(project.api, "lab", "model", inputs=faulty(300, 5, 200), chunk_size=64)
    assert [next(items).index for _ in range(5)] == list(range(5))
    with pytest.raises(InvalidInput, match=r"inputs\[5\]") as caught:
        next(items)
    assert caught.value.index == 5
    assert set(requested(project)) == set(range(5))
    assert calls.batches <= 13


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        ({"x": float("nan")}, r"`inputs\[2\].x` .*which JSON can't represent"),
        ({"x": {1, 2}}, r"`inputs\[2\].x` .*send a list"),
        ([{"x": 1}], r"`inputs\[2\]` .*must be a dict or str, not list"),
        (None, r"`inputs\[2\]` .*must be a dict or str, not NoneType"),
    ],
)
@pytest.mark.usefixtures("deployed")
def test_what_has_no_form_in_json_is_refused_before_its_batch_is_sent(
    project: TestProject, calls: Calls, bad: Any, problem: str
) -> None:
    inputs = [*xs(2), bad, *xs(1)]
    with pytest.raises(InvalidInput, match=problem):
        list(map_requests(project.api, "lab", "model", inputs=inputs))
    assert calls.batches == 0
    items = list(map_requests(project.api, "lab", "model", inputs=inputs, on_error="return"))
    assert [item.result for item in items] == [{"y": 2}, {"y": 4}, None, {"y": 2}]
    assert isinstance(items[2].error, InvalidInput)


def test_a_version_without_a_package_is_no_fault_of_the_inputs(project: TestProject, calls: Calls) -> None:
    project.create_deployment()
    project.create_version()
    with pytest.raises(ubiops.exceptions.BadRequestError, match="v1"):
        list(map_requests(project.api, "lab", "model", inputs=xs(50), on_error="return"))
    assert calls.batches == 1


# Failing requests


def test_a_failed_request_ends_the_map_and_the_others(project: TestProject) -> None:
    project.deploy(FAILING)
    inputs = [{"x": 1}, {"x": -1}, *xs(30)]
    items = map_requests(project.api, "lab", "model", inputs=inputs)
    assert next(items).result == {"y": 2}
    with pytest.raises(RequestFailed, match=r"inputs\[1\] failed: .*exception occurred") as caught:
        next(items)
    assert (caught.value.index, caught.value.last.status) == (1, "failed")
    assert list(items) == []


def test_failed_requests_are_given_in_their_place(project: TestProject) -> None:
    project.deploy(FAILING)
    inputs = [{"x": 1}, {"x": -1}, {"x": 2}]
    items = list(map_requests(project.api, "lab", "model", inputs=inputs, on_error="return"))
    assert [item.result for item in items] == [{"y": 2}, None, {"y": 4}]
    error = items[1].error
    assert isinstance(error, RequestFailed)
    assert (error.index, error.last) == (1, items[1].request)


def test_an_error_of_the_generator_is_the_program_s(project: TestProject, gate: Gate) -> None:
    project.deploy(gate.code)

    def inputs() -> Iterator[dict[str, int]]:
        yield from xs(2, start=0)
        raise KeyError("row 2")

    with pytest.raises(KeyError, match="row 2"):
        list(map_requests(project.api, "lab", "model", inputs=inputs(), chunk_size=1))
    assert set(statuses(project)) <= {"cancelled", "cancelled_pending"}
    gate.open()


# Arguments


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"x": 1}, "expected an iterable of inputs, one for each request, got one dict: put it in a list"),
        ("text", "got one str"),
        (b"text", "got one bytes"),
        (None, "expected an iterable of inputs, got None"),
        (3, "expected an iterable of inputs, got 3"),
    ],
)
def test_inputs_that_are_no_iterable_of_inputs_are_refused(project: TestProject, inputs: Any, problem: str) -> None:
    with pytest.raises(ubiops.exceptions.ApiTypeError, match=problem):
        map_requests(project.api, "lab", "model", inputs=inputs)


def test_a_table_is_refused_as_its_columns_would_be_sent(project: TestProject) -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(ubiops.exceptions.ApiTypeError, match=r"pass its .to_dict\('records'\)"):
        map_requests(project.api, "lab", "model", inputs=pandas.DataFrame({"x": [1]}))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, "either `deployment_name` or `pipeline_name`"),
        ({"deployment_name": "a", "pipeline_name": "b"}, "either `deployment_name` or `pipeline_name`"),
        ({"deployment_name": "a", "chunk_size": 251}, "`chunk_size` .* must be an int from 1 to 250, got 251"),
        ({"pipeline_name": "a", "chunk_size": 101}, "`chunk_size` .* must be an int from 1 to 100, got 101"),
        ({"deployment_name": "a", "chunk_size": 0}, "`chunk_size`"),
        ({"deployment_name": "a", "chunk_size": 20, "max_in_flight": 10}, "`max_in_flight` .* int from 20 on, got 10"),
        ({"deployment_name": "a", "timeout": 0}, "`timeout` .* above 0, got 0"),
        ({"deployment_name": "a", "timeout": float("nan")}, "`timeout`"),
        ({"deployment_name": "a", "timeout": "1"}, "`timeout` .* expected a number of seconds or None, got str"),
        ({"deployment_name": "a", "chunk_size": "5"}, "`chunk_size` .* expected int, got str"),
        ({"deployment_name": "a", "checkpoint": 3}, "`checkpoint` .* expected a path or None, got int"),
        ({"deployment_name": "a", "on_error": "ignore"}, "`on_error` .* 'raise' or 'return', got 'ignore'"),
        ({"deployment_name": "a", "skip": -1}, "`skip` .* int from 0 on"),
        ({"deployment_name": "a", "request_timeout": 5}, "`request_timeout` .* int from 10 to 172800, got 5"),
    ],
)
def test_arguments_out_of_bounds_are_refused_at_once(
    project: TestProject, options: dict[str, Any], problem: str
) -> None:
    # A value of another type is told from one that is out of bounds, as in all helpers.
    expected = ubiops.ApiTypeError if "expected" in problem else ubiops.ApiValueError
    with pytest.raises(expected, match=problem):
        map_requests(project.api, "lab", inputs=[], **options)


@pytest.mark.usefixtures("deployed")
def test_the_time_limit_of_each_request_is_the_server_s(project: TestProject, calls: Calls) -> None:
    assert len(list(map_requests(project.api, "lab", "model", inputs=xs(2), request_timeout=4711))) == 2
    assert [url for url in calls.urls if url.endswith("/requests/batch?timeout=4711")]


@pytest.mark.usefixtures("deployed")
def test_inputs_that_are_skipped_are_not_sent(project: TestProject) -> None:
    inputs: list[Any] = [None, *xs(9)]
    items = map_requests(project.api, "lab", "model", inputs=inputs, skip=8, chunk_size=3)
    assert [(item.index, item.result) for item in items] == [(8, {"y": 16}), (9, {"y": 18})]
    assert requested(project) == {8: 1, 9: 1}


# Versions, pipelines, permissions


@pytest.mark.usefixtures("deployed")
def test_a_version_may_be_named(project: TestProject) -> None:
    project.deploy_version('class Deployment:\n    def request(self, data): return {"y": -1}', "v2")
    items = map_requests(project.api, "lab", "model", version="v2", inputs=xs(3))
    assert [(item.result, item.request and item.request.version) for item in items] == [({"y": -1}, "v2")] * 3


@pytest.mark.usefixtures("deployed")
def test_all_inputs_go_to_the_version_that_was_the_default_at_the_start(project: TestProject) -> None:
    project.deploy_version(version="v2")
    items = map_requests(project.api, "lab", "model", inputs=xs(6), chunk_size=2, max_in_flight=2)
    first = next(items)
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    assert {item.request and item.request.version for item in [first, *items]} == {"v1"}


def test_a_deployment_without_a_version_is_refused(project: TestProject) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.ApiValueError, match="'model' has no default version: pass the `version`"):
        next(map_requests(project.api, "lab", "model", inputs=xs(1)))


def test_pipelines_take_batches_of_a_hundred(project: TestProject, calls: Calls) -> None:
    make_pipeline(project, [], [attach("pipeline_end", {"pipeline_start": {"x": "y"}})])
    items = list(map_requests(project.api, "lab", pipeline_name="line", inputs=xs(101)))
    assert [item.result for item in items] == [{"y": x} for x in range(1, 102)]
    assert calls.batches == 2
    assert calls.count("/pipelines/line/versions/v1/requests/collect") > 1


@pytest.mark.usefixtures("deployed")
def test_a_pipeline_version_may_be_named_and_its_faulty_inputs_are_found(project: TestProject) -> None:
    make_line(project)
    make_pipeline(project, [deployment("d")], name="other", version="v7")
    items = list(
        map_requests(project.api, "lab", pipeline_name="line", version="v1", inputs=faulty(9, 4), on_error="return")
    )
    assert [item.index for item in items if item.error] == [4]
    with pytest.raises(ubiops.exceptions.NotFoundError):
        next(map_requests(project.api, "lab", pipeline_name="other", version="v1", inputs=xs(1)))


def test_leaving_deletes_the_outstanding_requests_to_a_pipeline(project: TestProject, gate: Gate) -> None:
    project.deploy(gate.code)
    make_line(project)
    items = map_requests(project.api, "lab", pipeline_name="line", inputs=[{"x": 1}, *xs(4, start=-3)])
    assert next(items).result == {"y": 2}
    items.close()
    kept = project.api.pipeline_requests_list("lab", "line")
    assert [request.status for request in kept] == ["completed"]
    gate.open()


@pytest.mark.usefixtures("deployed")
def test_a_token_that_may_not_make_requests_is_told(project: TestProject, callers: Callers) -> None:
    viewer = callers.service_user("project-viewer")
    with pytest.raises(ubiops.exceptions.ForbiddenError):
        next(map_requests(viewer, "lab", "model", inputs=xs(1)))
    assert requested(project) == {}


@pytest.mark.usefixtures("deployed")
def test_a_token_for_requests_alone_will_do(project: TestProject, callers: Callers) -> None:
    permissions = [f"deployments.versions.requests.{action}" for action in ("create", "get")]
    project.api.roles_create("lab", {"name": "caller", "permissions": permissions})
    caller = callers.service_user("caller")
    items = map_requests(caller, "lab", "model", version="v1", inputs=xs(3))
    assert [item.result for item in items] == [{"y": 2}, {"y": 4}, {"y": 6}]


# A server in trouble


def run(project: TestProject, count: int = 20, **options: Any) -> list[Any]:
    """The results of inputs that are sent five at a time, of which each was requested once."""
    items = list(map_requests(project.api, "lab", "model", inputs=xs(count), chunk_size=5, **options))
    assert requested(project) == {x: 1 for x in range(1, count + 1)}
    return [item.result for item in items]


DOUBLED = [{"y": 2 * x} for x in range(1, 21)]


@pytest.mark.parametrize(
    ("fault", "history"),
    [
        (Fault("POST", BATCH, status=503, times=2), False),
        (Fault("POST", BATCH, status=502), True),
        (Fault("POST", BATCH, drop=True, times=2), False),
        # These are carried out, and nobody learns it.
        (Fault("POST", BATCH, truncate=True), False),
        (Fault("POST", BATCH, truncate=True, times=3), True),
    ],
    ids=["503 twice", "502 with a history", "dropped twice", "truncated", "truncated 3 times with a history"],
)
@pytest.mark.usefixtures("deployed")
def test_a_batch_whose_answer_is_lost_is_sent_once(
    project: TestProject, emulator: Emulator, fault: Fault, history: bool
) -> None:
    earlier: list[str] = []
    for _ in range(2 if history else 0):
        # Of the same data, and not this map's.
        created = project.api.batch_deployment_requests_create("lab", "model", xs(1))
        earlier += project.finished([created[0].id])
    emulator.faults.add(fault)
    items = list(map_requests(project.api, "lab", "model", inputs=xs(20), chunk_size=5))
    assert [item.result for item in items] == DOUBLED
    assert requested(project) == {**{x: 1 for x in range(1, 21)}, 1: 1 + len(earlier)}
    assert not {item.request and item.request.id for item in items} & set(earlier)


@pytest.mark.usefixtures("deployed")
def test_a_batch_that_can_t_be_told_from_those_of_others_is_in_doubt(project: TestProject, emulator: Emulator) -> None:

    def inputs() -> Iterator[dict[str, int]]:
        # Another program makes the same requests meanwhile.
        project.api.batch_deployment_requests_create("lab", "model", xs(5))
        emulator.faults.add(Fault("POST", BATCH, truncate=True))
        yield from xs(10)

    with pytest.raises(RequestsInDoubt, match=r"inputs\[0:5\]: .*other requests with the same") as caught:
        list(map_requests(project.api, "lab", "model", inputs=inputs(), chunk_size=5))
    assert caught.value.indexes == range(5)
    items = list(map_requests(project.api, "lab", "model", inputs=inputs(), chunk_size=5, on_error="return"))
    assert [type(item.error) for item in items] == [RequestsInDoubt] * 5 + [type(None)] * 5
    assert requested(project)[1] == 4


@pytest.mark.usefixtures("deployed")
def test_requests_of_others_whose_data_isn_t_kept_leave_a_lost_batch_in_doubt(
    project: TestProject, emulator: Emulator
) -> None:

    def inputs() -> Iterator[dict[str, int]]:
        for mode in ("metadata", "full"):
            project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_mode": mode})
            created = project.api.batch_deployment_requests_create("lab", "model", xs(3))
            project.finished([request.id for request in created])
        project.api.deployment_requests_batch_delete("lab", "model", [request.id for request in created])
        emulator.faults.add(Fault("POST", BATCH, drop=True))
        yield from xs(3)

    with pytest.raises(RequestsInDoubt, match=r"inputs\[0:3\]: .*the data of requests made since then isn't kept"):
        list(map_requests(project.api, "lab", "model", inputs=inputs()))


@pytest.mark.usefixtures("deployed")
def test_a_server_that_can_t_be_asked_about_a_lost_batch_leaves_it_in_doubt(
    project: TestProject, emulator: Emulator, callers: Callers
) -> None:
    permissions = [f"deployments.versions.requests.{action}" for action in ("create", "get")]
    project.api.roles_create("lab", {"name": "caller", "permissions": permissions})
    emulator.faults.add(Fault("POST", BATCH, truncate=True))
    with pytest.raises(RequestsInDoubt, match=r"inputs\[0:3\]: .* can't be asked: Forbidden"):
        list(map_requests(callers.service_user("caller"), "lab", "model", version="v1", inputs=xs(3)))


@pytest.mark.parametrize("fault", [Fault("POST", COLLECT, status=503, times=3), Fault("POST", COLLECT, drop=True)])
@pytest.mark.usefixtures("deployed")
def test_a_collection_that_fails_is_repeated(project: TestProject, emulator: Emulator, fault: Fault) -> None:
    emulator.faults.add(fault)
    assert run(project) == DOUBLED


def test_a_server_that_stays_in_trouble_is_given_up(
    project: TestProject, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Outage, "longest", 0.2)
    project.deploy()
    emulator.faults.add(Fault("POST", COLLECT, status=503, times=1000))
    with pytest.raises(ubiops.exceptions.ServerError):
        run(project)


@pytest.mark.usefixtures("deployed")
def test_a_refusal_that_is_no_input_s_fault_ends_the_map(
    project: TestProject, emulator: Emulator, calls: Calls
) -> None:
    emulator.faults.add(Fault("POST", BATCH, status=409))
    with pytest.raises(ubiops.exceptions.ConflictError):
        run(project, on_error="return")
    assert calls.batches == 1


@pytest.mark.usefixtures("deployed")
def test_a_body_that_is_too_large_is_sent_in_smaller_ones(
    project: TestProject, emulator: Emulator, calls: Calls
) -> None:
    emulator.faults.add(Fault("POST", BATCH, status=413, times=2))
    items = list(map_requests(project.api, "lab", "model", inputs=xs(20)))
    assert [item.result for item in items] == DOUBLED
    # 20 and 10 are too many; then fives.
    assert calls.batches == 2 + 4


@pytest.mark.usefixtures("deployed")
def test_a_full_queue_is_waited_for(project: TestProject, emulator: Emulator, calls: Calls) -> None:
    emulator.faults.add(Fault("POST", BATCH, status=429, times=4))
    assert run(project) == DOUBLED
    assert calls.statuses[429] == 4


def test_a_full_queue_is_tried_again_once_fewer_are_outstanding(
    project: TestProject, gate: Gate, emulator: Emulator, calls: Calls
) -> None:
    project.deploy(gate.code)

    def inputs() -> Iterator[dict[str, int]]:
        yield from xs(4, start=-9)
        emulator.faults.add(Fault("POST", BATCH, status=429))
        yield from xs(4, start=-5)

    with pytest.raises(WaitTimeout):
        next(map_requests(project.api, "lab", "model", inputs=inputs(), chunk_size=2, max_in_flight=8, timeout=1.5))
    gate.open()
    assert calls.batches == 3


def test_a_queue_that_others_have_filled_is_waited_for(project: TestProject, gate: Gate, calls: Calls) -> None:
    project.create_deployment()
    project.deploy_version(gate.code, maximum_queue_size_batch=6, maximum_instances=1)
    for batch in (xs(1, start=0), xs(6, start=-6)):
        project.api.batch_deployment_requests_create("lab", "model", batch)
        wait_until(lambda: statuses(project)["processing"], bool)

    def open_gate() -> None:
        wait_until(lambda: calls.statuses[429], bool)
        gate.open()

    opener = threading.Thread(target=open_gate)
    opener.start()
    items = list(map_requests(project.api, "lab", "model", inputs=xs(30)))
    opener.join()
    assert [item.result for item in items] == [{"y": 2 * x} for x in range(1, 31)]
    assert set(requested(project).values()) == {1}


def test_a_short_queue_is_known_beforehand(project: TestProject, calls: Calls) -> None:
    project.create_deployment()
    project.deploy_version(maximum_queue_size_batch=7)
    items = map_requests(project.api, "lab", "model", inputs=xs(30))
    assert [item.result for item in items] == [{"y": 2 * x} for x in range(1, 31)]
    assert calls.statuses[429] == 0


# Results that aren't there


@pytest.mark.parametrize("mode", ["metadata", "none"])
def test_a_version_that_keeps_no_results_is_refused(project: TestProject, mode: str) -> None:
    project.create_deployment()
    project.deploy_version(request_retention_mode=mode)
    with pytest.raises(ubiops.ApiValueError, match=f"request_retention_mode is '{mode}': set it to 'full'"):
        next(map_requests(project.api, "lab", "model", inputs=xs(1)))
    assert requested(project) == {}


@pytest.mark.usefixtures("deployed")
def test_a_result_that_is_no_longer_kept_is_an_error(project: TestProject) -> None:

    def inputs() -> Iterator[dict[str, int]]:
        project.api.deployment_versions_update("lab", "model", "v1", {"request_retention_mode": "metadata"})
        yield from xs(1)

    message = r"for inputs\[0\] has no result: set the request_retention_mode of .* to 'full'"
    with pytest.raises(RequestFailed, match=message) as caught:
        next(map_requests(project.api, "lab", "model", inputs=inputs()))
    assert caught.value.index == 0


def test_deleted_requests_are_gone_and_the_others_are_collected(project: TestProject, gate: Gate) -> None:
    project.deploy(gate.code)
    items = map_requests(project.api, "lab", "model", inputs=[*xs(4), {"x": 0}], chunk_size=4, on_error="return")
    first = next(items)
    waiting = wait_until(lambda: project.api.deployment_requests_list("lab", "model", status="processing"), bool)
    project.api.deployment_requests_delete("lab", "model", waiting[0].id)
    gate.open()
    errors = [item.error for item in [first, *items]]
    assert errors[:4] == [None] * 4
    assert isinstance(errors[4], RequestFailed)
    assert (errors[4].index, "is gone: it was deleted" in str(errors[4])) == (4, True)


def test_a_version_that_is_deleted_is_named(project: TestProject, gate: Gate) -> None:
    project.deploy(gate.code)
    project.deploy_version(gate.code, "v2")
    items = map_requests(project.api, "lab", "model", version="v2", inputs=[*xs(1), {"x": 0}], chunk_size=1)
    next(items)
    gate.open()
    project.api.deployment_versions_delete("lab", "model", "v2")
    with pytest.raises(ubiops.exceptions.NotFoundError, match="v2"):
        next(items)


# Leaving


def leave_by_close(items: Any) -> None:
    next(items)
    items.close()


def leave_by_break(items: Any) -> None:
    for _ in items:
        break
    del items
    gc.collect()


def leave_by_error(items: Any) -> None:
    def take() -> None:
        for _ in items:
            raise KeyError("a mistake in the loop")

    with pytest.raises(KeyError):
        take()
    items.close()


@pytest.mark.parametrize("leave", [leave_by_close, leave_by_break, leave_by_error])
def test_leaving_cancels_what_is_outstanding(project: TestProject, gate: Gate, leave: Callable[[Any], None]) -> None:
    project.deploy(gate.code)
    leave(map_requests(project.api, "lab", "model", inputs=[{"x": 1}, *xs(40, start=-39)], chunk_size=10))
    found = statuses(project)
    assert found["completed"] == 1
    assert found["cancelled"] + found["cancelled_pending"] == sum(found.values()) - 1 > 30
    gate.open()


def test_what_can_t_be_cancelled_is_named(
    project: TestProject, gate: Gate, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    project.deploy(gate.code)
    items = map_requests(project.api, "lab", "model", inputs=[{"x": 1}, *xs(4, start=-3)])
    next(items)
    emulator.faults.add(Fault("PATCH", status=503, times=100))
    with caplog.at_level(logging.WARNING, "ubiops.utils"):
        items.close()
    ids = [request.id for request in project.api.deployment_requests_list("lab", "model") if request.success is None]
    assert len(ids) == 4
    assert "4 requests to the version 'v1' of the deployment 'model' couldn't be cancelled: " in caplog.text
    assert all(id in caplog.text for id in ids)
    gate.open()


def test_cancelling_takes_bounded_time(
    project: TestProject, gate: Gate, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_map, "_CANCELLING", 0.5)
    project.deploy(gate.code)
    items = map_requests(project.api, "lab", "model", inputs=[{"x": 1}, *xs(4, start=-3)])
    next(items)
    # It would end when the test's emulator does.
    emulator.faults.add(Fault("PATCH", latency=3600, times=100))
    items.close()
    gate.open()


def test_a_timeout_cancels_what_is_outstanding(project: TestProject, gate: Gate) -> None:
    project.deploy(gate.code)
    with pytest.raises(WaitTimeout) as caught:
        list(map_requests(project.api, "lab", "model", inputs=xs(4, start=-3), timeout=0.5))
    assert isinstance(caught.value, TimeoutError)
    assert statuses(project)["pending"] == statuses(project)["processing"] == 0
    gate.open()


@pytest.mark.usefixtures("deployed")
def test_a_timeout_ends_a_call_that_hangs(project: TestProject, emulator: Emulator) -> None:
    emulator.faults.add(Fault("POST", COLLECT, latency=3600, times=100))
    with pytest.raises(WaitTimeout):
        list(map_requests(project.api, "lab", "model", inputs=xs(4), timeout=0.5))

"""`map_requests` with a checkpoint: it goes on where an earlier run ended, and sends nothing twice."""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.emulator.pipelines import make_line
from test.emulator.project import TestProject, wait_until
from test.utils.requests import FAILING, Calls, Gate, requested, statuses, xs
from test.utils.test_request_batches import BATCH, _soon
from ubiops.emulator import Emulator
from ubiops.emulator.faults import Fault
from ubiops.utils import InvalidInput, RequestFailed, RequestsInDoubt, map_requests

__all__ = ["_soon"]

KILLS = 8
ROOT = Path(ubiops.__file__).parents[1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "job.jsonl"


def run(project: TestProject, path: Path, inputs: Any, **options: Any) -> list[Any]:
    options = {"chunk_size": 5, **options}
    return [
        item.result for item in map_requests(project.api, "lab", "model", inputs=inputs, checkpoint=path, **options)
    ]


def doubled(count: int) -> list[Any]:
    return [{"y": 2 * x} for x in range(1, count + 1)]


def records(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


# Going on


@pytest.mark.usefixtures("deployed")
def test_a_job_that_is_done_gives_its_results_again_and_sends_nothing(
    project: TestProject, path: Path, calls: Calls
) -> None:
    assert run(project, path, xs(12)) == doubled(12)
    assert calls.batches == 3
    assert run(project, path, iter(xs(12))) == doubled(12)
    completed = run(project, path, xs(12), as_completed=True, version="v1")
    assert sorted(result["y"] for result in completed) == [2 * x for x in range(1, 13)]
    assert run(project, path, xs(12), chunk_size=2, max_in_flight=2) == doubled(12)
    assert calls.batches == 3


@pytest.mark.usefixtures("deployed")
def test_a_job_goes_on_with_more_inputs(project: TestProject, path: Path, calls: Calls) -> None:
    run(project, path, xs(7))
    assert run(project, path, xs(20)) == doubled(20)
    assert requested(project) == {x: 1 for x in range(1, 21)}


@pytest.mark.parametrize("as_completed", [False, True])
def test_leaving_leaves_what_is_outstanding_to_the_next_run(
    project: TestProject, path: Path, gate: Gate, as_completed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    project.deploy(gate.code)
    inputs = [{"x": 1}, *xs(11, start=-10)]
    items = map_requests(project.api, "lab", "model", inputs=inputs, chunk_size=4, checkpoint=path)
    next(items)
    items.close()
    assert "are left to the next run with the checkpoint" in caplog.text
    gate.open()
    results = run(project, path, inputs, as_completed=as_completed)
    assert sorted(result["y"] for result in results) == sorted(2 * one["x"] for one in inputs)
    assert as_completed or results == [{"y": 2 * one["x"]} for one in inputs]
    assert requested(project) == {one["x"]: 1 for one in inputs}
    assert statuses(project) == {"completed": 12}


@pytest.mark.usefixtures("deployed")
def test_what_was_written_down_needn_t_be_collected_again(project: TestProject, path: Path, calls: Calls) -> None:
    run(project, path, xs(12))
    before = calls.count("/requests/collect")
    items = list(map_requests(project.api, "lab", "model", inputs=xs(12), checkpoint=path, skip=11))
    assert [(item.index, item.result) for item in items] == [(11, {"y": 24})]
    assert calls.count("/requests/collect") == before + 1


@pytest.mark.usefixtures("deployed")
def test_a_job_that_left_inputs_out_goes_on_so(project: TestProject, path: Path) -> None:
    assert run(project, path, xs(12), skip=3) == doubled(12)[3:]
    assert run(project, path, xs(12), skip=3) == doubled(12)[3:]
    assert run(project, path, xs(12), skip=8) == doubled(12)[8:]
    with pytest.raises(ubiops.ApiValueError, match="it belongs to a job that skipped inputs: pass skip=3"):
        run(project, path, xs(12))


@pytest.mark.usefixtures("deployed")
def test_a_job_goes_on_with_the_version_it_began_with(project: TestProject, path: Path) -> None:
    project.deploy_version('class Deployment:\n    def request(self, data): return {"y": -1}', "v2")
    run(project, path, xs(4))
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    assert run(project, path, xs(8)) == doubled(8)


@pytest.mark.usefixtures("deployed")
def test_pipelines_go_on_too(project: TestProject, path: Path, calls: Calls) -> None:
    make_line(project)
    for _ in range(2):
        items = map_requests(project.api, "lab", pipeline_name="line", inputs=xs(5), checkpoint=path)
        assert [item.result for item in items] == doubled(5)
    assert calls.batches == 1


def test_failures_stay(project: TestProject, path: Path, calls: Calls) -> None:
    project.deploy(FAILING)
    inputs: list[Any] = [{"x": 1}, {"x": -1}, {"z": 0}, {"x": float("nan")}, {"x": 2}]
    results = []
    for _ in range(2):
        items = map_requests(project.api, "lab", "model", inputs=inputs, checkpoint=path, on_error="return")
        results.append([(item.result, type(item.error), str(item.error)) for item in items])
    assert results[0] == results[1]
    assert [kind for _, kind, _ in results[0]] == [type(None), RequestFailed, InvalidInput, InvalidInput, type(None)]
    assert calls.batches == 4
    with pytest.raises(RequestFailed, match=r"inputs\[1\]"):
        list(map_requests(project.api, "lab", "model", inputs=inputs, checkpoint=path))
    assert calls.batches == 4


@pytest.mark.usefixtures("deployed")
def test_requests_that_are_gone_are_failures(project: TestProject, path: Path) -> None:
    run(project, path, xs(4))
    listed = project.api.deployment_requests_list("lab", "model")
    project.api.deployment_requests_delete("lab", "model", listed[0].id)
    items = list(map_requests(project.api, "lab", "model", inputs=xs(4), checkpoint=path, on_error="return"))
    assert [item.error is None for item in items].count(False) == 1
    assert [item.result for item in items if item.error] == [None]


# Batches whose answer was lost


@pytest.mark.usefixtures("deployed")
def test_a_batch_that_was_announced_and_never_sent_is_sent(project: TestProject, path: Path, calls: Calls) -> None:
    run(project, path, xs(10))
    lines = path.read_bytes().splitlines(keepends=True)
    project.api.deployment_requests_batch_delete("lab", "model", json.loads(lines[-1])["ids"])
    path.write_bytes(b"".join(lines[:-1]))
    assert run(project, path, xs(10)) == doubled(10)
    assert requested(project) == {x: 1 for x in range(1, 11)}
    assert calls.batches == 3


@pytest.mark.parametrize("torn", [b"", b'{"ids": ["a', b"{"])
@pytest.mark.parametrize("kept", [2, 4])
@pytest.mark.usefixtures("deployed")
def test_a_batch_whose_ids_were_not_written_is_found(
    project: TestProject, path: Path, calls: Calls, torn: bytes, kept: int
) -> None:
    run(project, path, xs(kept // 2 * 5))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + torn)
    assert run(project, path, xs(10)) == doubled(10)
    assert requested(project) == {x: 1 for x in range(1, 11)}
    assert calls.batches == 2
    assert [list(record) for record in records(path)[1:]] == [["send", "digest"], ["ids", "created"]] * 2


@pytest.mark.usefixtures("deployed")
def test_a_batch_in_doubt_is_looked_for_again_unless_its_failure_was_given(
    project: TestProject, path: Path, emulator: Emulator
) -> None:

    def inputs() -> Iterator[dict[str, int]]:
        if "send" not in path.read_text():
            # Another program makes the same requests, once the job has begun.
            project.api.batch_deployment_requests_create("lab", "model", xs(5))
            emulator.faults.add(Fault("POST", BATCH, truncate=True))
        yield from xs(10)

    for _ in range(2):
        with pytest.raises(RequestsInDoubt, match=r"inputs\[0:5\]"):
            run(project, path, inputs())
    options: Any = {"checkpoint": path, "chunk_size": 5, "on_error": "return"}
    for _ in range(2):
        items = list(map_requests(project.api, "lab", "model", inputs=inputs(), **options))
        assert [type(item.error) for item in items] == [RequestsInDoubt] * 5 + [type(None)] * 5
    assert requested(project) == {**{x: 2 for x in range(1, 6)}, **{x: 1 for x in range(6, 11)}}


@pytest.mark.usefixtures("deployed")
def test_a_batch_in_doubt_is_found_once_it_can_be_told_from_those_of_others(
    project: TestProject, path: Path, emulator: Emulator
) -> None:
    others: list[str] = []

    def inputs() -> Iterator[dict[str, int]]:
        if not others:
            created = project.api.batch_deployment_requests_create("lab", "model", xs(5))
            others.extend(request.id for request in created)
            emulator.faults.add(Fault("POST", BATCH, truncate=True))
        yield from xs(10)

    with pytest.raises(RequestsInDoubt):
        run(project, path, inputs())
    project.api.deployment_requests_batch_delete("lab", "model", others)
    assert run(project, path, inputs()) == doubled(10)
    assert requested(project) == {x: 1 for x in range(1, 11)}


def test_a_checkpoint_of_release_3_12_1_goes_on(project: TestProject, path: Path, calls: Calls) -> None:
    # It was written by that release, which was killed when it had announced its last batch; only the ids are others.
    project.deploy()
    text = (Path(__file__).parent / "checkpoint-3.12.1.jsonl").read_text()
    inputs: list[dict[str, Any]] = [*xs(2), {"x": "three"}, *xs(3, start=4)]
    for batch in (inputs[:2], inputs[3:4], inputs[4:]):
        for request in project.api.batch_deployment_requests_create("lab", "model", batch):
            text = re.sub('"01a21de4-[^"]*"', f'"{request.id}"'.replace("01a2", "@"), text, count=1)
    path.write_text(text.replace("@", "01a2"))
    items = list(map_requests(project.api, "lab", "model", inputs=inputs, checkpoint=path, on_error="return"))
    assert [item.result for item in items] == [{"y": 2}, {"y": 4}, None, {"y": 8}, {"y": 10}, {"y": 12}]
    assert isinstance(items[2].error, InvalidInput)
    assert "must be of type double, not str ('three')" in str(items[2].error)
    assert calls.batches == 3


# What is refused


@pytest.mark.usefixtures("deployed")
def test_other_inputs_are_refused(project: TestProject, path: Path, calls: Calls) -> None:
    run(project, path, xs(12))
    with pytest.raises(ubiops.ApiValueError, match=r"inputs\[5:10\] differ from those that it was made with"):
        run(project, path, [*xs(9), {"x": 0}, *xs(2)])
    with pytest.raises(ubiops.ApiValueError, match="it has 12 inputs, this call has fewer"):
        run(project, path, xs(11))
    assert calls.batches == 3
    assert run(project, path, xs(12)) == doubled(12)


@pytest.mark.usefixtures("deployed")
def test_another_job_is_refused(project: TestProject, path: Path) -> None:
    project.deploy_version(version="v2")
    run(project, path, xs(2))
    project.create_deployment("other")
    for options in (
        {"deployment_name": "other"},
        {"deployment_name": "model", "version": "v2"},
        {"pipeline_name": "model"},
    ):
        with pytest.raises(
            ubiops.ApiValueError, match=r"`checkpoint` .* it belongs to another job: .*'deployment': 'model'"
        ):
            next(map_requests(project.api, "lab", inputs=xs(2), checkpoint=path, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("x,y\n1,2\n", "isn't a checkpoint of map_requests"),
        ("x,y", "isn't a checkpoint of map_requests"),
        ('{"map_requests": 2, ', "isn't a checkpoint of map_requests"),
    ],
)
def test_a_file_that_is_no_checkpoint_is_left_alone(
    project: TestProject, path: Path, content: str, problem: str
) -> None:
    path.write_text(content)
    with pytest.raises(ubiops.ApiValueError, match=problem):
        run(project, path, xs(2))
    assert path.read_text() == content


@pytest.mark.usefixtures("deployed")
def test_a_spoilt_line_is_named(project: TestProject, path: Path) -> None:
    run(project, path, xs(5))
    sound = path.read_text()
    for line in ("null", "{}", "nonsense", '{"ids": ["a"], "created": null}', '{"send": 3}'):
        path.write_text(f"{sound}{line}\n")
        with pytest.raises(ubiops.ApiValueError, match="is damaged in line 4"):
            run(project, path, xs(5))


@pytest.mark.usefixtures("deployed")
def test_a_torn_first_line_is_a_new_job(project: TestProject, path: Path) -> None:
    path.write_bytes(b'{"map_requests": 1, "proj')
    assert run(project, path, xs(2)) == doubled(2)
    assert len(records(path)) == 3


def test_a_folder_that_isn_t_there_is_refused(project: TestProject, tmp_path: Path) -> None:
    with pytest.raises(ubiops.exceptions.ApiFileError, match=r"`checkpoint` .*can't be opened: No such file"):
        run(project, tmp_path / "missing" / "job.jsonl", xs(2))


@pytest.mark.usefixtures("deployed")
def test_a_second_run_at_the_same_time_is_refused(project: TestProject, path: Path) -> None:
    items = map_requests(project.api, "lab", "model", inputs=xs(3), checkpoint=path)
    next(items)
    with pytest.raises(ubiops.ApiValueError, match="is in use by another run"):
        run(project, path, xs(3))
    assert [item.result for item in items] == doubled(3)[1:]
    assert run(project, path, xs(3)) == doubled(3)


# Processes that end

CHILD = """
    import sys

    import ubiops
    from ubiops.utils import map_requests
    from ubiops.utils.batches import lost
    from ubiops.utils.polling import Backoff

    Backoff.first = 0.05
    lost._SETTLING = 2.0
    api = ubiops.CoreApi()
    count, checkpoint = int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None
    inputs = ({"x": x} for x in range(1 - count, 1) if not checkpoint or not print(x, flush=True))
    options = {"chunk_size": 10, "max_in_flight": 40, "checkpoint": checkpoint}
    for item in map_requests(api, "lab", "model", inputs=inputs, **options):
        print("result", item.index, item.result["y"], flush=True)
"""


@contextlib.contextmanager
def child(emulator: Emulator, *arguments: Any, code: str = CHILD) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    environment = {"UBIOPS_API_HOST": emulator.url, "UBIOPS_API_TOKEN": emulator.token, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_ctrl_c_cancels_what_is_outstanding(project: TestProject, emulator: Emulator, gate: Gate) -> None:
    project.deploy(gate.code)
    with child(emulator, 30) as process:
        wait_until(lambda: sum(statuses(project).values()), lambda count: count == 30)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    found = statuses(project)
    assert found["cancelled"] + found["cancelled_pending"] == sum(found.values()) == 30
    gate.open()


@pytest.mark.skipif(sys.platform == "win32", reason="sends signals")
def test_ctrl_c_while_a_batch_is_unanswered_cancels_it(project: TestProject, emulator: Emulator, gate: Gate) -> None:
    project.deploy(gate.code)
    listed = "*/versions/v1/requests"
    # The answer to the batch is lost, and the look for it, the second list that is asked for, takes its time.
    emulator.faults.add(Fault("GET", listed, latency=0.01))
    emulator.faults.add(Fault("POST", BATCH, truncate=True))
    emulator.faults.add(Fault("GET", listed, latency=30))
    with child(emulator, 10) as process:
        wait_until(emulator.faults.left, lambda left: not left)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    found = statuses(project)
    assert found["cancelled"] + found["cancelled_pending"] == sum(found.values()) == 10
    gate.open()


LEAVING = """
    import ubiops
    from ubiops.utils import map_requests

    items = map_requests(ubiops.CoreApi(), "lab", "model", inputs=[{"x": 1}, *[{"x": 0}] * 20])
    print(next(items).result)
"""


def test_the_end_of_the_program_cancels_what_is_outstanding(
    project: TestProject, emulator: Emulator, gate: Gate
) -> None:
    project.deploy(gate.code)
    with child(emulator, code=LEAVING) as process:
        output, errors = process.communicate(timeout=60)
    assert (output, errors) == ("{'y': 2}\n", "")
    found = statuses(project)
    assert (found["completed"], found["cancelled"] + found["cancelled_pending"]) == (1, 20)
    gate.open()


# Without bytecode: Python would keep 600 bytes of that of each module, and fail to load them from then on.
FULL = f"""
    import resource
    import sys

    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))
    {CHILD}"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
@pytest.mark.usefixtures("deployed")
def test_a_full_disk_ends_the_job_which_goes_on_when_there_is_room(
    project: TestProject, emulator: Emulator, path: Path
) -> None:
    with child(emulator, 30, path, code=FULL) as process:
        _, errors = process.communicate(timeout=60)
    # Where it says so on a full disk, "No space left on device".
    assert f"ApiFileError: The checkpoint {path} can't be written: File too large" in errors
    assert path.stat().st_size == 600
    assert 0 < sum(requested(project).values()) < 30
    inputs = xs(30, start=-29)
    assert run(project, path, inputs, chunk_size=10) == [{"y": 2 * one["x"]} for one in inputs]
    assert requested(project) == {one["x"]: 1 for one in inputs}


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
@pytest.mark.usefixtures("deployed")
def test_killed_between_the_announcement_of_a_batch_and_its_answer_it_is_found(
    project: TestProject, emulator: Emulator, path: Path, calls: Calls
) -> None:
    # The server carries the batch out and its answer is lost; the look for it takes its time, and the kill comes then.
    listed = "*/versions/v1/requests"
    emulator.faults.add(Fault("GET", listed, latency=0.01))
    emulator.faults.add(Fault("POST", BATCH, truncate=True))
    emulator.faults.add(Fault("GET", listed, latency=30))
    with child(emulator, 10, path) as process:
        wait_until(emulator.faults.left, lambda left: not left)
        process.kill()
    inputs = xs(10, start=-9)
    assert run(project, path, inputs) == [{"y": 2 * one["x"]} for one in inputs]
    assert requested(project) == {one["x"]: 1 for one in inputs}
    assert calls.batches == 0


@pytest.mark.skipif(sys.platform == "win32", reason="kills processes")
@pytest.mark.usefixtures("deployed")
def test_killed_at_any_moment_a_job_sends_every_input_once(
    project: TestProject, emulator: Emulator, path: Path
) -> None:
    count, kills = 300, 0
    while True:
        with child(emulator, count, path) as process:
            assert process.stdout is not None
            process.stdout.readline()
            # The point of the test: a kill at a moment that nothing chooses. No machine is done before the first.
            timer = threading.Timer(random.uniform(0, 1.5 if kills else 0.05), process.kill)
            if kills < KILLS:
                timer.start()
            output, errors = process.communicate(timeout=120)
            timer.cancel()
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, errors
        kills += 1
    results = [line.split()[1:] for line in output.splitlines() if line.startswith("result")]
    assert results == [[str(index), str(2 * (index + 1 - count))] for index in range(count)]
    assert requested(project) == {x: 1 for x in range(1 - count, 1)}
    assert kills

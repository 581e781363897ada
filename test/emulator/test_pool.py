"""The queue of a version and its instances, below the API: what would take the API's minutes takes a moment here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ubiops.emulator.execution.instance import Instance, Package, Process
from ubiops.emulator.execution.pool import Job, Outcome, Pool
from ubiops.emulator.execution.running import RunningRequest

CODE = """
import os
import time


class Deployment:
    def request(self, data):
        if data == "hang":
            while True:
                time.sleep(1)
        return os.getpid()
"""


class Backend:
    """Runs each job's id as its data, and notes how it ended."""

    def __init__(self, package: Package) -> None:
        self.package = package
        self.ended: dict[str, Outcome] = {}

    def new_instance(self, version_id: str, processes: int) -> Instance:
        return Instance(lambda: self.package, lambda level, lines: None, processes)

    async def execute(self, process: Process, request_id: str, request: RunningRequest | None) -> Outcome:
        data = request_id.partition(" ")[0]
        return Outcome("completed", result=await process.run(data, {}, lambda level, lines: None, lambda text: None))

    def finish(self, request_id: str, outcome: Outcome) -> None:
        self.ended[request_id] = outcome

    def instance_started(self, version_id: str, instance: Instance) -> None:
        pass

    def instance_stopped(self, instance: Instance) -> None:
        pass


@pytest.fixture
def backend(tmp_path: Path) -> Backend:
    (tmp_path / "deployment.py").write_text(CODE)
    return Backend(Package(tmp_path, {"output_fields": []}, {}))


Scenario = Callable[[Pool], Coroutine[Any, Any, None]]


def run(backend: Backend, scenario: Scenario) -> None:
    async def main() -> None:
        pool = Pool(backend, "version")
        try:
            await scenario(pool)
        finally:
            await pool.close()

    asyncio.run(main())


def submit(pool: Pool, request_id: str, *, express: bool = True, timeout: float = 30) -> asyncio.Future[Outcome]:
    job = Job(request_id, express=express, timeout=timeout)
    pool.submit(job)
    return job.done


@pytest.mark.parametrize("express", [True, False])
def test_a_timeout_kills_the_instance_and_fails_the_request(backend: Backend, express: bool) -> None:
    async def scenario(pool: Pool) -> None:
        first = await submit(pool, "go")
        outcome = await submit(pool, "hang", express=express, timeout=0.2)
        assert (outcome.status, outcome.error_message) == ("failed", "The request timed out after 0.2 seconds")
        assert backend.ended["hang"] == outcome
        assert (await submit(pool, "go on")).result != first.result

    run(backend, scenario)


def test_a_direct_request_times_out_in_the_queue_too_and_a_batch_does_not(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        hanging = submit(pool, "hang", timeout=3)
        batch = submit(pool, "go batch", express=False, timeout=2.5)
        outcome = await submit(pool, "go", timeout=0.1)
        assert (outcome.status, hanging.done(), batch.done()) == ("failed", False, False)
        assert (await hanging).status == "failed"
        assert (await batch).status == "completed"

    run(backend, scenario)


def test_direct_requests_go_before_batches(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        jobs = [submit(pool, "go 1", express=False), submit(pool, "go 2", express=False), submit(pool, "go 3")]
        await asyncio.gather(*jobs)
        assert list(backend.ended) == ["go 1", "go 3", "go 2"]

    run(backend, scenario)


def test_there_are_no_more_instances_than_the_maximum(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_instances = 2
        outcomes = await asyncio.gather(*(submit(pool, f"go {number}") for number in range(20)))
        assert len({outcome.result for outcome in outcomes}) == 2

    run(backend, scenario)


def test_requests_wait_for_the_processes_that_an_instance_starts(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_instances, pool.instance_processes = 5, 4
        outcomes = await asyncio.gather(*(submit(pool, f"go {number}") for number in range(4)))
        assert len(pool.instances) == 1
        assert {outcome.result for outcome in outcomes} <= set(pool.instances[0].pids)
        assert len(pool.instances[0].pids) == 4

    run(backend, scenario)


def test_a_moderate_pool_starts_one_instance_at_a_time(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_instances, pool.is_gradual = 3, True
        jobs = [submit(pool, "hang 1", timeout=3), submit(pool, "hang 2", timeout=3), submit(pool, "go")]
        assert len(pool.instances) == 1
        assert (await jobs[2]).status == "completed"
        assert len(pool.instances) == 3

    run(backend, scenario)


def test_an_instance_stops_when_all_its_processes_are_idle(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_idle_time, pool.instance_processes = 0.05, 2
        hanging = submit(pool, "hang", timeout=2)
        await submit(pool, "go")
        (server,) = pool._servers
        assert not (await asyncio.wait({server}, timeout=0.3))[0]
        await hanging
        await server
        assert not pool.instances

    run(backend, scenario)


def test_what_a_stopped_instance_had_begun_to_load_for_runs_on_another(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        waiting = submit(pool, "go")
        await asyncio.sleep(0)
        (stopped,) = pool.instances
        await pool.stop_instance(stopped)
        assert (await waiting).status == "completed"
        assert stopped not in pool.instances

    run(backend, scenario)


def test_an_idle_instance_stops(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_idle_time = 0.05
        first = await submit(pool, "go 1")
        servers = set(pool._servers)
        await asyncio.gather(*servers)
        assert not pool._servers
        assert (await submit(pool, "go 2")).result != first.result

    run(backend, scenario)


def test_the_minimum_of_instances_stays(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        pool.maximum_instances, pool.minimum_instances, pool.maximum_idle_time = 3, 1, 0.05
        await asyncio.gather(*(submit(pool, f"go {number}") for number in range(20)))
        while len(pool._servers) > 1:
            await asyncio.wait(pool._servers, return_when=asyncio.FIRST_COMPLETED)
        _, pending = await asyncio.wait(pool._servers, timeout=0.3)
        assert len(pending) == 1

    run(backend, scenario)


def test_a_restart_waits_for_what_runs(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        first = await submit(pool, "go 1")
        second = submit(pool, "go 2")
        pool.restart()
        third = submit(pool, "go 3")
        assert (await second).result == first.result
        assert (await third).result != first.result

    run(backend, scenario)


def test_a_cancelled_request_frees_its_instance(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        running, waiting = submit(pool, "hang"), submit(pool, "go 1")
        await asyncio.sleep(0)
        pool.cancel("hang")
        assert (await running).status == "cancelled"
        assert (await waiting).status == "completed"
        last = submit(pool, "go 2")
        pool.cancel("go 2")
        assert (await last).status == "cancelled"
        pool.cancel("go 2")
        assert [outcome.status for outcome in backend.ended.values()] == ["cancelled", "completed", "cancelled"]

    run(backend, scenario)


def test_closing_ends_all_at_once(backend: Backend) -> None:
    async def scenario(pool: Pool) -> None:
        jobs = [submit(pool, "hang"), submit(pool, "go")]
        await asyncio.sleep(0)
        await pool.close()
        assert [job.result().status for job in jobs] == ["failed", "failed"]
        assert backend.ended == {}

    run(backend, scenario)

"""How the figures are taken: in turn with a reference, in the same process, in the same state, as medians."""

from __future__ import annotations

import gc
import multiprocessing
import re
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")
Work = Callable[[], Any]

MIB = 1 << 20


class Figure(NamedTuple):
    """A measured figure and its limit."""

    name: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def limit_text(self) -> str:
        return f"at {'least' if self.at_least else 'most'} {self.limit:g} {self.unit}".rstrip()


def cpu_time(work: Work) -> float:
    """Seconds of CPU time, of all threads of this process, that the work takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def wall_time(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(work: Work, reference: Work, rounds: int, measure: Callable[[Work], float] = cpu_time) -> float:
    """The median, over the rounds, of what the work takes relative to what the reference takes.

    Args:
        work: What to measure.
        reference: What to measure it by.
        rounds: Number of rounds; each takes both, one after the other.
        measure: What to take of each.
    """

    def take(one: Work) -> float:
        # Each starts with nothing to collect; the collector stays on, as in the programs that use the client.
        gc.collect()
        return measure(one)

    for one in (work, reference):
        # The first call connects, compiles and imports.
        take(one)
    return median(take(work) / take(reference) for _ in range(rounds))


def repeat(work: Work, times: int) -> Work:
    """Work that is too short to be measured once."""

    def repeated() -> None:
        for _ in range(times):
            work()

    return repeated


def traced_peak(work: Work) -> float:
    """Bytes that Python allocates on top of what is there, at the peak of the work."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


def resident() -> float:
    """MiB of memory that this process has now."""
    return _status("VmRSS")


def resident_growth(work: Work) -> float:
    """MiB by which the work's peak exceeds the memory that this process had before."""
    before = resident()
    # Forgets the peak of what came before, such as imports.
    Path("/proc/self/clear_refs").write_text("5")
    work()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call a module's function in a process that has done nothing else."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *arguments).result()

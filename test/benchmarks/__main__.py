"""Measure, print the table, and exit 1 where a limit is missed."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator

from test.benchmarks import (
    batches,
    calls,
    emulator,
    environments,
    imports,
    many_files,
    models,
    packages,
    streams,
    threads,
    transfers,
)
from test.benchmarks.measure import Figure
from test.benchmarks.server import serving

_GROUPS: dict[str, Callable[[str], Iterator[Figure]]] = {
    "imports": imports.figures,
    "calls": calls.figures,
    "models": models.figures,
    "transfers": transfers.figures,
    "many_files": many_files.figures,
    "threads": threads.figures,
    "emulator": emulator.figures,
    "streams": streams.figures,
    "environments": environments.figures,
    "packages": packages.figures,
    "batches": batches.figures,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m test.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"what to measure: {', '.join(_GROUPS)}; default all")
    names = parser.parse_args().names or list(_GROUPS)
    if unknown := set(names) - set(_GROUPS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    # Whoever stops it stops the servers that it started, too: on the way out.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    start = time.monotonic()
    figures: list[Figure] = []
    for name in names:
        print(f"Measuring {name} ...", file=sys.stderr, flush=True)
        with serving() as url:
            figures += _GROUPS[name](url)
    width = max(len(figure.name) for figure in figures)
    print(f"{'':{width}}  {'measured':>10}  limit")
    for figure in figures:
        print(f"{figure.name:{width}}  {figure.measured:10.2f}  {figure.limit_text}{'' if figure.met else '  MISSED'}")
    missed = sum(not figure.met for figure in figures)
    print(f"{len(figures)} figures, {missed} missed, {time.monotonic() - start:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Many small files up, to a server that takes 20 ms for each request: 8 workers beside one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import ubiops
from test.benchmarks.data import CREDENTIALS
from test.benchmarks.measure import Figure, wall_time
from test.benchmarks.server import serving
from ubiops.utils import upload_files

_FILES = 2_000
_FILES_OF_ONE_WORKER = 100
_WORKERS = 8
_LATENCY = 0.02
_ROUNDS = 3


def figures(url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder, serving(_LATENCY) as slow:
        paths = [Path(folder, f"{number:04}.json") for number in range(_FILES)]
        for path in paths:
            path.write_text("{}")
        configuration = ubiops.Configuration(host=slow, api_key=CREDENTIALS)
        with ubiops.ApiClient(configuration) as client:
            _rate(client, paths[:_WORKERS], _WORKERS)
            gain = median(
                _rate(client, paths, _WORKERS) / _rate(client, paths[:_FILES_OF_ONE_WORKER], 1) for _ in range(_ROUNDS)
            )
    name = f"upload_files of {_FILES:,} files at {_LATENCY * 1000:g} ms a request, {_WORKERS} workers"
    yield Figure(name, gain, 4, "x one worker", at_least=True)


def _rate(client: ubiops.ApiClient, paths: list[Path], workers: int) -> float:
    """Files per second."""
    upload = partial(upload_files, client, "project", paths, parallel_uploads=workers, _progress_bar=False)
    return len(paths) / wall_time(upload)

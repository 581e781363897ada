"""How long an environment takes of which another one has the content already."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from test.benchmarks.emulator import Server, running_emulator
from test.benchmarks.measure import Figure
from test.emulator.project import make_zip, wait_until


def figures(_url: str) -> Iterator[Figure]:
    with TemporaryDirectory() as folder, running_emulator(Path(folder), "--install-requirements") as emulator:
        yield _sharing(emulator)


def _sharing(emulator: Server) -> Figure:
    api: Any = emulator.api()
    python = f"python3-{sys.version_info.minor}"
    # Of this package alone, which needs no index.
    files = {"requirements.txt": "ubiops\n"}

    def build(number: int) -> float:
        api.environments_create("lab", {"name": f"own-{number}", "base_environment": python})
        start = time.perf_counter()
        upload = api.environment_revisions_file_upload("lab", f"own-{number}", file=make_zip(files))
        place = ("lab", upload.build, f"own-{number}", upload.revision)
        built = wait_until(
            lambda: api.environment_builds_get(*place), lambda build: build.status in ("success", "failed")
        )
        assert built.status == "success", built.error_message
        return time.perf_counter() - start

    build(0)
    shared = median(build(number) for number in range(1, 10))
    return Figure("an environment that exists, shared", shared, 0.2, "s from its upload to the end of its build")

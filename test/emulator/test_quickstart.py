"""The quickstart, as a newcomer runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ubiops
from test.emulator.project import wait_until
from test.emulator.test_server import is_alive
from ubiops.emulator import Emulator

ROOT = Path(ubiops.__file__).parents[1]
COMMAND = [sys.executable, "-W", "error", "-u", str(ROOT / "examples" / "quickstart" / "quickstart.py")]


def environment(**settings: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **settings}


def test_it_runs_on_an_emulator_of_its_own() -> None:
    result = subprocess.run(COMMAND, env=environment(), capture_output=True, encoding="utf-8", timeout=60, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [line.split() for line in result.stdout.splitlines()]
    # The regression of stopping distance on speed is textbook material: -17.579 + 3.9324 * speed, residual error 15.38.
    assert ["20", "61.1", "±", "30.8"] in lines
    assert any(line[:4] == ["32", "108.3", "±", "30.8"] and "faster" in line[4] for line in lines)
    assert "Bad Request (400) Error: The input field 'speed' must be of type double, not str ('fast')" in result.stdout


def test_it_runs_on_the_service_that_the_environment_names(emulator: Emulator, api: ubiops.CoreApi) -> None:
    settings = {"UBIOPS_API_TOKEN": emulator.token, "UBIOPS_API_HOST": emulator.url, "UBIOPS_PROJECT": "lab"}
    result = subprocess.run(
        COMMAND, env=environment(**settings), capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert "Started an emulator" not in result.stdout
    assert [project.name for project in api.projects_list()] == ["lab"]
    assert api.deployments_list("lab") == []


@pytest.mark.skipif(sys.platform != "linux", reason="looks processes up in /proc")
def test_it_can_be_interrupted() -> None:
    with subprocess.Popen(
        COMMAND, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "A batch" not in process.stdout.readline():
            assert process.poll() is None
        workers = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        workers += _children(process.pid)
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.stderr.read() in ("Interrupted\n", "")
    assert workers
    wait_until(lambda: [pid for pid in workers if is_alive(pid)], lambda alive: not alive)


def _children(pid: int) -> list[int]:
    """The processes that any thread of a process started."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]

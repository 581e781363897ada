"""Programs as users write them, each run as it is in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import ubiops
from ubiops.emulator import Emulator

ROOT = Path(ubiops.__file__).parents[1]
PROGRAMS = Path(__file__).parent / "programs"


def run(emulator: Emulator, name: str) -> list[str]:
    """The lines that a program prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "UBIOPS_API_HOST": emulator.url,
        "UBIOPS_API_TOKEN": emulator.token,
    }
    command = [sys.executable, "-W", "error", str(PROGRAMS / f"{name}.py"), "lab"]
    result = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", timeout=100, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout.splitlines()


def test_a_pipeline_with_conditions_tells_a_chat(emulator: Emulator, api: ubiops.CoreApi) -> None:
    api.projects_create({"name": "lab", "organization_name": "emulator"})
    assert run(emulator, "alerts") == [
        "80 {'text': 'The load may reach 120 MW'}",
        "chat-key pipeline_request_completed completed {'text': 'The load may reach 120 MW'}",
        "20 None",
        "chat-key pipeline_request_completed completed None",
        "900 400 No meter measures that",
        "chat-key pipeline_request_failed failed None",
        "chat-completed None",
        "chat-failed None",
    ]

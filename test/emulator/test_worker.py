"""The process that holds the user's code, without the emulator around it."""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from pathlib import Path

import ubiops
from ubiops.emulator.execution import worker

PACKAGE = """
class Deployment:
    def request(self, data):
        return data
"""


def test_it_ends_with_an_emulator_that_read_not_all_of_its_messages(tmp_path: Path) -> None:
    (tmp_path / "deployment.py").write_text(PACKAGE)
    ours, theirs = socket.socketpair()
    command = [sys.executable, worker.__file__, str(theirs.fileno()), str(Path(ubiops.__file__).parents[1])]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()], start_new_session=True) as process:
        theirs.close()
        ours.sendall(json.dumps({"directory": str(tmp_path), "context": {}}).encode() + b"\n")
        assert select.select([ours], [], [], 30)[0], "the worker says nothing"
        ours.close()
        try:
            assert process.wait(30) < 0
        finally:
            process.kill()

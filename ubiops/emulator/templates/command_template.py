"""The package of a version that runs a command, as a child process, in place of code that takes requests."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any


class Deployment:
    def __init__(self, base_directory: str) -> None:
        command = json.loads(Path(base_directory, "command.json").read_text(encoding="utf-8"))
        # So that `python` is the one of the environment.
        path = os.pathsep.join(filter(None, [str(Path(sys.executable).parent), os.environ.get("PATH")]))
        self._process = subprocess.Popen(command, env={**os.environ, "PATH": path})
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        # An instance ends with its command.
        os._exit(abs(self._process.wait()))

    def request(self, data: Any) -> Any:
        raise RuntimeError("A deployment without the request format takes no requests")

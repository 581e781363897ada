"""The Python interpreters of this machine."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of Python that the emulator runs on."""

_OLDEST = (3, 10)
"""The first version that can run the worker, which runs the user's code."""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter.

    Attributes:
        path: Path of its executable.
        version: Such as ``3.12``.
    """

    path: str
    version: str

    @property
    def is_running(self) -> bool:
        """Whether it is the one that the emulator itself runs on, whose installed packages it shares."""
        return self.path == sys.executable


def find_interpreter(version: str) -> Interpreter:
    """The interpreter of a version of Python: the running one if this machine has no other or it is too old."""
    if version != RUNNING and tuple(map(int, version.split("."))) >= _OLDEST:
        for path in _candidates(version):
            if path.is_file() and os.access(path, os.X_OK):
                return Interpreter(str(path), version)
    return Interpreter(sys.executable, RUNNING)


def _candidates(version: str) -> Iterator[Path]:
    name = f"python{version}"
    for directory in os.get_exec_path():
        # pyenv's shims are scripts, which fail for versions that aren't selected where they are called.
        if Path(directory).name != "shims":
            yield Path(directory, name)
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    uv = Path.home() / ".local" / "share" / "uv" / "python"
    for root, pattern in ((pyenv, f"{version}.*"), (uv, f"cpython-{version}.*")):
        for installed in sorted(root.glob(pattern), key=_release, reverse=True):
            yield installed / "bin" / name


def _release(directory: Path) -> tuple[int, ...]:
    """The numbers in a name such as ``3.12.10``, which sort as releases do."""
    return tuple(map(int, re.findall(r"\d+", directory.name)))

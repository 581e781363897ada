"""The code of experiments: each run trains with code of its own.

This is the ``deployment.py`` of their package; it uses the standard library only.
"""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_OUTPUTS = ("artifact", "metadata", "metrics", "additional_output_files")

_LARGEST_CODE = 8 * 2**30
"""Largest size of unpacked training code, in bytes."""


class Deployment:
    """Runs the function ``train(training_data, parameters, context)`` of the code in a run's input."""

    def __init__(self) -> None:
        self._directory: Path | None = None

    def request(self, data: dict[str, Any], context: dict[str, Any]) -> dict[str, Any]:
        """Train, and return the outputs that the code returned."""
        self.stop()
        # Files that it writes are read after the run has ended, so they stay until the next run.
        self._directory = Path(tempfile.mkdtemp(prefix="run-"))
        with _code(Path(data["training_code"]), self._directory) as module:
            outputs = module.train(data.get("training_data"), data.get("parameters") or {}, context)
        if not isinstance(outputs, dict):
            raise TypeError(f"train must return a dictionary of {', '.join(_OUTPUTS)}, not {type(outputs).__name__}")
        unknown = outputs.keys() - set(_OUTPUTS)
        if unknown:
            raise ValueError(f"train returned {', '.join(sorted(unknown))}; the outputs are {', '.join(_OUTPUTS)}")
        return {name: value for name, value in outputs.items() if value is not None}

    def stop(self) -> None:
        """Delete the files that the last run left."""
        if self._directory is not None:
            os.chdir(tempfile.gettempdir())
            shutil.rmtree(self._directory, ignore_errors=True)


@contextmanager
def _code(file: Path, directory: Path) -> Iterator[Any]:
    """The module ``train`` of a Python file or a zip, in a directory that becomes the working directory."""
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as package:
            if sum(entry.file_size for entry in package.infolist()) > _LARGEST_CODE:
                raise ValueError(f"The training code takes more than {_LARGEST_CODE // 2**30} GiB when unpacked")
            package.extractall(directory)
    else:
        shutil.copyfile(file, directory / "train.py")
    root = _root(directory)
    known = set(sys.modules)
    sys.path.insert(0, str(root))
    os.chdir(root)
    importlib.invalidate_caches()
    try:
        yield importlib.import_module("train")
    finally:
        sys.path.remove(str(root))
        for name in set(sys.modules) - known:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if Path(origin).is_relative_to(root):
                del sys.modules[name]


def _root(directory: Path) -> Path:
    """The folder of ``train.py``: the zip's own, or the only one in it."""
    if (directory / "train.py").is_file():
        return directory
    folders = [path for path in directory.iterdir() if (path / "train.py").is_file()]
    if len(folders) != 1:
        raise FileNotFoundError("The training code has no train.py")
    return folders[0]

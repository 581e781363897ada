"""The deployment that most tests ask, built once: its calls, build and process take longer than many of the tests."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from test.emulator.project import TestProject
from ubiops.emulator import Emulator


class Deployed:
    """Deploys what `TestProject.deploy` does into an emulator that was reset: at first by it, then from a copy.

    Args:
        emulator: The emulator.
        directory: Where to keep the copy of the package.
    """

    def __init__(self, emulator: Emulator, directory: Path) -> None:
        self._emulator = emulator
        self._copy = directory / "packages"
        self._rows: sqlite3.Connection | None = None

    def deploy(self, project: TestProject) -> None:
        """Deploy it to a project that has nothing else."""
        if self._rows is None:
            project.deploy()
            self._emulator._in_server(self._save)
        else:
            self._emulator._in_server(self._load)

    def close(self) -> None:
        """Close the copy."""
        if self._rows is not None:
            self._rows.close()

    async def _save(self) -> None:
        self._rows = self._emulator._store.copy()
        shutil.copytree(self._packages, self._copy)

    async def _load(self) -> None:
        assert self._rows is not None
        self._emulator._store.restore(self._rows)
        shutil.copytree(self._copy, self._packages, dirs_exist_ok=True)

    @property
    def _packages(self) -> Path:
        return self._emulator._engine.packages._directory

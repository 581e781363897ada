"""`tox run -e lowest` tests the versions that are declared."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

LOWEST = Path(__file__).parents[1] / "lowest.txt"


def test_the_lowest_versions_are_those_that_are_declared() -> None:
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)$", LOWEST.read_text(), re.MULTILINE))
    declared = dict(
        re.findall(r"^([\w.-]+)[^;]*?>=([\w.]+)", "\n".join(importlib.metadata.requires("ubiops") or []), re.M)
    )
    assert {name.lower(): version for name, version in declared.items()} == pinned

"""Killed at a random point under load, the emulator keeps what it has accepted.

`tox run -e faults` kills it more often.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from test.emulator import kills


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="kills processes")
def test_nothing_is_lost(tmp_path: Path) -> None:
    print(kills.run(tmp_path, 1, most_calls=20))

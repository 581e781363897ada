"""The emulator that the helpers are tested against, and a project in it."""

import pytest

from test.emulator.conftest import _checked, api, callers, emulator, project
from test.utils.clock import Clock

__all__ = ["_checked", "api", "callers", "clock", "emulator", "project"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)

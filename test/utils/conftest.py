"""The emulator that the helpers are tested against, and a project in it."""

from test.emulator.conftest import _checked, api, callers, emulator, project
from test.utils.requests import calls, gate

__all__ = ["_checked", "api", "callers", "calls", "emulator", "gate", "project"]

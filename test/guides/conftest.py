"""The emulator that the guides run against."""

from test.emulator.conftest import _checked, api, emptied, emulator, project

__all__ = ["_checked", "api", "emptied", "emulator", "project"]

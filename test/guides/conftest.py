"""The emulator that the guides run against."""

from test.emulator.conftest import _checked, emulator

__all__ = ["_checked", "emulator"]

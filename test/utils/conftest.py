"""What the helpers are tested against: the emulator and a project in it, or a storage that misbehaves."""

from test.emulator.conftest import _checked, api, callers, emulator, project
from test.utils.storage import folder, signer, storage

__all__ = ["_checked", "api", "callers", "emulator", "folder", "project", "signer", "storage"]

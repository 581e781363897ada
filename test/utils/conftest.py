"""What the helpers are tested against: the emulator and a project in it, or a storage that misbehaves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import ubiops
from test.emulator.conftest import _checked, _deployed, api, callers, deployed, emulator, project
from test.utils.clock import Clock
from test.utils.requests import calls, gate
from test.utils.storage import folder, signer, storage

__all__ = [
    "_checked",
    "_deployed",
    "api",
    "callers",
    "calls",
    "clock",
    "deployed",
    "emulator",
    "folder",
    "gate",
    "project",
    "signer",
    "storage",
]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture
def unreachable() -> Iterator[ubiops.CoreApi]:
    """A client of a host that can't be reached: whoever asks something fails."""
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        client.configuration.retries = 0
        yield ubiops.CoreApi(client)

"""Fixtures for pytest: an emulator of UbiOps on this machine, and a client of it. pytest finds them by itself.

    def test_my_deployment(ubiops_api):
        ubiops_api.projects_create({"name": "lab", "organization_name": "emulator"})
        ...

They need the packages of the extra ``emulator``. Not part of `ubiops.emulator`, since pytest loads this module wherever
`ubiops` is installed: it must not fail without the extra, nor take time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi
    from ubiops.emulator import Emulator


@pytest.fixture(scope="session")
def ubiops_emulator() -> Iterator[Emulator]:
    """An emulator for all tests of the session.

    Raises:
        ImportError: The extra isn't installed.
    """
    from ubiops.emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def ubiops_api(ubiops_emulator: Emulator) -> Iterator[CoreApi]:
    """A client of an emulator that is empty except for its organization ``emulator``."""
    ubiops_emulator.reset()
    api = ubiops_emulator.client()
    with api.api_client:
        yield api

"""One server and one client for the wire tests: there are thousands of calls, and none depends on another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Server

TOKEN = "Token secret-token"


@pytest.fixture(scope="session")
def _kept_server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="session")
def _kept_client(_kept_server: Server) -> Iterator[ubiops.ApiClient]:
    configuration = ubiops.Configuration(host=_kept_server.url, api_key={"Authorization": TOKEN})
    with ubiops.ApiClient(configuration, pool_threads=2) as client:
        yield client


@pytest.fixture
def wire(_kept_server: Server) -> Server:
    """The server, as new."""
    _kept_server.renew()
    return _kept_server


@pytest.fixture
def wire_api(wire: Server, _kept_client: ubiops.ApiClient) -> Any:
    """The API behind `wire`; untyped, since its methods are called by name."""
    return ubiops.CoreApi(_kept_client)


@pytest.fixture
def downloads(_kept_client: ubiops.ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that downloads go to."""
    monkeypatch.setattr(_kept_client.configuration, "temp_folder_path", str(tmp_path))
    return tmp_path

"""What every test gets: no public network, no settings from outside, and a server to talk to."""

from __future__ import annotations

import contextlib
import gc
import importlib
import ipaddress
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Server

_SETTINGS = (
    *("UBIOPS_API_TOKEN", "UBIOPS_API_HOST", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
)
_ROOT = Path(__file__).parents[1]
_connect = socket.socket.connect

# Hundreds of interpreters are started: without bytecode, each compiles the client again, and pytest every test.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


# What the tests load stays: the garbage collector needn't look through it again and again, now or later.
gc.disable()


def pytest_sessionstart(session: pytest.Session) -> None:
    # Side by side, all workers would rewrite and compile all the tests of a new clone: each begins with a share.
    worker = getattr(session.config, "workerinput", None)
    if worker is not None:
        number = int(worker["workerid"].removeprefix("gw"))
        for path in sorted(_ROOT.glob("test/**/test_*.py"))[number :: worker["workercount"]]:
            # What is wrong with it is reported when it is collected.
            with contextlib.suppress(Exception, pytest.skip.Exception):
                importlib.import_module(".".join(path.relative_to(_ROOT).with_suffix("").parts))


def pytest_collection_finish() -> None:
    gc.enable()
    gc.collect()
    gc.freeze()


def _connect_to_loopback(self: socket.socket, address: Any) -> None:
    if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
        raise AssertionError(f"a test tried to reach {address}: the public network is blocked")
    _connect(self, address)


@pytest.fixture(autouse=True, scope="session")
def _no_public_network() -> Iterator[None]:
    # Replaced so that a test that forgets its server fails here instead of talking to the real service.
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _connect_to_loopback)
    yield
    patch.undo()


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c_interrupts() -> None:
    # A background job, and some CI systems, start with SIGINT ignored; what the tests start would inherit it.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    loggers = [logging.getLogger(name) for name in ("ubiops", "urllib3")]
    levels = [logger.level for logger in loggers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def configuration(server: Server) -> ubiops.Configuration:
    return ubiops.Configuration(host=server.url, api_key={"Authorization": "Token secret-token"})


@pytest.fixture
def client(configuration: ubiops.Configuration) -> Iterator[ubiops.ApiClient]:
    with ubiops.ApiClient(configuration) as client:
        yield client


@pytest.fixture
def api(client: ubiops.ApiClient) -> ubiops.CoreApi:
    return ubiops.CoreApi(client)

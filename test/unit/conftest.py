"""What the transport's tests share."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import trustme

import ubiops.rest


class TLS(NamedTuple):
    """An authority of the tests' own, and a server's context with its certificate for 127.0.0.1 and localhost."""

    authority: trustme.CA
    server: ssl.SSLContext
    ca_file: str
    folder: Path


@pytest.fixture
def tls(tmp_path: Path) -> TLS:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    return TLS(authority, context, str(ca_file), tmp_path)


class Waits(list[float]):
    """The seconds that the client waited between attempts; `then` is called in place of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.then: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        self.append(seconds)
        self.then()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Waits:
    # Replaced, in the transport alone: the real waits add up to minutes, and their lengths are what is tested.
    waits = Waits()
    clock = SimpleNamespace(sleep=waits.sleep, monotonic=time.monotonic, time=time.time)
    monkeypatch.setattr(ubiops.rest, "time", clock)
    return waits

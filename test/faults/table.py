"""The table of faults and kinds of call: what each comes to, and what must never happen."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import re
import socket
import tempfile
import threading
import time
import traceback
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import urllib3

import ubiops
from test.faults.answers import SIGNATURE, right_answer
from test.faults.calls import Kind, Logged
from test.faults.faults import FAULTS, TOKEN, Fault, serving
from test.faults.helpers import KINDS, impatient
from test.faults.networks import NETWORKS, PROXY_PASSWORD, PROXY_USER, authority
from test.unit.raw_server import RawServer
from ubiops.exceptions import OpenApiException

SECRETS = (TOKEN, SIGNATURE, PROXY_PASSWORD, b64encode(f"{PROXY_USER}:{PROXY_PASSWORD}".encode()).decode())
LONGEST = 30.0
"""Seconds that a call may take whose own limit is under one: for a busy machine."""

RIGHT = "right"


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.text.append(record.getMessage())


def outcome(fault: Fault, kind: Kind) -> str:
    """What a kind of call comes to at a fault: ``right``, or the name of the error.

    Raises:
        AssertionError: What must never happen.
    """
    with tempfile.TemporaryDirectory() as folder, _listening() as other, _logged() as records:
        with _served(fault, kind) as (server, configuration):
            server.other_port = other.getsockname()[1]  # type: ignore[attr-defined]
            with ubiops.ApiClient(configuration) as client:
                result = _run(kind, ubiops.CoreApi(client), Path(folder), records)
            _check_requests(fault, kind, server)
        other.setblocking(False)
        try:
            other.accept()
        except BlockingIOError:
            pass
        else:
            raise AssertionError("another host was asked")
    if fault.harmless:
        assert result == RIGHT, f"{result} where nothing was wrong"
    return result


@contextmanager
def _served(fault: Fault, kind: Kind) -> Iterator[tuple[RawServer, ubiops.Configuration]]:
    """A server, perhaps behind a proxy, and the settings of a client for it."""
    with ExitStack() as opened:
        tls = None if fault.tls is None else fault.tls()
        server = opened.enter_context(RawServer(serving(fault, right_answer, kind.at), tls))
        configuration = ubiops.Configuration(server.url, {"Authorization": f"Token {TOKEN}"})
        configuration.max_response_size = 8 << 20
        if fault.tls is not None:
            configuration.host = f"https://127.0.0.1:{server.port}/v2.1"
            certificate = opened.enter_context(tempfile.NamedTemporaryFile())
            authority().cert_pem.write_to_path(certificate.name)
            configuration.ssl_ca_cert = certificate.name
        proxy = None
        if fault.proxy is not None:
            behave = fault.proxy
            proxy = opened.enter_context(
                RawServer(lambda proxy, connection: behave(proxy, connection, proxy.read_head(connection), server.port))
            )
            configuration.proxy = f"http://{PROXY_USER}:{PROXY_PASSWORD}@127.0.0.1:{proxy.port}"
        yield server, configuration
        if proxy is not None:
            seen = "".join(proxy.heads)
            assert TOKEN not in seen, "the proxy saw the token"
            assert SIGNATURE not in seen, "the proxy saw a signature"


def _run(kind: Kind, api: ubiops.CoreApi, folder: Path, records: _Records) -> str:
    started = time.monotonic()
    try:
        value = kind.run(api, folder)
    except (OpenApiException, urllib3.exceptions.HTTPError) as error:
        result = _name(error)
        _check_secrets(error, records)
    else:
        if isinstance(value, Logged):
            result = str(value)
        else:
            result = RIGHT if value == kind.right else "what was sent"
            _check_value(kind, value)
    assert time.monotonic() - started < LONGEST, "too late"
    return result


def _check_value(kind: Kind, value: Any) -> None:
    """Another value than the right one is what the server said: an answer of its own, never a part of one."""
    if value == kind.right:
        return
    if isinstance(value, bytes):
        assert not kind.right.startswith(value) or not value, "a part of a file passed as the whole"
    assert "forged" not in str(value)


def _check_secrets(error: BaseException, records: _Records) -> None:
    shown = "".join(traceback.format_exception(error)) + repr(error) + str(vars(error)) + "\n".join(records.text)
    for secret in SECRETS:
        place = shown.find(secret)
        assert place < 0, f"a secret is shown: {shown[max(place - 60, 0) : place]}"


def _check_requests(fault: Fault, kind: Kind, server: RawServer) -> None:
    assert "\ncookie:" not in "".join(server.heads).lower(), "a cookie was kept"
    if kind.once is not None and not fault.surely_undone:
        sent = [head for head in server.heads if re.match(kind.once, head)]
        assert len(sent) <= 1, f"sent {len(sent)} times"


def _name(error: BaseException) -> str:
    if isinstance(error, ubiops.ApiException) and error.status:
        return f"{type(error).__name__} ({error.status})"
    for kind in (ubiops.ApiTimeoutError, ubiops.ApiConnectionError):
        if isinstance(error, kind):
            return kind.__name__
    return type(error).__name__


@contextmanager
def _listening() -> Iterator[socket.socket]:
    """A host that must never hear of us."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener


@contextmanager
def _logged() -> Iterator[_Records]:
    records = _Records()
    # As a program does that wants to see everything.
    loggers = [logging.getLogger(), logging.getLogger("ubiops")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    logging.getLogger().addHandler(records)
    try:
        yield records
    finally:
        logging.getLogger().removeHandler(records)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def hurried() -> Iterator[None]:
    """Without the pauses between attempts: they are tested elsewhere, and add up to hours here."""
    sleep = time.sleep
    with mock.patch.object(time, "sleep", lambda seconds: sleep(min(seconds, 0.01))):
        yield


def descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd"))


ALL_FAULTS = {**FAULTS, **NETWORKS}


def _cell(fault: Fault, kind: Kind) -> str:
    for _ in range(3):
        try:
            return outcome(fault, kind)
        except Exception as error:
            text = f"BAD: {type(error).__name__}: {str(error)[:200]}"
        # On a busy machine the right answer may take longer than a call's limit.
        if not (fault.harmless and "Timeout" in text):
            break
    return text


Cells = dict[tuple[str, str], str]


def run_all(processes: int = 4) -> Cells:
    """All cells, by fault and kind, in several processes: most of the time is spent in waiting."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context) as pool:
        return {place: text for cells in pool.map(_run_one, ALL_FAULTS) for place, text in cells.items()}


def _run_one(name: str) -> Cells:
    return run({name: ALL_FAULTS[name]})


def run(faults: dict[str, Fault], kinds: dict[str, Kind] = KINDS) -> Cells:
    """The cells of some faults and kinds; one that must not be starts with ``BAD``."""
    cells = {}
    with hurried(), impatient():
        for fault_name, fault in faults.items():
            before, threads = descriptors(), threading.active_count()
            for kind_name, kind in kinds.items():
                cells[fault_name, kind_name] = _cell(fault, kind)
            deadline = time.monotonic() + LONGEST
            while (descriptors() > before or threading.active_count() > threads) and time.monotonic() < deadline:
                gc.collect()
                time.sleep(0.01)
            if descriptors() > before or threading.active_count() > threads:
                cells[fault_name, "afterwards"] = "BAD: descriptors or threads are left"
    return cells

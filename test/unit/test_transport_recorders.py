"""What others put in the place of connections, sockets and clocks: recorders, mocks, frozen time."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import freezegun
import mocket
import pook
import pytest
import time_machine
import vcr
from mocket.mocks.mockhttp import Entry

import ubiops
from test.server import Answer, Server
from test.unit.raw_server import RawServer, silent
from ubiops.exceptions import ApiTimeoutError


def get(client: ubiops.ApiClient, **options: Any) -> Any:
    return client.call_api("/thing", "GET", response_type="object", _return_http_data_only=True, **options)


@pytest.fixture
def used(client: ubiops.ApiClient, server: Server) -> ubiops.ApiClient:
    """A client that has made a call, and keeps its connection."""
    assert get(client) == {}
    return client


def test_vcrpy_records_and_replays(used: ubiops.ApiClient, server: Server, tmp_path: Path) -> None:
    server.answers = [Answer(200, b'{"a": 1}'), Answer(200, b"content", {"Content-Disposition": "filename=a.txt"})]
    for _ in range(2):
        with vcr.use_cassette(str(tmp_path / "calls.yaml"), record_mode="once") as cassette:
            assert get(used) == {"a": 1}
            with ubiops.CoreApi(used).blobs_get("p", "b") as response:
                assert (response.getfilename(), response.read()) == ("a.txt", b"content")
    assert cassette.play_count == 2
    assert len(server.requests) == 3
    assert get(used) == {}
    assert len(server.requests) == 4


def test_a_cassette_may_be_open_when_the_client_is_imported(server: Server, tmp_path: Path) -> None:
    program = f"""
import vcr
from mocket.mocks.mockhttp import Entry
with vcr.use_cassette({str(tmp_path / "calls.yaml")!r}):
    import ubiops
    client = ubiops.ApiClient(ubiops.Configuration({server.url!r}))
    client.call_api("/thing", "GET")
client.call_api("/thing", "GET")
"""
    for _ in range(2):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=100)
    assert len(server.requests) == 3


def test_pook_answers(used: ubiops.ApiClient, server: Server) -> None:
    with pook.use():
        pook.get(f"{server.url}/thing", reply=200, response_json={"mocked": True})
        assert get(used) == {"mocked": True}
    assert get(used) == {}
    assert len(server.requests) == 2


def test_mocket_answers(used: ubiops.ApiClient, server: Server) -> None:
    with mocket.Mocketizer():
        Entry.single_register(Entry.GET, f"{server.url}/thing", '{"mocked": true}')
        assert get(used) == {"mocked": True}
        assert get(used, _request_timeout=60) == {"mocked": True}
    assert get(used) == {}
    assert len(server.requests) == 2


class Frozen:
    """Time that stands still, as two tools make it."""

    freezegun = staticmethod(lambda: freezegun.freeze_time("2020-01-01"))
    time_machine = staticmethod(lambda: time_machine.travel(datetime.datetime(2020, 1, 1), tick=False))


@pytest.mark.parametrize("tool", ["freezegun", "time_machine"])
def test_frozen_time_hangs_no_call(configuration: ubiops.Configuration, server: Server, tool: str) -> None:
    configuration.retries = 1
    with getattr(Frozen, tool)(), ubiops.ApiClient(configuration) as client:
        server.answers = [Answer(503), Answer(200, b'{"a": 1}')]
        assert get(client, _request_timeout=60) == {"a": 1}
        with RawServer(silent) as quiet:
            configuration.host = quiet.url
            with pytest.raises(ApiTimeoutError):
                get(client, _request_timeout=0.2)

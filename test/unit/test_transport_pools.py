"""Connections that are kept: closed with the client, and taken by nobody else."""

from __future__ import annotations

import threading
from typing import Any

import pytest

import ubiops
from test.server import Answer
from test.unit.raw_server import RawServer, silent
from ubiops.exceptions import ApiConnectionError


def get(client: ubiops.ApiClient, **options: Any) -> Any:
    return client.call_api("/thing", "GET", response_type="object", _return_http_data_only=True, **options)


def ends(server: RawServer) -> threading.Event:
    """An event that is set when the client closes a connection."""
    ended = threading.Event()

    def serve(server: RawServer, connection: Any) -> None:
        try:
            while server.read_head(connection):
                connection.sendall(Answer(200, b"{}").raw())
        except ConnectionError:
            ended.set()

    server._serve = serve
    return ended


def test_closing_closes_what_a_kept_answer_came_in(configuration: ubiops.Configuration) -> None:
    with RawServer(silent) as server:
        ended = ends(server)
        configuration.host = server.url
        client = ubiops.ApiClient(configuration)
        get(client)
        answer = client.last_response
        client.close()
        assert ended.wait(30)
        assert answer is client.last_response
        assert answer.urllib3_response._pool is None


def test_a_connection_in_use_while_the_client_is_closed_ends_with_its_call(
    configuration: ubiops.Configuration,
) -> None:
    with RawServer(silent) as server:
        ended = ends(server)
        configuration.host = server.url
        client = ubiops.ApiClient(configuration)
        response = get(client, _preload_content=False)
        client.close()
        assert not ended.is_set()
        assert response.read() == b"{}"
        assert ended.wait(30)
        # The client goes on, with connections of its own.
        assert get(client) == {}
        assert server.connections == 2
        client.close()


def test_a_kept_error_holds_no_pool() -> None:
    with RawServer(silent) as server:
        configuration = ubiops.Configuration(server.url)
        configuration.retries = 0
        with ubiops.ApiClient(configuration) as client, pytest.raises(ApiConnectionError) as caught:
            get(client, _request_timeout=0.2)
    cause: Any = caught.value.__cause__
    assert cause.pool is None

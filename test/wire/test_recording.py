"""What a program of release 3.12.1 sends goes out as that release sent it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from test.wire.recording import Recorder, recorded


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


def test_every_request_is_that_of_release_3_12_1(recorder: Recorder) -> None:
    """Required arguments alone, all of them, bodies as dicts and as models: each byte but the client's version."""
    methods = set()
    with recorder.client() as client:
        for call, request in recorded():
            assert recorder.request_of(call, client) == request, call
            methods.add(call.method)
    assert len(methods) == 159


def test_a_request_that_differs_is_seen(recorder: Recorder) -> None:
    call, request = next(recorded())
    with recorder.client() as client:
        client.set_default_header("X-More", "1")
        assert recorder.request_of(call, client) != request

"""Requests whose updates are read while they run, over a server of the tests."""

from __future__ import annotations

import gc
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ubiops
from test.server import Answer, Server
from ubiops.exceptions import ApiException
from ubiops.utils import IncompleteStream, RequestFailed, stream_deployment_request, stream_pipeline_request
from ubiops.utils.streaming import EventParser, stream_request

RESULT = {"id": "r1", "deployment": "model", "version": "v1", "status": "completed", "result": {"y": 2}}
CLOSING = json.dumps(RESULT).encode() + b"\n"
EVENTS = b"event: update\ndata:Once\n\ndata: upon\n\n: still here\nevent: update\nid: 3\ndata:a\ndata:b\n\n"
TEXTS = ["Once", " upon", "a\nb"]


def chunked(*blocks: bytes, end: bool = True, media_type: str = "text/event-stream") -> bytes:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(block), block) for block in blocks) + b"0\r\n\r\n" * end


def whole(body: bytes, media_type: str = "text/event-stream") -> Answer:
    return Answer(200, body, {"Content-Type": media_type})


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> Iterator[ubiops.ApiClient]:
    configuration = ubiops.Configuration(host=server.url, api_key={"Authorization": "Token abc"})
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client:
        yield client


# The parser

# On a machine that is busy, too.
anywhere = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parse(*blocks: bytes) -> tuple[list[str], Any]:
    parser = EventParser()
    texts = [text for block in blocks for text in parser.feed(block)]
    return [*texts, *parser.end()], parser.result


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_are_read_whatever_the_line_ends(line_end: bytes) -> None:
    body = (EVENTS + CLOSING).replace(b"\n", line_end)
    assert parse(body) == (TEXTS, RESULT)
    assert parse(*(body[place : place + 1] for place in range(len(body)))) == (TEXTS, RESULT)


@anywhere
@given(st.lists(st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]))), st.data())
def test_texts_survive_however_they_are_cut(texts: list[str], data: Any) -> None:
    line_end = data.draw(st.sampled_from(["\n", "\r\n"]))
    events = ["".join(f"data:{line}{line_end}" for line in text.split("\n")) + line_end for text in texts]
    body = ("\ufeff" + "".join(events)).encode() + CLOSING
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)))))
    blocks = [body[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    assert parse(*blocks) == (texts, RESULT)


def test_a_text_comes_as_soon_as_its_event_is_whole() -> None:
    parser = EventParser()
    assert parser.feed(b"data:one\n\ndata:tw") == ["one"]
    assert parser.feed(b"o\n") == []
    assert parser.feed(b"\n") == ["two"]


def test_the_result_may_take_several_lines_and_no_line_end() -> None:
    assert parse(b"data:one\n" + json.dumps(RESULT, indent=1).encode()) == (["one"], RESULT)


@anywhere
@given(st.binary())
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    # Anything but a ValueError fails.
    with suppress(ValueError):
        texts, _ = parse(body)
        assert all(isinstance(text, str) for text in texts)


@pytest.mark.parametrize("body", [b"data:" + b"x" * 5000, b"data:x\n" * 5000, b"{\n" * 5000, b":" * 5000])
def test_an_event_that_never_ends_is_given_up(server: Server, client: ubiops.ApiClient, body: bytes) -> None:
    client.configuration.max_response_size = 1000
    # Many short ones are no long one.
    server.default = whole(EVENTS * 100 + CLOSING)
    assert list(stream_deployment_request(client, "lab", "model")) == TEXTS * 100
    server.default = whole(EVENTS + body)
    with pytest.raises(ApiException, match=r"larger than configuration\.max_response_size \(1000 bytes\)"):
        list(stream_deployment_request(client, "lab", "model"))


# Requests


def test_the_updates_of_a_deployment_are_read(server: Server, client: ubiops.ApiClient) -> None:
    server.default = whole(EVENTS + CLOSING)
    updates = stream_deployment_request(client, "lab", "my model", data={"x": 1})
    assert server.requests == []
    assert list(updates) == TEXTS
    request = server.last
    assert (request.method, request.target) == (
        "POST",
        "/v2.1/projects/lab/deployments/my%20model/requests/stream?timeout=3600",
    )
    assert (request.headers["Accept"], request.headers["Authorization"]) == ("text/event-stream", "Token abc")
    assert request.json == {"x": 1}


def test_the_full_response_comes_last(server: Server, client: ubiops.ApiClient) -> None:
    server.default = whole(EVENTS + CLOSING)
    *texts, last = stream_deployment_request(ubiops.CoreApi(client), "lab", "model", "v1", "text", 60, True)
    assert texts == TEXTS
    assert type(last) is ubiops.DeploymentRequestCreateResponse
    assert (last.id, last.result) == ("r1", {"y": 2})
    assert server.last.path.endswith("/deployments/model/versions/v1/requests/stream")
    assert (server.last.query, server.last.body) == ({"timeout": "60"}, b"text")
    *texts, last = stream_pipeline_request(client, "lab", "line", "v2", full_response=True)
    assert type(last) is ubiops.PipelineRequestCreateResponse
    assert server.last.path.endswith("/pipelines/line/versions/v2/requests/stream")
    assert (server.last.query, server.last.body) == ({"timeout": "7200"}, b"")


def test_updates_come_while_the_request_runs(client: ubiops.ApiClient) -> None:
    seen = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(chunked(b"data:on", b"e\n\n", end=False))
            assert seen.wait(30)
            connection.sendall(chunked(b"data:two\n\n", CLOSING).partition(b"\r\n\r\n")[2])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client.configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}/v2.1"
        updates = stream_deployment_request(client, "lab", "model")
        assert next(updates) == "one"
        seen.set()
        assert list(updates) == ["two"]
        thread.join()


def test_the_connection_is_given_back_at_the_end(server: Server, client: ubiops.ApiClient) -> None:
    server.default = whole(EVENTS + CLOSING)
    for _ in range(3):
        assert list(stream_deployment_request(client, "lab", "model")) == TEXTS
    assert server.connections == 1


def test_a_dropped_iterator_closes_its_connection(client: ubiops.ApiClient) -> None:
    closed = threading.Event()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(chunked(b"data:one\n\n", end=False))
            if connection.recv(1) == b"":
                closed.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client.configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}/v2.1"
        for text in stream_deployment_request(client, "lab", "model"):
            assert text == "one"
            break
        gc.collect()
        assert closed.wait(30)
        thread.join()


def test_a_request_that_fails_raises_after_its_updates(server: Server, client: ubiops.ApiClient) -> None:
    server.default = whole(EVENTS + json.dumps({**RESULT, "status": "failed", "error_message": "no luck"}).encode())
    updates = stream_deployment_request(client, "lab", "model", full_response=True)
    assert [next(updates) for _ in TEXTS] == TEXTS
    with pytest.raises(RequestFailed, match="no luck") as caught:
        next(updates)
    assert isinstance(caught.value, ubiops.UbiOpsException)
    assert caught.value.last.id == "r1"


@pytest.mark.parametrize(
    "answer",
    [
        whole(EVENTS),
        whole(EVENTS + CLOSING[:-5]),
        chunked(EVENTS, end=False),
        chunked(EVENTS[:-9], b"data:b\n\n", b"data:c", end=False),
    ],
    ids=["no result", "half a result", "broken", "broken in an event"],
)
def test_a_stream_that_breaks_off_says_what_came(
    server: Server, client: ubiops.ApiClient, answer: Answer | bytes
) -> None:
    server.default = answer
    with pytest.raises(IncompleteStream, match="deployment 'model' ended before its result") as caught:
        list(stream_deployment_request(client, "lab", "model"))
    assert caught.value.received[:2] == TEXTS[:2]
    assert caught.value.status == 0


@pytest.mark.parametrize("body", [b"<!doctype html>\n<p>Sign in", b'["r1"]', b"Service unavailable"])
def test_what_is_no_stream_of_events_is_told(server: Server, client: ubiops.ApiClient, body: bytes) -> None:
    server.default = whole(body, "text/html")
    with pytest.raises(ubiops.ApiException, match="expected a stream of events") as caught:
        list(stream_deployment_request(client, "lab", "model"))
    assert body.decode().splitlines()[0] in str(caught.value.body)


def test_a_server_that_falls_silent_is_given_up(client: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    # A fifth of a second in all, in the place of half a minute and more.
    monkeypatch.setattr("ubiops.operation._GRACE", -0.8)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(chunked(b"data:one\n\n", end=False))
            connection.recv(1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        client.configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}/v2.1"
        with pytest.raises(ubiops.ApiTimeoutError):
            list(stream_deployment_request(client, "lab", "model", timeout=1))
        thread.join()


def test_a_refusal_is_an_api_exception(server: Server, client: ubiops.ApiClient) -> None:
    server.default = Answer.json({"error": "no such version"}, 404)
    with pytest.raises(ubiops.exceptions.NotFoundError, match="no such version"):
        list(stream_deployment_request(client, "lab", "model", "v9"))


@pytest.mark.parametrize(
    "call",
    [
        lambda client: stream_request(client, "lab", "model", "deployment"),
        lambda client: list(stream_deployment_request(client, "lab", "")),
        lambda client: list(stream_deployment_request(client, "lab", "model", data={"x": float("nan")})),
        lambda client: list(stream_deployment_request(client, "lab", "model", timeout="long")),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_refused_before_anything_is_sent(
    server: Server, client: ubiops.ApiClient, call: Callable[[ubiops.ApiClient], Any]
) -> None:
    with pytest.raises((ubiops.ApiValueError, ubiops.ApiTypeError), match="stream_"):
        call(client)
    assert server.requests == []

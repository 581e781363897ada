"""`MetricClient`: values of metrics, sent in the background."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import ubiops
from test.server import Answer, Recorded, Server
from ubiops.utils import MetricClient
from ubiops.utils.metrics import metric_client
from ubiops.utils.metrics.metric_utils import Metric, TimeSeries

ROOT = Path(ubiops.__file__).parents[1]


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


def sent(server: Server) -> list[tuple[str, dict[str, str], list[float]]]:
    bodies = [request.json for request in server.requests]
    return [(body["metric"], body["labels"], [point["value"] for point in body["data"]]) for body in bodies]


def test_what_was_logged_is_sent_by_series(server: Server, client: ubiops.ApiClient) -> None:
    metrics = MetricClient("lab", client)
    metrics.start()
    before = datetime.now(timezone.utc)
    for value in (1, 2.5):
        metrics.log_metric("custom.load", {"region": "north"}, value)
    metrics.log_metric("custom.load", {}, 3)
    metrics.stop()
    assert sent(server) == [("custom.load", {"region": "north"}, [1.0, 2.5]), ("custom.load", {}, [3.0])]
    request = server.requests[0]
    assert (request.method, request.path) == ("POST", "/v2.1/projects/lab/time-series/aggregate")
    assert request.headers["Authorization"] == "Token abc"
    assert before <= datetime.fromisoformat(request.json["data"][0]["date"]) <= datetime.now(timezone.utc)
    assert not metrics.is_alive()


def test_values_are_sent_while_the_program_goes_on(server: Server, client: ubiops.ApiClient) -> None:
    arrived = threading.Semaphore(0)

    def note(_: Recorded) -> Answer:
        arrived.release()
        return Answer.json({})

    server.default = note
    metrics = MetricClient("lab", client, insert_frequency=0.01)
    metrics.start()
    for value in (1, 2):
        metrics.log_metric("custom.load", {}, value)
        assert arrived.acquire(timeout=30)
    metrics.stop()
    assert sent(server) == [("custom.load", {}, [1.0]), ("custom.load", {}, [2.0])]


def test_what_the_server_can_t_take_now_is_sent_again(server: Server, client: ubiops.ApiClient) -> None:
    server.answers = [Answer.json({"error": "busy"}, 503), Answer.json({"error": "slow down"}, 429)]
    metrics = MetricClient("lab", client)
    metrics.start()
    metrics.log_metric("custom.load", {}, 1)
    metrics.stop()
    assert sent(server) == [("custom.load", {}, [1.0])] * 3


def test_what_the_server_refuses_is_lost_with_a_warning(
    server: Server, client: ubiops.ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    server.default = Answer.json({"error": "no such metric"}, 404)
    metrics = MetricClient("lab", client)
    metrics.start()
    metrics.log_metric("custom.lod", {}, 1)
    metrics.stop()
    assert len(server.requests) == 1
    assert "1 values of custom.lod are lost: Not Found (404) Error: no such metric" in caplog.text


def test_stop_waits_for_a_bounded_time_and_says_how_much_is_lost(
    server: Server, client: ubiops.ApiClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metric_client, "_LEAVING", 0.3)
    server.default = Answer.json({"error": "busy"}, 503)
    metrics = MetricClient("lab", client)
    metrics.start()
    for value in range(3):
        metrics.log_metric("custom.load", {}, value)
    with caplog.at_level(logging.WARNING, "ubiops.utils"):
        metrics.stop()
        metrics.stop()
    assert caplog.text.count("3 values of metrics of project lab are lost") == 1


def test_values_that_are_too_old_are_dropped(
    server: Server, client: ubiops.ApiClient, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = MetricClient("lab", client)
    metrics.log_metric("custom.load", {}, 1)
    metrics._logged[0].timestamp -= timedelta(minutes=3)
    metrics.log_metric("custom.load", {}, 2)
    metrics.start()
    metrics.stop()
    assert sent(server) == [("custom.load", {}, [2.0])]
    assert "1 values of custom.load are lost: they couldn't be sent in time" in caplog.text


AT_THE_END = """
    from ubiops.utils.metrics.metric_client import MetricClient

    metrics = MetricClient("lab")
    metrics.start()
    metrics.log_metric("custom.load", {"region": "north"}, 7)
"""


def test_the_end_of_the_program_sends_what_is_left(server: Server) -> None:
    environment = {"INT_API_URL": server.url, "INT_API_TOKEN": "abc", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(AT_THE_END)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sent(server) == [("custom.load", {"region": "north"}, [7.0])]
    assert server.last.headers["Authorization"] == "Token abc"


def test_without_a_client_the_variables_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INT_API_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("INT_API_TOKEN", raising=False)
    with pytest.raises(ubiops.ApiValueError, match="INT_API_URL and INT_API_TOKEN"):
        MetricClient("lab")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((3, {}, 1), "`metric_name` when calling `log_metric`, expected str, got int"),
        (("custom.a", None, 1), "`labels` "),
        (("custom.a", {"a": 1}, 1), "`labels` "),
        (("custom.a", {}, "1"), "`value` .*expected a number"),
        (("custom.a", {}, True), "`value` "),
        (("custom.a", {}, float("nan")), "`value` .*finite"),
    ],
)
def test_what_can_t_be_sent_is_refused_when_it_is_logged(
    client: ubiops.ApiClient, arguments: tuple[Any, ...], problem: str
) -> None:
    with pytest.raises((ubiops.ApiValueError, ubiops.ApiTypeError), match=problem):
        MetricClient("lab", client).log_metric(*arguments)


def test_a_series_holds_the_values_of_a_metric() -> None:
    metric = Metric("custom.load", {"region": "north"}, 2)
    series = TimeSeries("custom.load", metric.labels)
    series.insert(metric)
    assert (series.get_name(), series.get_values()) == ("custom.load", [(metric.timestamp, 2.0)])
    assert series.get_values_formatted() == [{"date": metric.timestamp.isoformat(), "value": 2.0}]

"""`map_requests` against a server that says what no server should: all is told, nothing lasts for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import freezegun
import pytest

import ubiops
from test.server import Answer, Recorded, Server
from test.utils.clock import Clock
from test.utils.requests import xs
from ubiops.utils import WaitTimeout, map_requests

HTML = Answer(200, b"<html>Back in a moment</html>", {"Content-Type": "text/html"})
FAILED = Answer.json({"error": "busy"}, 503)


class Service(Server):
    """One version of a deployment: it doubles what it gets, in as many looks as `looks` says.

    Attributes:
        wrong: What it answers instead, to a path that ends so: an answer for each call, None for its own. Those
            are not carried out.
        large: Whether inputs and results don't come with the requests, and have files of their own.
        looks: How often a request is seen before it is over.
        most: Most requests that were outstanding.
        made: The inputs of the requests that were made.
    """

    def __init__(self) -> None:
        super().__init__()
        self.default = self._serve
        self.wrong: dict[str, list[Answer | None]] = {}
        self.large = False
        self.looks = 1
        self.most = 0
        self.made: list[Any] = []
        self._seen: list[int] = []

    def _serve(self, request: Recorded) -> Answer:
        path = request.path
        for end, answers in self.wrong.items():
            if path.endswith(end) and answers and (answer := answers.pop(0)) is not None:
                return answer
        if path.endswith("/requests/batch"):
            created = [self._show(len(self.made) + number) for number in range(len(request.json))]
            self.made += request.json
            self._seen += [0] * len(created)
            self.most = max(self.most, sum(seen < self.looks for seen in self._seen))
            return Answer.json(created)
        if path.endswith("/requests/collect"):
            return Answer.json([self._collect(int(id)) for id in request.json])
        if path.endswith(("/input", "/output")):
            x = self.made[int(path.split("/")[-2])]["x"]
            return Answer.json({"x": x} if path.endswith("input") else {"y": 2 * x})
        if path.endswith("/requests"):
            if request.query["sort"] == "desc":
                return Answer.json([])
            offset = int(request.query["offset"])
            return Answer.json([self._show(number) for number in range(offset, len(self.made))])
        if path.endswith("/versions/v1"):
            return Answer.json({"version": "v1", "status": "available", "request_retention_mode": "full"})
        return Answer.json({"name": "model", "default_version": "v1"})

    @staticmethod
    def _show(number: int) -> dict[str, Any]:
        return {"id": str(number), "status": "pending", "time_created": "2026-01-01T00:00:00+00:00"}

    def _collect(self, number: int) -> dict[str, Any]:
        self._seen[number] += 1
        shown = {**self._show(number), "request_data": self.made[number]}
        if self._seen[number] < self.looks:
            return shown
        shown.update(status="completed", result={"y": 2 * self.made[number]["x"]})
        if self.large:
            shown.update(request_data=None, result=None, input_size=8, output_size=8)
        return shown

    @property
    def batches(self) -> int:
        return sum(request.path.endswith("/batch") for request in self.requests)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def run(service: Service, clock: Clock) -> Iterator[Callable[..., list[Any]]]:
    """Maps the inputs 1, 2, ...; returns their results."""
    configuration = ubiops.Configuration(host=service.url, api_key={"Authorization": "Token abc"})
    configuration.retries = 0
    with ubiops.ApiClient(configuration) as client:

        def run(count: int = 4, **options: Any) -> list[Any]:
            return [item.result for item in map_requests(client, "lab", "model", inputs=xs(count), **options)]

        yield run


def doubled(count: int) -> list[Any]:
    return [{"y": 2 * x} for x in range(1, count + 1)]


# Answers of another shape


# Each with what the error shows of it.
WRONG = {
    "empty": (Answer(200), "[]"),
    "204": (Answer(204), "[]"),
    "null": (Answer(200, b"null"), "None"),
    "none": (Answer.json([]), "[]"),
    "strings": (Answer.json(["0", "1", "2", "3"]), '["0", "1", "2", "3"]'),
    "without ids": (Answer.json([{"status": "odd"}] * 4), "'status': 'odd'"),
    "one id for all": (Answer.json([{"id": "0"}] * 4), "'id': '0'"),
    "a dict": (Answer.json({"id": "0"}), '{"id": "0"}'),
    "HTML": (HTML, "<html>Back in a moment</html>"),
}


@pytest.mark.parametrize(("wrong", "text"), WRONG.values(), ids=WRONG)
def test_a_collection_of_another_shape_is_told_with_the_answer(
    service: Service, run: Callable[..., list[Any]], wrong: Answer, text: str
) -> None:
    service.wrong["/collect"] = [wrong]
    with pytest.raises(ubiops.ApiException) as caught:
        run()
    assert caught.value.status == 200
    assert text in str(caught.value.body)


def test_a_request_that_was_not_asked_for_is_told(service: Service, run: Callable[..., list[Any]]) -> None:
    service.wrong["/collect"] = [Answer.json([{"id": "of another", "status": "completed", "result": {}}])]
    with pytest.raises(ubiops.ApiException, match=r"(?s)expected 4 requests, got .*of another") as caught:
        run()
    assert "of another" in str(caught.value.body)


@pytest.mark.parametrize("end", ["/deployments/model", "/versions/v1"])
@pytest.mark.parametrize("wrong", [Answer(200), Answer(204), Answer(200, b"null"), Answer.json(["model"]), HTML])
def test_a_deployment_or_version_of_another_shape_is_told(
    service: Service, run: Callable[..., list[Any]], end: str, wrong: Answer
) -> None:
    service.wrong[end] = [wrong]
    with pytest.raises(ubiops.ApiException):
        run()
    assert service.batches == 0


@pytest.mark.parametrize("wrong", [wrong for wrong, _ in WRONG.values()], ids=WRONG)
def test_a_batch_whose_answer_has_another_shape_is_lost_and_sent_again(
    service: Service, run: Callable[..., list[Any]], wrong: Answer
) -> None:
    service.wrong["/batch"] = [wrong]
    assert run() == doubled(4)
    assert (service.batches, len(service.made)) == (2, 4)


def test_a_batch_with_the_ids_of_another_is_lost_and_sent_again(
    service: Service, run: Callable[..., list[Any]]
) -> None:
    service.looks = 2
    service.wrong["/batch"] = [None, Answer.json([service._show(0), service._show(1)])]
    assert run(chunk_size=2) == doubled(4)


def test_a_list_that_never_ends_is_told(service: Service, run: Callable[..., list[Any]]) -> None:
    page = Answer.json([{"id": "a", "time_created": "2026-01-01T00:00:00+00:00"}])
    service.wrong["/batch"] = [FAILED]
    service.wrong["/requests"] = [Answer.json([]), *[page] * 50]
    with pytest.raises(ubiops.OpenApiException, match="expected requests from number 1 on"):
        run()


# Trouble that passes, and trouble that stays


@pytest.mark.parametrize("answer", [FAILED, HTML, Answer(204)], ids=["503", "HTML", "204"])
def test_batches_that_are_always_lost_end_the_map_after_five_minutes(
    service: Service, run: Callable[..., list[Any]], clock: Clock, answer: Answer
) -> None:
    service.wrong["/batch"] = [answer] * 1000
    with pytest.raises(ubiops.ApiException) as caught:
        run()
    assert caught.value.status in (200, 503)
    assert 300 < sum(clock.pauses) < 330
    assert service.made == []


def test_lost_batches_that_are_not_in_a_row_are_borne_for_longer(
    service: Service, run: Callable[..., list[Any]], clock: Clock
) -> None:
    # Twice some 200 s of lost batches, with one between them that is answered.
    service.wrong["/batch"] = [*[FAILED] * 20, None, *[FAILED] * 20]
    assert run(4, chunk_size=2) == doubled(4)
    assert sum(clock.pauses) > 300


@pytest.mark.parametrize("status", [408, 429, 502, 503])
def test_trouble_while_collecting_is_borne(service: Service, run: Callable[..., list[Any]], status: int) -> None:
    service.wrong["/collect"] = [Answer.json({"error": "later"}, status)] * 3
    assert run() == doubled(4)


def test_trouble_that_stays_while_collecting_ends_the_map_after_five_minutes(
    service: Service, run: Callable[..., list[Any]], clock: Clock
) -> None:
    service.wrong["/collect"] = [Answer.json({"error": "later"}, 408)] * 1000
    with pytest.raises(ubiops.ApiException, match="later"):
        run()
    assert 300 < sum(clock.pauses) < 330


def test_the_five_minutes_begin_again_with_every_answer(
    service: Service, run: Callable[..., list[Any]], clock: Clock
) -> None:
    service.looks = 3
    # Twice some 200 s of trouble, with an answer between them.
    trouble = [FAILED] * 25
    service.wrong["/collect"] = [*trouble]
    clock.plan.extend([lambda: None] * 26 + [lambda: service.wrong["/collect"].extend(trouble)])
    assert run() == doubled(4)
    assert sum(clock.pauses) > 300
    assert service.wrong["/collect"] == []


def test_what_is_in_flight_grows_again_after_a_full_queue(service: Service, run: Callable[..., list[Any]]) -> None:
    service.looks = 3
    service.wrong["/batch"] = [Answer.json({"error": "full"}, 429)]
    assert run(400, chunk_size=4, max_in_flight=40) == doubled(400)
    assert service.most == 40


def test_results_that_are_too_large_to_come_with_their_requests_are_downloaded(
    service: Service, run: Callable[..., list[Any]]
) -> None:
    service.large = True
    assert run(3) == doubled(3)
    assert sum(request.path.endswith("/output") for request in service.requests) == 3


def test_frozen_time_stops_no_timeout(service: Service) -> None:
    service.looks = 1 << 62
    configuration = ubiops.Configuration(host=service.url, api_key={"Authorization": "Token abc"})
    with (
        ubiops.ApiClient(configuration) as client,
        freezegun.freeze_time("2030-01-01"),
        pytest.raises(WaitTimeout, match=r"0 requests to the version .* were finished and 1 were outstanding"),
    ):
        list(map_requests(client, "lab", "model", inputs=xs(1), timeout=0.3))

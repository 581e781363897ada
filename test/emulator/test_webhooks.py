"""Webhooks, sent to a receiver on this machine."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import urllib3

import ubiops
from test.emulator.callers import Callers
from test.emulator.pipelines import make_line
from test.emulator.project import TestProject, wait_until
from test.server import Answer, Recorded, Server
from ubiops.emulator import Emulator
from ubiops.emulator.execution import post as post_module
from ubiops.emulator.execution import webhooks as webhooks_module

HALF = """
    class Deployment:
        def request(self, data):
            if data["x"] < 0:
                raise ValueError("negative")
            return {"y": data["x"] / 2}
"""


class Receiver(Server):
    """Keeps the messages that arrive until they are taken."""

    def __init__(self) -> None:
        super().__init__()
        self._arrived: queue.SimpleQueue[Recorded] = queue.SimpleQueue()
        self.default = self._take

    def _take(self, request: Recorded) -> Answer:
        self._arrived.put(request)
        return Answer.json({"ok": True})

    def next(self) -> Recorded:
        return self._arrived.get(timeout=30)

    @property
    def is_empty(self) -> bool:
        return self._arrived.empty()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


Watch = Callable[..., Any]


@pytest.fixture
def watch(project: TestProject, receiver: Receiver) -> Watch:
    """Makes a webhook of an event."""

    def create(event: str, **settings: Any) -> Any:
        kind = event.partition("_")[0]
        body = {"name": "hook", "object_type": kind, "object_name": "model", "url": f"{receiver.origin}/told?key=k"}
        return project.api.webhooks_create("lab", {**body, "event": event, **settings})

    return create


def messages(emulator: Emulator) -> list[dict[str, Any]]:
    """What the emulator says that it sent, or is sending."""
    url = f"{emulator.url.rpartition('/')[0]}/_emulator/webhooks"
    found: list[dict[str, Any]] = urllib3.request("GET", url, headers={"Authorization": emulator.token}).json()
    return found


def sent(emulator: Emulator) -> list[dict[str, Any]]:
    """The same, once nothing is on its way."""
    return wait_until(lambda: messages(emulator), lambda found: all(item["status"] != "pending" for item in found))


def test_a_request_that_completes_is_told(
    emulator: Emulator, project: TestProject, watch: Watch, receiver: Receiver
) -> None:
    project.deploy(HALF)
    headers = [
        {"key": "X-Key", "value": "s3cret", "protected": True},
        {"key": "X-Team", "value": "north", "protected": False},
    ]
    created = watch("deployment_request_completed", include_result=True, headers=headers)
    assert [(header.key, header.value) for header in created.headers] == [("X-Key", None), ("X-Team", "north")]
    answer = project.api.deployment_requests_create("lab", "model", {"x": 3})
    message = receiver.next()
    deployment = project.api.deployments_get("lab", "model")
    version = project.api.deployment_versions_get("lab", "model", "v1")
    assert (message.method, message.target) == ("POST", "/told?key=k")
    assert (message.headers["X-Key"], message.headers["X-Team"]) == ("s3cret", "north")
    assert message.headers["Content-Type"] == "application/json"
    assert message.json == {
        "event": "deployment_request_completed",
        "deployment_id": deployment.id,
        "deployment_name": "model",
        "deployment_version_id": version.id,
        "deployment_version_name": "v1",
        "request_id": answer.id,
        "status": "completed",
        "text": f"The request {answer.id} to version v1 of deployment model has completed.",
        "result": {"y": 1.5},
    }
    [kept] = sent(emulator)
    assert (kept["webhook"], kept["status"], kept["attempts"], kept["body"]) == ("hook", "completed", 1, message.json)
    [line] = project.api.logs_list("lab", query="| webhook_name = `hook`")
    assert line.log == "The message of deployment_request_completed to the webhook hook was delivered"
    assert line.metadata.deployment_request_id == answer.id
    told = [str(project.api.webhooks_list("lab")), str(project.api.logs_list("lab")), str(kept)]
    told.append(str(project.api.project_audit_events_list("lab")))
    assert not [text for text in told if "s3cret" in text]


def test_each_event_is_of_its_own_requests(project: TestProject, watch: Watch, receiver: Receiver) -> None:
    project.deploy(HALF)
    for name in ("started", "failed", "finished"):
        watch(f"deployment_request_{name}", name=name, url=f"{receiver.origin}/{name}")
    with pytest.raises(ubiops.exceptions.BadRequestError):
        project.request({"x": -1})
    told = {receiver.next() for _ in range(3)}
    assert {(message.path, message.json["status"]) for message in told} == {
        ("/started", "processing"),
        ("/failed", "failed"),
        ("/finished", "failed"),
    }
    assert not [message for message in told if "result" in message.json]
    project.request({"x": 1})
    assert sorted(receiver.next().json["status"] for _ in range(2)) == ["completed", "processing"]


def test_a_cancelled_request_has_finished(
    project: TestProject, watch: Watch, receiver: Receiver, gated: Callable[[], None]
) -> None:
    watch("deployment_request_finished")
    watch("deployment_request_failed", name="failed")
    running, waiting = project.api.batch_deployment_requests_create("lab", "model", [{"x": 1}, {"x": 2}])
    wait_until(
        lambda: project.api.deployment_requests_get("lab", "model", running.id),
        lambda request: request.status == "processing",
    )
    for request in (waiting, running):
        project.api.deployment_requests_update("lab", "model", request.id, {"status": "cancelled"})
        message = receiver.next().json
        assert (message["request_id"], message["status"]) == (request.id, "cancelled")
    assert receiver.is_empty


def test_without_a_version_the_default_one_is_watched(project: TestProject, watch: Watch, receiver: Receiver) -> None:
    project.deploy(HALF)
    project.deploy_version(HALF, "v2")
    assert watch("deployment_request_completed").version is None
    assert watch("deployment_request_completed", name="second", version="v2").version == "v2"
    project.api.deployment_version_requests_create("lab", "model", "v2", {"x": 1})
    assert receiver.next().json["deployment_version_name"] == "v2"
    project.api.deployments_update("lab", "model", {"default_version": "v2"})
    project.request({"x": 1})
    assert [receiver.next().json["deployment_version_name"] for _ in range(2)] == ["v2", "v2"]
    project.api.deployment_version_requests_create("lab", "model", "v1", {"x": 1})
    assert receiver.is_empty


def test_pipelines_are_watched(project: TestProject, watch: Watch, receiver: Receiver) -> None:
    project.deploy(HALF)
    version = make_line(project)
    watch("pipeline_request_started", name="started", object_name="line")
    watch("pipeline_request_completed", object_name="line", include_result=True)
    answer = project.api.pipeline_requests_create("lab", "line", {"x": 4})
    started, completed = sorted((receiver.next().json for _ in range(2)), key=lambda body: str(body["status"]))[::-1]
    assert (started["event"], started["status"]) == ("pipeline_request_started", "processing")
    assert (completed["pipeline_name"], completed["pipeline_version_id"]) == ("line", version.id)
    assert (completed["request_id"], completed["result"]) == (answer.id, answer.result)


def test_a_large_result_is_left_out(project: TestProject, watch: Watch, receiver: Receiver) -> None:
    code = """
        class Deployment:
            def request(self, data):
                return "a" * int(data)
    """
    project.deploy(code, input_type="plain", output_type="plain", input_fields=[], output_fields=[])
    watch("deployment_request_completed", include_result=True)
    for size in (15_998, 15_999):
        project.request(str(size))
    assert ["result" in receiver.next().json for _ in range(2)] == [True, False]


def test_changes_hold_at_once(project: TestProject, watch: Watch, receiver: Receiver) -> None:
    project.deploy(HALF)
    # Nobody is told of this one, and who watches is looked up.
    project.request({"x": 1})
    secret = {"key": "X-Key", "value": "s3cret", "protected": True}
    watch("deployment_request_completed", headers=[secret])
    keeping = {"headers": [{**secret, "value": ubiops.NULL}], "timeout": 30}
    assert project.api.webhooks_update("lab", "hook", keeping).timeout == 30
    project.request({"x": 1})
    assert receiver.next().headers["X-Key"] == "s3cret"
    project.api.webhooks_update("lab", "hook", {"headers": [], "name": "bell"})
    project.request({"x": 1})
    assert "X-Key" not in receiver.next().headers
    project.api.webhooks_update("lab", "bell", {"enabled": False})
    project.request({"x": 1})
    project.api.webhooks_update("lab", "bell", {"enabled": True})
    project.request({"x": 2})
    receiver.next()
    project.api.webhooks_delete("lab", "bell")
    project.request({"x": 1})
    with pytest.raises(ubiops.exceptions.NotFoundError, match="The webhook 'bell' was not found"):
        project.api.webhooks_get("lab", "bell")
    assert receiver.is_empty


def test_what_is_not_delivered_is_sent_again_where_that_is_wanted(
    emulator: Emulator, project: TestProject, watch: Watch, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The waits of seconds are replaced.
    monkeypatch.setattr(webhooks_module, "_WAITS", (0.0, 0.0))
    project.deploy(HALF)
    watch("deployment_request_completed", retry=True)
    receiver.answers = [Answer(500), None]
    project.request({"x": 1})
    [first] = sent(emulator)
    assert (first["status"], first["attempts"], len(receiver.requests)) == ("completed", 3, 3)
    project.api.webhooks_update("lab", "hook", {"retry": False})
    receiver.answers = [Answer(503)]
    project.request({"x": 1})
    [_, second] = sent(emulator)
    assert (second["status"], second["attempts"]) == ("failed", 1)
    [line] = project.api.logs_list("lab", query="| webhook_name = `hook` and level = `error`")
    assert line.log.endswith("was not delivered: The status of the answer was 503")


def test_a_redirect_is_not_followed(emulator: Emulator, project: TestProject, watch: Watch, receiver: Receiver) -> None:
    project.deploy(HALF)
    watch("deployment_request_completed")
    receiver.answers = [Answer(302, b"", {"Location": f"{receiver.origin}/elsewhere"})]
    project.request({"x": 1})
    assert [item["status"] for item in sent(emulator)] == ["completed"]
    assert [request.path for request in receiver.requests] == ["/told"]


def test_another_machine_gets_nothing(emulator: Emulator, project: TestProject, watch: Watch) -> None:
    project.deploy(HALF)
    # An address of no machine (RFC 5737).
    watch("deployment_request_completed", url="http://192.0.2.1/", retry=True)
    project.request({"x": 1})
    [item] = sent(emulator)
    assert (item["status"], item["attempts"]) == ("failed", 1)
    assert "only if it is started with --allow-webhooks HOST" in item["error_message"]


def test_the_address_that_was_checked_is_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def post(near: bool, allowed: tuple[str, ...]) -> None:
        async def resolve(host: str, port: int, **_options: Any) -> list[Any]:
            # A name that is of another machine whenever it is asked for again.
            asked.append(host)
            return [(0, 0, 0, "", (["127.0.0.1", "192.0.2.1"][len(asked) > 1], port))]

        # Names of tests resolve to nothing, and this machine has no other address to rely on.
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
        monkeypatch.setattr(post_module, "is_loopback", lambda _address: near)
        asked.clear()
        await post_module.post(f"http://hooks.test:{receiver.port}/", {}, {"a": 1}, 30, allowed)

    asyncio.run(post(near=True, allowed=()))
    assert (receiver.last.headers["Host"], asked) == (f"hooks.test:{receiver.port}", ["hooks.test"])
    asyncio.run(post(near=False, allowed=("hooks.test",)))
    with pytest.raises(post_module.PostError, match="not on this machine"):
        asyncio.run(post(near=False, allowed=("other.test",)))
    assert len(receiver.requests) == 2


def test_a_webhook_can_be_tested(project: TestProject, receiver: Receiver) -> None:
    project.deploy(HALF)
    body = {"object_type": "deployment", "object_name": "model", "event": "deployment_request_failed"}

    def run(url: str, **settings: Any) -> Any:
        test = project.api.webhook_tests_create("lab", {**body, "url": url, **settings})
        assert test.status == "pending"
        return wait_until(lambda: project.api.webhook_tests_get("lab", test.id), lambda test: test.status != "pending")

    assert (run(receiver.origin).status, receiver.next().json["status"]) == ("completed", "failed")
    unused = Server()
    unused.close()
    failed = run(unused.origin)
    assert (failed.status, failed.error_message[:16]) == ("failed", "Connection error")
    held = threading.Event()
    receiver.default = lambda _request: Answer() if held.wait(30) else None
    assert run(receiver.origin, timeout=1).error_message == "Timeout: there was no answer within 1 seconds"
    held.set()
    with pytest.raises(ubiops.exceptions.NotFoundError, match="The webhook test 'none' was not found"):
        project.api.webhook_tests_get("lab", "none")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"event": "deployment_request_begun"}, "event: it must be one of deployment_request_started"),
        ({"event": "pipeline_request_failed", "object_type": "deployment"}, "event: it must be one of deployment_"),
        ({"url": "ftp://127.0.0.1/"}, "url: .* is not an http or https URL"),
        ({"url": "http://me:secret@127.0.0.1/"}, "url: a URL must not contain credentials"),
        ({"timeout": 31}, "timeout: it must be from 1 to 30 seconds, not 31"),
        ({"object_type": "bucket"}, "object_type: it must be deployment or pipeline"),
        ({"name": "A hook"}, "The webhook name 'A hook' is not valid"),
        ({"headers": [{"key": "Host", "value": "a", "protected": False}]}, "'Host' is not the name of a header"),
        ({"headers": [{"key": "A", "value": "a\r\nB: c", "protected": False}]}, "A needs a value of printable ASCII"),
        ({"headers": [{"key": "A", "protected": True}]}, "A needs a value"),
    ],
)
def test_what_breaks_a_rule_is_400(project: TestProject, watch: Watch, settings: dict[str, Any], problem: str) -> None:
    project.create_deployment()
    with pytest.raises(ubiops.exceptions.BadRequestError, match=problem):
        watch(**{"event": "deployment_request_completed", **settings})


def test_webhooks_are_listed_by_what_they_watch(project: TestProject, watch: Watch, callers: Callers) -> None:
    project.deploy(HALF)
    make_line(project)
    watch("deployment_request_failed", name="a", labels={"team": "north"})
    watch("pipeline_request_failed", name="b", object_name="line")
    names = lambda **filters: [hook.name for hook in project.api.webhooks_list("lab", **filters)]  # noqa: E731
    assert names() == ["a", "b"]
    assert names(object_type="pipeline") == ["b"]
    assert names(event="deployment_request_failed") == ["a"]
    assert names(labels="team:north") == ["a"]
    with pytest.raises(ubiops.exceptions.ForbiddenError, match=r"webhooks\.delete"):
        callers.service_user("project-viewer").webhooks_delete("lab", "a")
    project.api.pipelines_delete("lab", "line")
    assert names() == ["a"]


def test_what_was_on_its_way_when_it_was_stopped_is_sent_again(receiver: Receiver, tmp_path: Path) -> None:
    held, arrived = threading.Event(), threading.Event()

    def hold(_request: Recorded) -> Answer:
        arrived.set()
        held.wait(30)
        return Answer()

    receiver.default = hold
    with Emulator(data_dir=tmp_path, project="lab") as emulator:
        project = TestProject(emulator.client(), "lab")
        project.deploy(HALF)
        body = {"name": "hook", "object_type": "deployment", "object_name": "model", "url": receiver.origin}
        project.api.webhooks_create("lab", {**body, "event": "deployment_request_completed"})
        project.request({"x": 1})
        assert arrived.wait(30)
        del body["name"]
        test = project.api.webhook_tests_create("lab", {**body, "event": "deployment_request_failed"})
        project.api.api_client.close()
    held.set()
    receiver.default = receiver._take
    with Emulator(data_dir=tmp_path) as emulator, emulator.client().api_client as client:
        assert receiver.next().json["status"] == "completed"
        assert [item["status"] for item in sent(emulator)] == ["completed"]
        # A test has nobody who waits for it any more.
        ended = ubiops.CoreApi(client).webhook_tests_get("lab", test.id)
        assert (ended.status, ended.error_message) == ("failed", "The emulator was stopped before the answer")


def test_what_was_sent_is_kept_for_a_week(
    emulator: Emulator, project: TestProject, watch: Watch, receiver: Receiver
) -> None:
    project.deploy(HALF)
    watch("deployment_request_completed")
    project.request({"x": 1})
    assert len(sent(emulator)) == 1
    held = threading.Event()
    receiver.default = lambda _request: Answer() if held.wait(30) else None
    project.request({"x": 2})
    for days, left in ((6, ["completed", "pending"]), (8, ["pending"])):
        emulator.tick(datetime.now(timezone.utc) + timedelta(days=days))
        assert [item["status"] for item in messages(emulator)] == left
    held.set()
    assert [item["status"] for item in sent(emulator)] == ["completed"]

"""Webhooks: messages to URLs about events of requests."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update
from sqlalchemy.orm import Session

from ubiops.emulator.dates import timestamp
from ubiops.emulator.execution.post import PostError, post
from ubiops.emulator.ids import new_id
from ubiops.emulator.store import Store
from ubiops.emulator.tables import LogLine, PipelineVersion, Version, Webhook, WebhookMessage, WebhookTest

_AT_ONCE = 10
"""The most messages that are being sent to a URL at a time."""

_WAITS = (1.0, 2.0, 4.0)
"""Seconds before each further attempt, if a webhook retries."""

_LARGEST_RESULT = 16_000
"""Largest JSON of a result that is sent, in bytes."""

_KEPT = timedelta(days=7)
"""How long sent messages are kept."""

_EVENTS = {
    "processing": ("started",),
    "completed": ("completed", "finished"),
    "failed": ("failed", "finished"),
    "cancelled": ("finished",),
}
"""What happened to a request, by its new status."""

_SENTENCES = {
    "processing": "has started",
    "completed": "has completed",
    "failed": "has failed",
    "cancelled": "was cancelled",
}
EVENTS = {
    kind: tuple(f"{kind}_request_{name}" for name in ("started", "completed", "failed", "finished"))
    for kind in ("deployment", "pipeline")
}
"""The events of deployments and of pipelines."""


@dataclass(frozen=True)
class Receiver:
    """Where and how messages are sent.

    Attributes:
        url: URL that they are sent to.
        headers: Headers that go with them, each a ``key`` and a ``value``.
        timeout: Seconds to wait for an answer.
        retry: Whether messages that were not delivered are sent again.
    """

    url: str
    headers: Sequence[Mapping[str, Any]]
    timeout: float
    retry: bool


@dataclass(frozen=True)
class _Watch:
    """What a webhook watches; without a version, the default one."""

    webhook_id: str
    name: str
    version_id: str | None
    event: str
    include_result: bool


class Webhooks:
    """Sends and keeps the messages of webhooks.

    A message is stored together with the event that it reports, so that neither is lost without the other; it may
    arrive twice if the emulator is stopped before the answer.

    Args:
        store: The database.
        allowed: Hosts other than this machine that may be sent to.
        spawn: Runs a coroutine until it is done, or the emulator stops.
    """

    def __init__(
        self, store: Store, allowed: Collection[str], spawn: Callable[[Coroutine[Any, Any, None]], object]
    ) -> None:
        self._store = store
        self._allowed = frozenset(host.lower() for host in allowed)
        self._spawn = spawn
        self._watched: dict[str, list[_Watch]] | None = None
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))

    def forget(self) -> None:
        """Read again what is watched; called after webhooks have changed."""
        self._watched = None

    def watch(self, version: Version | PipelineVersion) -> Sequence[_Watch]:
        """The webhooks that watch the deployment or pipeline of a version."""
        if self._watched is None:
            with self._store.session() as session:
                self._watched = _read_watched(session)
        return self._watched.get(_owner(version).id, ())

    def note(
        self,
        connection: Connection,
        version: Version | PipelineVersion,
        request_id: str,
        status: str,
        result: Any = None,
    ) -> None:
        """Send messages about a request's new status to the webhooks of its version, once the transaction is committed.

        Args:
            connection: The connection of the transaction.
            version: The version.
            request_id: Id of the request.
            status: ``processing``, ``completed``, ``failed`` or ``cancelled``.
            result: Its result.
        """
        owner = _owner(version)
        for watch in self.watch(version):
            wanted = watch.version_id or owner.default_version_id
            happened = watch.event.rpartition("_")[2] in _EVENTS[status]
            if happened and version.id == wanted:
                body = message(version, request_id, watch.event, status, result if watch.include_result else None)
                row = {
                    "id": new_id(),
                    "project_id": owner.project_id,
                    "webhook_id": watch.webhook_id,
                    "webhook_name": watch.name,
                    "body": body,
                }
                connection.execute(insert(WebhookMessage), row)
                asyncio.get_running_loop().call_soon(self._start, row["id"])

    def _start(self, message_id: str) -> None:
        self._spawn(self._send(message_id))

    async def _send(self, message_id: str) -> None:
        with self._store.session() as session:
            row = session.scalar(_find(message_id))
            hook = session.scalar(select(Webhook).filter_by(id=row.webhook_id)) if row is not None else None
        if row is None:
            # Its transaction was rolled back.
            return
        attempts, error = 0, "The webhook was deleted or disabled meanwhile"
        if hook is not None and hook.enabled:
            receiver = Receiver(hook.url, hook.headers, hook.timeout, hook.retry)
            attempts, error = await self._deliver(receiver, row.body)
        self._close(message_id, attempts, error)

    async def _deliver(self, receiver: Receiver, body: dict[str, Any]) -> tuple[int, str]:
        """Send a message; returns the number of attempts, and why it was not delivered (empty if it was)."""
        headers = {header["key"]: header["value"] for header in receiver.headers}
        waits = _WAITS if receiver.retry else ()
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._slots[receiver.url]:
                    await post(receiver.url, headers, body, receiver.timeout, self._allowed)
                return attempt, ""
            except PostError as error:
                if error.is_final or attempt > len(waits):
                    return attempt, str(error)
            await asyncio.sleep(waits[attempt - 1])

    def _close(self, message_id: str, attempts: int, error: str) -> None:
        with self._store.session() as session:
            row = session.scalar(_find(message_id))
            if row is None:
                return
            row.status, row.error_message = "failed" if error else "completed", error or None
            row.attempts += attempts
            session.add(_log_line(row))

    def test(self, test_id: str, receiver: Receiver, body: dict[str, Any]) -> None:
        """Send the message of a test, once the current transaction is committed."""
        asyncio.get_running_loop().call_soon(lambda: self._spawn(self._test(test_id, receiver, body)))

    async def _test(self, test_id: str, receiver: Receiver, body: dict[str, Any]) -> None:
        _, error = await self._deliver(receiver, body)
        ended = {"status": "failed" if error else "completed", "error_message": error or None}
        with self._store.session() as session:
            session.execute(update(WebhookTest).where(WebhookTest.id == test_id).values(ended))

    def recover(self, session: Session) -> None:
        """Send the messages that an earlier process left unsent."""
        for message_id in session.scalars(select(WebhookMessage.id).filter_by(status="pending")):
            self._start(message_id)
        stopped = {"status": "failed", "error_message": "The emulator was stopped before the answer"}
        session.execute(update(WebhookTest).where(WebhookTest.status == "pending").values(stopped))

    def expire(self, moment: datetime) -> None:
        """Delete old messages."""
        due = WebhookMessage.creation_date <= timestamp(moment - _KEPT)
        with self._store.session() as session:
            session.execute(delete(WebhookMessage).where(due, WebhookMessage.status != "pending"))

    def stop(self) -> None:
        """Drop the semaphores, once all work is stopped: they belong to the event loop in which they were awaited."""
        self._slots.clear()

    def sent(self) -> list[dict[str, Any]]:
        """The messages that were sent or are to be sent, oldest first."""
        with self._store.session() as session:
            return [
                {
                    "webhook": row.webhook_name,
                    "status": row.status,
                    "attempts": row.attempts,
                    "error_message": row.error_message,
                    "creation_date": row.creation_date,
                    "body": row.body,
                }
                for row in session.scalars(select(WebhookMessage).order_by(WebhookMessage.number))
            ]


def message(
    version: Version | PipelineVersion, request_id: str, event: str, status: str, result: Any = None
) -> dict[str, Any]:
    """The message about a request.

    Args:
        version: The version that the request was made to.
        request_id: Its id.
        event: What happened.
        status: Its status.
        result: Its result, left out if it is None or too large.
    """
    kind = "deployment" if isinstance(version, Version) else "pipeline"
    owner = _owner(version)
    text = f"The request {request_id} to version {version.name} of {kind} {owner.name} {_SENTENCES[status]}."
    body = {
        "event": event,
        f"{kind}_id": owner.id,
        f"{kind}_name": owner.name,
        f"{kind}_version_id": version.id,
        f"{kind}_version_name": version.name,
        "request_id": request_id,
        "status": status,
        "text": text,
    }
    if result is not None and len(json.dumps(result)) <= _LARGEST_RESULT:
        body["result"] = result
    return body


def _owner(version: Version | PipelineVersion) -> Any:
    return version.deployment if isinstance(version, Version) else version.pipeline


def _read_watched(session: Session) -> dict[str, list[_Watch]]:
    """What is watched, by the ids of deployments and pipelines."""
    watched: defaultdict[str, list[_Watch]] = defaultdict(list)
    for hook in session.scalars(select(Webhook).where(Webhook.enabled)):
        version_id = hook.version_id or hook.pipeline_version_id
        watch = _Watch(hook.id, hook.name, version_id, hook.event, hook.include_result)
        watched[hook.deployment_id or hook.pipeline_id or ""].append(watch)
    return dict(watched)


def _find(message_id: str) -> Select[WebhookMessage]:
    return select(WebhookMessage).filter_by(id=message_id)


def _log_line(row: WebhookMessage) -> LogLine:
    body, kind = row.body, row.body["event"].partition("_")[0]
    end = f"was not delivered: {row.error_message}" if row.error_message else "was delivered"
    of_pipeline = kind == "pipeline"
    return LogLine(
        project_id=row.project_id,
        level="error" if row.error_message else "info",
        system=True,
        log=f"The message of {body['event']} to the webhook {row.webhook_name} {end}",
        webhook_name=row.webhook_name,
        version_id=None if of_pipeline else body["deployment_version_id"],
        request_id=None if of_pipeline else body["request_id"],
        pipeline_version_id=body["pipeline_version_id"] if of_pipeline else None,
        pipeline_request_id=body["request_id"] if of_pipeline else None,
    )

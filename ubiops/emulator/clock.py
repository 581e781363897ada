"""What happens every minute: schedules make their requests, and what has outlived its retention time is deleted."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial

from sqlalchemy import delete

from ubiops.emulator.context import Context
from ubiops.emulator.dates import timestamp
from ubiops.emulator.errors import ApiError
from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.handlers.schedules import due_schedules, log_failure, make_request
from ubiops.emulator.store import Store
from ubiops.emulator.tables import DeploymentRequest, PipelineRequest, Schedule

_logger = logging.getLogger(__name__)

_USER = "UbiOps"
"""The user that makes the requests of schedules."""

_MINUTE = timedelta(minutes=1)
_MOST_MISSED = 10
"""The most missed minutes that are made up for on a busy machine; after a longer sleep, earlier ones are skipped."""


class Clock:
    """Ticks once a minute.

    Args:
        store: The database.
        engine: Runs the requests.
    """

    def __init__(self, store: Store, engine: Engine) -> None:
        self._store = store
        self._engine = engine

    async def run(self) -> None:
        """Tick until cancelled."""
        last = _minute(datetime.now(timezone.utc))
        while True:
            current = datetime.now(timezone.utc)
            await asyncio.sleep((last + _MINUTE - current).total_seconds())
            now = _minute(datetime.now(timezone.utc))
            for moment in minutes_due(last, now):
                self.tick(moment)
            # Don't wait for a clock that was set back, or that a test no longer freezes.
            last = now

    def tick(self, moment: datetime) -> None:
        """Do the work of a given moment."""
        deletions = (self._delete_requests, self._delete_files, self._delete_messages, self._delete_environments)
        for work in (self._make_requests, *deletions, self._note_instances):
            try:
                work(moment)
            except Exception:
                _logger.exception("%s failed inside the emulator", work.__name__)

    def _make_requests(self, moment: datetime) -> None:
        with self._store.session() as session:
            due = [schedule.number for schedule in due_schedules(session, _minute(moment))]
        for number in due:
            try:
                self._with_schedule(number, make_request)
            except ApiError as error:
                self._with_schedule(number, partial(log_failure, message=error.message))

    def _with_schedule(self, number: int, work: Callable[[Context, Schedule], None]) -> None:
        with self._store.session() as session:
            schedule = session.get_one(Schedule, number)
            work(Context(session, self._engine, _USER), schedule)

    def _delete_requests(self, moment: datetime) -> None:
        with self._store.session() as session:
            for table in (DeploymentRequest, PipelineRequest):
                due = table.delete_after <= timestamp(moment)
                session.execute(delete(table).where(due, table.time_completed.is_not(None)))

    def _delete_files(self, _moment: datetime) -> None:
        self._engine.storage.expire()

    def _delete_messages(self, moment: datetime) -> None:
        self._engine.webhooks.expire(moment)

    def _delete_environments(self, _moment: datetime) -> None:
        self._engine.environments.collect()

    def _note_instances(self, _moment: datetime) -> None:
        with self._store.session() as session:
            self._engine.note_instances(session)


def minutes_due(last: datetime, now: datetime) -> Iterator[datetime]:
    """The minutes that have begun since the last one, except those that are too long ago."""
    moment = max(last, now - _MOST_MISSED * _MINUTE)
    while moment < now:
        moment += _MINUTE
        yield moment


def _minute(moment: datetime) -> datetime:
    return moment.astimezone(timezone.utc).replace(second=0, microsecond=0)

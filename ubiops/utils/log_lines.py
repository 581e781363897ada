"""The log of a project: its last lines, and new ones, each once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from ubiops import models
from ubiops.exceptions import ApiException
from ubiops.frames import one_frame
from ubiops.schema import nearest_hint, read_datetime
from ubiops.utils.answers import check_list
from ubiops.utils.arguments import (
    Client,
    Moment,
    check_count,
    check_seconds,
    core_api,
    helper,
    invalid,
    utc,
    wrong_type,
)
from ubiops.utils.newer_logs import newer_lines
from ubiops.utils.polling import PASSING, Backoff, Outage

if TYPE_CHECKING:
    from ubiops.api.core_api import CoreApi

__all__ = ["LINES_PER_PAGE", "LogReader", "date_of", "latest_moment", "present", "read_lines", "tail_logs"]

LINES_PER_PAGE = 500
"""Maximum number of lines in one answer of the API."""

_DAY = timedelta(days=1)
"""The longest range that the API searches at a time."""

_LATENESS = timedelta(seconds=20)
"""How late a line may appear."""

_AHEAD = timedelta(hours=1)
"""How far the server's clock may be ahead of this machine's."""


@helper
def tail_logs(
    client: Client,
    project_name: str,
    filters: Mapping[str, str | bool | None] | None = None,
    follow: bool = True,
    *,
    lines: int | None = None,
    since: Moment | None = None,
    timeout: float | None = None,
) -> Iterator[models.Logs]:
    """Read the log of a project: its last lines, and then new ones, each once.

    Lines come oldest first. A line that appears up to 20 s late is still returned, when it appears. Nothing is sent
    before the first line is taken; the log is polled every 0.5 s while lines come, and ever less often, down to every
    10 s, while none do. Failing calls and lost connections are retried for up to 5 minutes.

    Args:
        client: The client to use.
        project_name: Name of the project.
        filters: What lines must match: ``deployment_name``, ``deployment_version`` (with ``deployment_name``),
            ``build_id``, ``deployment_request_id``, ``pipeline_name``, ``pipeline_version``, ``pipeline_object_name``,
            ``pipeline_request_id``, ``system`` (whether UbiOps wrote them, not user code), ``level`` (``info`` or
            ``error``). None for all lines.
        follow: Whether to wait for new lines; if not, it ends with the newest.
        lines: How many of the last lines to begin with, of the last 24 hours or, if that is longer, from `since` on;
            default 10, or all if `since` is given.
        since: Return no lines before this moment: a datetime, a date, or text in ISO 8601. Without a zone it is in UTC.
        timeout: Seconds after which to stop following; None for no limit.

    Returns:
        An iterator of log lines.

    Raises:
        ApiValueError, ApiTypeError: An argument is wrong; nothing was sent.
        ApiException: The API refused a call, or couldn't be reached for 5 minutes. POST /projects/{project_name}/logs;
            GET /projects/{project_name}/logs if a service answers that with 404
    """
    api = core_api(client, "tail_logs")
    if lines is not None:
        check_count("lines", "tail_logs", lines, 0)
    if since is not None:
        since = utc("since", "tail_logs", since)
    check_seconds("timeout", "tail_logs", timeout)
    reader = LogReader(api, project_name, _check_filters(filters), since or present() - _DAY)
    return _tail(reader, follow, 10 if lines is None and since is None else lines, timeout)


@one_frame
def _tail(reader: LogReader, follow: bool, lines: int | None, timeout: float | None) -> Iterator[models.Logs]:
    backoff, outage = Backoff(timeout), Outage()
    if lines is not None:
        yield from reader.last(lines)
        if not follow:
            return
    while True:
        try:
            for line in reader.new():
                yield line
                backoff.restart()
            outage.end()
        except PASSING as error:
            if not follow:
                raise
            outage.bear(error)
        if not follow or not backoff.pause():
            return


class LogReader:
    """Reads the lines that match filters, each once, as they appear.

    Args:
        api: The operations to use.
        project_name: Name of the project.
        filters: What lines must match, in the form of the API.
        since: Moment of the first line, with its zone.
    """

    def __init__(self, api: CoreApi, project_name: str, filters: Mapping[str, str], since: datetime) -> None:
        self._api = api
        self._project_name = project_name
        self._filters = dict(filters)
        self._since = since
        self._newer = False
        self._start = {"date": since.isoformat()}
        self._known: set[str] = set()
        self._recent: deque[tuple[datetime, str]] = deque()

    def new(self, timeout: float | None = None) -> Iterator[models.Logs]:
        """The lines that were not returned yet, oldest first.

        Args:
            timeout: Seconds for each call to the server; None for the default.
        """
        # The last ones are read again, since others may have appeared among them.
        for line in read_lines(self._asking(timeout), self._start, self._since, latest_moment()):
            if str(line.id) not in self._known:
                self._note(line)
                yield line

    def last(self, number: int, timeout: float | None = None) -> list[models.Logs]:
        """The last lines, oldest first; `new` continues after them.

        Args:
            number: Maximum number of lines.
            timeout: Seconds for each call to the server; None for the default.
        """
        start = latest_moment()
        found = read_lines(self._asking(timeout), {"date": start.isoformat()}, start, self._since, forward=False)
        # At least one line, so that `new` knows where to continue.
        newest = list(islice(found, max(number, 1)))[::-1]
        if newest:
            self._since = date_of(newest[0], self._since)
            self._start = {"id": str(newest[0].id)}
        for line in newest:
            self._note(line)
        return newest if number else []

    def _asking(self, timeout: float | None) -> Callable[[dict[str, Any]], list[models.Logs]]:
        def ask(data: dict[str, Any]) -> list[models.Logs]:
            data = {"filters": self._filters, **data}
            if not self._newer:
                try:
                    lines = self._api.projects_log_list(self._project_name, data=data, _request_timeout=timeout)
                    return check_list("projects_log_list", lines, "id", "date", "log")
                except ApiException as error:
                    if error.status not in (404, 405):
                        raise
                # Newer services have another operation instead, which raises if there is no such project.
            found = newer_lines(self._api, self._project_name, data, timeout)
            self._newer = True
            return found

        return ask

    def _note(self, line: models.Logs) -> None:
        date = date_of(line, self._since)
        self._known.add(str(line.id))
        self._recent.append((date, str(line.id)))
        if date - _LATENESS > self._since:
            self._since = date - _LATENESS
            self._start = {"date": self._since.isoformat()}
        while self._recent and self._recent[0][0] < self._since:
            self._known.discard(self._recent.popleft()[1])


def read_lines(
    ask: Callable[[dict[str, Any]], list[models.Logs]],
    start: Mapping[str, str],
    moment: datetime,
    until: datetime,
    *,
    forward: bool = True,
    page_size: int = LINES_PER_PAGE,
) -> Iterator[models.Logs]:
    """Read the lines between two moments, however far apart; each once, even if many share a moment.

    Args:
        ask: Asks the API for lines, given the ``date`` or ``id``, the ``date_range`` and the ``limit``.
        start: The ``date`` or the ``id`` to start at.
        moment: The moment of that start.
        until: The moment to stop at.
        forward: Whether to read towards later lines, else towards earlier ones.
        page_size: How many lines to ask for at a time, 2 to 500.
    """
    sign = 1 if forward else -1
    latest: datetime | None = None
    given: set[str] = set()
    while True:
        reach = min(max(sign * (until - moment), timedelta(seconds=1)), _DAY)
        seconds = math.ceil(reach.total_seconds())
        page = ask({**start, "date_range": sign * seconds, "limit": page_size})
        for line in page:
            date = date_of(line, moment)
            if sign * (date - until) > timedelta(0):
                return
            if date != latest:
                # Only lines of the moment at which a page ends are repeated on the next one.
                latest = date
                given.clear()
            if str(line.id) not in given:
                given.add(str(line.id))
                yield line
        if len(page) >= page_size and page[-1].id != start.get("id"):
            start, last = {"id": str(page[-1].id)}, date_of(page[-1], moment)
            # Never back, whatever the line says: the search advances in steps of a day.
            moment = max(moment, last) if forward else min(moment, last)
            continue
        moment += sign * timedelta(seconds=seconds)
        if sign * (moment - until) >= timedelta(0):
            return
        start = {"date": moment.isoformat()}


def present() -> datetime:
    """The present moment by this machine's clock."""
    return datetime.now(timezone.utc)


def latest_moment() -> datetime:
    """A moment later than any line, although the server's clock may be ahead of this machine's."""
    return present() + _AHEAD


def date_of(line: models.Logs, otherwise: datetime) -> datetime:
    """When a line was logged, or a default if it doesn't say so."""
    date = read_datetime(line.date)
    if not isinstance(date, datetime):
        return otherwise
    return date if date.tzinfo is not None else date.replace(tzinfo=timezone.utc)


def _check_filters(filters: Any) -> dict[str, str]:
    if filters is None:
        return {}
    if not isinstance(filters, Mapping):
        raise wrong_type("filters", "tail_logs", "dict", filters)
    known = [name for name in models.Logs.fields if name not in ("id", "log", "date")]
    for name, value in filters.items():
        if name not in known:
            raise invalid("filters", "tail_logs", f"there is no `{name}`{nearest_hint(str(name), known)}")
        if not isinstance(value, (str, bool, type(None))):
            raise wrong_type(f"filters['{name}']", "tail_logs", "str or bool", value)
    texts = {name: str(value).lower() if isinstance(value, bool) else value for name, value in filters.items()}
    return {name: value for name, value in texts.items() if value is not None}

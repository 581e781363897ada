"""The log of a newer service, which answers the older operation with 404 and has another."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace
from typing import Any

import pytest

import ubiops
from test.utils.planned import Planned
from ubiops.utils import tail_logs

NOW = datetime.now(timezone.utc)


class NewerLog(Planned):
    """Keeps lines and searches them as the reference says: from a start on, up to an end, back where that is before.

    Attributes:
        lines: Moments and texts, oldest first.
    """

    lines: list[tuple[int, str]]

    def logs_list(self, project_name: str, query: str, start: str, end: str, limit: int, **options: Any) -> Any:  # type: ignore[override]
        self.calls.append(("logs_list", (query, limit), options))
        first, last = int(start), int(end)
        if first <= last:
            found = [line for line in self.lines if first <= line[0] < last]
        else:
            found = [line for line in self.lines[::-1] if last < line[0] <= first]
        metadata = ubiops.LogMetadata.from_dict({"deployment_name": "d"})
        return [SimpleNamespace(timestamp=time, log=text, metadata=metadata) for time, text in found[:limit]]


@pytest.fixture
def log() -> Iterator[NewerLog]:
    with ubiops.ApiClient(ubiops.Configuration(host="http://127.0.0.1:1/v2.1")) as client:
        api = NewerLog(client, projects_log_list=[ubiops.NotFoundError(404, "Not Found")])
        start = int((NOW - timedelta(hours=1)).timestamp()) * 10**9
        # Many share a moment.
        api.lines = [(start + index // 7 * 1000, f"line {index}") for index in range(1300)]
        yield api


def test_the_last_lines_and_all_of_them(log: NewerLog) -> None:
    texts = [text for _, text in log.lines]
    assert [line.log for line in tail_logs(log, "lab", {"deployment_name": "d"}, follow=False)] == texts[-10:]
    every = list(tail_logs(log, "lab", follow=False, since=NOW - timedelta(hours=2)))
    assert [line.log for line in every] == texts
    assert every[0].deployment_name == "d"
    assert isinstance(every[0].date, (datetime, str))
    # The older operation is tried once for each reader, and not for each page.
    assert [name for name, *_ in log.calls].count("projects_log_list") == 2
    assert next(arguments[0] for name, arguments, _ in log.calls if name == "logs_list") == "| deployment_name = `d`"

"""Log lines written straight into an emulator's store: at chosen moments, which no user code can choose."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import select

from ubiops.emulator import Emulator
from ubiops.emulator.dates import timestamp
from ubiops.emulator.tables import LogLine, Project


def write_log(emulator: Emulator, lines: Iterable[tuple[datetime, str]], level: str = "info") -> None:
    """Add lines, each with its moment, to the log of the one project that there is."""
    with emulator._store.session() as session:
        project_id = session.scalars(select(Project.id)).one()
        session.add_all(
            LogLine(project_id=project_id, date=timestamp(moment), log=text, level=level, system=False)
            for moment, text in lines
        )

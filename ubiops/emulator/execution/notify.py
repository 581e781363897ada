"""Notifications: mail is written to the log of the project instead of being sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from ubiops.emulator.tables import LogLine, NotificationGroup


def notify(session: Session, project_id: str, group_name: str | None, text: str, **place: Any) -> None:
    """Notify everyone in a notification group, with one log line each.

    Args:
        session: The session to write the lines with.
        project_id: Project of the group.
        group_name: Name of the group; if it is None or was deleted, no one is notified.
        text: What happened.
        **place: What the lines belong to, as columns of `LogLine`: ``version_id``, ``request_id`` ...
    """
    if group_name is None:
        return
    group = session.scalar(select(NotificationGroup).filter_by(project_id=project_id, name=group_name))
    for contact in group.contacts if group is not None else ():
        address = contact["configuration"]["email_address"]
        line = f"Mail to {address} (notification group {group_name}): {text}"
        session.add(LogLine(project_id=project_id, level="info", system=True, log=line, **place))

"""The audit events of a project: who did what, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import update

from ubiops.emulator.context import Context
from ubiops.emulator.tables import AuditEvent, Project

ACTIONS = ("create", "update", "delete", "info")
"""``info`` is anything else: a download, an upload."""

FOLLOWED = ("project", "deployment", "pipeline")
"""Types whose names are looked up when events are listed, so that events show the present name."""


class _Stored(Protocol):
    id: str


def record(
    context: Context,
    project: Project,
    action: str,
    event: str,
    *,
    object_type: str,
    object_name: str,
    deployment: _Stored | None = None,
    pipeline: _Stored | None = None,
) -> None:
    """Write an audit event; call it after a change, but before a deletion.

    Args:
        context: Of the request that makes the change.
        project: Project that the change is in.
        action: One of `ACTIONS`.
        event: What was done, such as ``Created version v1 for deployment model``. No values of variables, no tokens.
        object_type: Type of the object that was acted on: ``deployment`` for all that belongs to a deployment.
        object_name: Its name.
        deployment: The deployment that lists the event among its own.
        pipeline: The pipeline that lists the event among its own.
    """
    for stored in (project, deployment, pipeline):
        if stored is not None and stored.id is None:
            context.session.flush()
    if action == "delete" and object_type not in FOLLOWED:
        _forget_name(context, project, object_type, object_name)
        object_name = ""
    context.session.add(
        AuditEvent(
            project_id=project.id,
            deployment_id=deployment.id if deployment is not None else None,
            pipeline_id=pipeline.id if pipeline is not None else None,
            action=action,
            user=context.user,
            event=event,
            object_type=object_type,
            object_name=object_name,
        )
    )


def _forget_name(context: Context, project: Project, object_type: str, object_name: str) -> None:
    """Make the events of a deleted object, which outlive it, no longer show its name."""
    context.session.execute(
        update(AuditEvent)
        .filter_by(project_id=project.id, object_type=object_type, object_name=object_name)
        .values(object_name="")
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What an update changed, as the end of an event: ``: name changed from a to b``; empty if nothing changed."""
    changed = [f"{name} changed from {before[name]} to {after[name]}" for name in after if before[name] != after[name]]
    return f": {', '.join(changed)}" if changed else ""

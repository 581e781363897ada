"""Events of a project's objects that no user caused."""

from __future__ import annotations

from sqlalchemy.orm import Session

from ubiops.emulator.tables import ProjectEvent, Version

BUILD_FAILED = "build_failed"
INSTANCE_LOST = "instance_failed"
OUT_OF_MEMORY = "instance_out_of_memory"


def note_event(session: Session, version: Version, type: str, text: str) -> None:
    """Write an event of a deployment version.

    Args:
        session: The session to write it with.
        version: The version.
        type: What happened, one of the above.
        text: The same as text.
    """
    session.add(
        ProjectEvent(
            project_id=version.deployment.project_id,
            object_type="deployment_version",
            object_id=version.id,
            parent_id=version.deployment_id,
            type=type,
            text=text,
        )
    )

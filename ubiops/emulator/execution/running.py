"""A deployment request while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ubiops.emulator.tables import Version


@dataclass(slots=True)
class RunningRequest:
    """The part of a stored request that is used while it runs. It belongs to no session: changes are stored separately.

    Attributes:
        id: Its id.
        version: The version that runs it, as it was when it was read.
        express: Whether someone waits for the result.
        data: Its input.
        created_by: Email address of the user that made it.
        time_created: When it was made.
        time_started: When it began to run; None if it hasn't.
        delete_after: When it is to be deleted; None if it hasn't begun.
        pipeline_request_id: The pipeline request that it is part of.
        pipeline_object: Name of the object that made it.
        pipeline_object_id: Id of that object.
    """

    id: str
    version: Version
    express: bool
    data: Any
    created_by: str
    time_created: str
    time_started: str | None = None
    delete_after: str | None = None
    pipeline_request_id: str | None = None
    pipeline_object: str | None = None
    pipeline_object_id: str | None = None

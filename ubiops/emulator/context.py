"""What a handler works with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from ubiops.emulator.document import OLDEST, Generation
from ubiops.emulator.execution.engine import Engine


@dataclass(frozen=True)
class Context:
    """What a handler works with.

    Attributes:
        session: The transaction of this request, committed when the handler returns, rolled back if it raises. A
            handler that awaits something commits before, and touches it no more than it must after.
        engine: Builds and runs deployments.
        user: Email address of the caller.
        origin: Scheme, host and port that the caller reached the emulator by; empty where no request is behind it.
        generation: The service whose answers the caller wants.
    """

    session: Session
    engine: Engine
    user: str
    origin: str = ""
    generation: Generation = OLDEST

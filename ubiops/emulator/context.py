"""What a handler works with."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from ubiops.emulator.execution.engine import Engine
from ubiops.emulator.web.document import OLDEST, Generation


@dataclass(frozen=True)
class Context:
    """What a handler works with.

    Attributes:
        session: The transaction of this request, committed when the handler returns, rolled back if it raises. A
            handler commits before it awaits something, and then uses the session as little as possible.
        engine: Builds and runs deployments.
        user: Email address of the caller.
        origin: Scheme, host and port at which the caller reached the emulator; empty if there is no request.
        generation: The generation of the service whose answers the caller expects.
    """

    session: Session
    engine: Engine
    user: str
    origin: str = ""
    generation: Generation = OLDEST

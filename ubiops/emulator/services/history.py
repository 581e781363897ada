"""The history of requests to services: they are measured, stored as requests to the version, and logged."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import PurePosixPath

from ubiops.emulator.dates import now, timestamp
from ubiops.emulator.execution.measure import add_measurement, seconds_between
from ubiops.emulator.ids import new_ids
from ubiops.emulator.patterns import matches
from ubiops.emulator.store import Store
from ubiops.emulator.tables import DeploymentRequest, LogLine, Service, Version


@dataclass
class Visit:
    """A request to an instance.

    Attributes:
        service: The service that it was sent to.
        version: The version that runs it.
        caller: Email address of the caller; empty if the service needs no authentication.
        method: Its method.
        path: Its path at the service, as received; never its query, which may contain secrets.
        status: Status of the answer; None until there is an answer.
        started: When it arrived.
        input_volume: Bytes of its body that were forwarded.
        output_volume: Bytes of the answer's body that were returned.
    """

    service: Service
    version: Version
    caller: str
    method: str
    path: str
    status: int | None = None
    started: str = field(default_factory=now)
    input_volume: int = 0
    output_volume: int = 0

    @property
    def is_kept(self) -> bool:
        """Whether the service stores such requests."""
        pattern = self.service.request_logging_excluded_paths
        extensions = {extension.lstrip(".") for extension in self.service.request_logging_excluded_extensions}
        is_excluded = bool(pattern) and matches(pattern, self.path)
        return not is_excluded and PurePosixPath(self.path).suffix[1:] not in extensions


_GONE = 499
"""The status that is stored if the caller went away before the answer."""


def keep(store: Store, visit: Visit) -> None:
    """Measure a request that has ended; store and log it as its service and its version are configured to."""
    version, status = visit.version, visit.status or _GONE
    success = status < 500 and visit.status is not None
    request_id = new_ids(1)[0]
    with store.session() as session:
        if session.get(Version, version.id) is None:
            return
        completed = now()
        add_measurement(
            session.connection(),
            project_id=visit.service.project_id,
            object_type="deployment_version",
            object_id=version.id,
            user=visit.caller,
            moment=completed,
            requests=1,
            failed_requests=int(not success),
            input_volume=visit.input_volume,
            output_volume=visit.output_volume,
            seconds=seconds_between(visit.started, completed),
        )
        if not visit.is_kept:
            return
        if version.request_retention_mode != "none":
            session.add(
                DeploymentRequest(
                    id=request_id,
                    version_id=version.id,
                    express=True,
                    timeout=0,
                    status="completed" if success else "failed",
                    success=success,
                    error_message=None if success else f"The service answered with the status {status}",
                    time_created=visit.started,
                    time_started=visit.started,
                    time_completed=completed,
                    created_by=visit.caller,
                    delete_after=timestamp(
                        datetime.now(timezone.utc) + timedelta(seconds=version.request_retention_time)
                    ),
                    additional_data={"path": visit.path, "method": visit.method, "status_code": status},
                )
            )
        session.add(
            LogLine(
                project_id=visit.service.project_id,
                version_id=version.id,
                request_id=request_id,
                level="info" if success else "error",
                system=True,
                log=f"Service {visit.service.name}: {visit.method} {visit.path} {status}",
            )
        )

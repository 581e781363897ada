"""What happened: logs, audit events, measurements."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.ids import new_id
from ubiops.emulator.tables.base import Base, Identified
from ubiops.emulator.tables.deployments import Build, Version
from ubiops.emulator.tables.environments import EnvironmentTag
from ubiops.emulator.tables.pipelines import PipelineVersion
from ubiops.emulator.tables.projects import OfProject


class LogLine(OfProject, Base):
    __tablename__ = "log_line"
    # Most lines don't belong to an environment: an index of all lines would be written to with each of them.
    __table_args__ = (
        Index("log_order", "project_id", "date", "number"),
        Index("log_of_environment", "environment_tag_id", sqlite_where=text("environment_tag_id IS NOT NULL")),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    build_id: Mapped[str | None] = mapped_column(index=True)
    request_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_version_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_request_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_object: Mapped[str | None]
    webhook_name: Mapped[str | None]
    environment_tag_id: Mapped[str | None]
    environment_build_id: Mapped[str | None]
    date: Mapped[str] = mapped_column(default=now)
    level: Mapped[str]
    system: Mapped[bool]
    log: Mapped[str]
    version: Mapped[Version | None] = relationship()
    pipeline_version: Mapped[PipelineVersion | None] = relationship(
        primaryjoin="foreign(LogLine.pipeline_version_id) == PipelineVersion.id", viewonly=True
    )
    build: Mapped[Build | None] = relationship(
        primaryjoin="foreign(LogLine.build_id) == Build.id", viewonly=True, uselist=False
    )
    environment_tag: Mapped[EnvironmentTag | None] = relationship(
        primaryjoin="foreign(LogLine.environment_tag_id) == EnvironmentTag.id", viewonly=True
    )


class AuditEvent(OfProject, Base):
    """An action in a project. It outlives the deployment or pipeline that it is about."""

    __tablename__ = "audit_event"
    __table_args__ = (
        Index("audit_order", "project_id", "number"),
        Index("audit_object", "project_id", "object_type", "object_name"),
    )

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(default=new_id)
    deployment_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_id: Mapped[str | None] = mapped_column(index=True)
    date: Mapped[str] = mapped_column(default=now)
    action: Mapped[str]
    user: Mapped[str]
    event: Mapped[str]
    object_type: Mapped[str]
    object_name: Mapped[str]


class ProjectEvent(OfProject, Base):
    """Something that happened to an object. It outlives the object and what that belonged to."""

    __tablename__ = "project_event"
    __table_args__ = (Index("event_order", "project_id", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(default=new_id)
    date: Mapped[str] = mapped_column(default=now)
    object_type: Mapped[str]
    object_id: Mapped[str]
    parent_id: Mapped[str]
    type: Mapped[str]
    text: Mapped[str]


class Measurement(Base):
    """Sums of what ran in one minute, by version and user. They outlive the version and its requests."""

    __tablename__ = "measurement"

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    object_type: Mapped[str] = mapped_column(primary_key=True)
    minute: Mapped[str] = mapped_column(primary_key=True)
    object_id: Mapped[str] = mapped_column(primary_key=True)
    user: Mapped[str] = mapped_column(primary_key=True)
    requests: Mapped[int] = mapped_column(default=0)
    failed_requests: Mapped[int] = mapped_column(default=0)
    input_volume: Mapped[int] = mapped_column(default=0)
    output_volume: Mapped[int] = mapped_column(default=0)
    outputs: Mapped[int] = mapped_column(default=0)
    seconds: Mapped[float] = mapped_column(default=0.0)
    memory_peak: Mapped[int] = mapped_column(default=0)
    express_requests: Mapped[int] = mapped_column(default=0)
    express_wait: Mapped[float] = mapped_column(default=0.0)
    batch_requests: Mapped[int] = mapped_column(default=0)
    batch_wait: Mapped[float] = mapped_column(default=0.0)
    object_requests: Mapped[int] = mapped_column(default=0)
    object_failed_requests: Mapped[int] = mapped_column(default=0)


class InstanceRun(Identified, OfProject, Base):
    """The time that an instance ran. It outlives the version; ``ended`` is updated while the instance runs."""

    __tablename__ = "instance_run"
    __table_args__ = (Index("instance_run_order", "project_id", "ended"),)

    version_id: Mapped[str]
    instance_type: Mapped[str]
    started: Mapped[str] = mapped_column(default=now)
    ended: Mapped[str] = mapped_column(default=now)

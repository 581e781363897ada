"""What the emulator remembers: every resource, request and log line, in SQLite.

One thread, the server's, uses the store. A session is never held across an ``await``.
"""

from __future__ import annotations

import uuid
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, create_engine, event, true
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

Labels = dict[str, str]


def new_id() -> str:
    """A fresh UUID."""
    return str(uuid.uuid4())


def timestamp(moment: datetime) -> str:
    """A moment as the API writes it: ISO 8601 in UTC with milliseconds; such texts sort as the moments do."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds")


def now() -> str:
    """The present moment as the API writes it."""
    return timestamp(datetime.now(timezone.utc))


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it so
        Any: JSON(none_as_null=True),
        Labels: JSON(none_as_null=True),
        list[dict[str, Any]]: JSON,
    }


def _parent(column: str) -> Mapped[str]:
    return mapped_column(ForeignKey(column, ondelete="CASCADE"), index=True)


def _creation_date(context: DefaultExecutionContext) -> str:
    date: str = context.get_current_parameters()["creation_date"]  # type: ignore[no-untyped-call]
    return date


class Organization(Base):
    __tablename__ = "organization"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    subscription: Mapped[str] = mapped_column(default="free")


class Project(Base):
    __tablename__ = "project"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    organization_id: Mapped[str] = _parent("organization.id")
    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    advanced_permissions: Mapped[bool]
    credits: Mapped[float | None]
    suspended: Mapped[bool] = mapped_column(default=False)
    organization: Mapped[Organization] = relationship()


class Deployment(Base):
    __tablename__ = "deployment"
    __table_args__ = (Index("deployment_name", "project_id", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[str] = _parent("project.id")
    name: Mapped[str]
    description: Mapped[str]
    input_type: Mapped[str]
    output_type: Mapped[str]
    input_fields: Mapped[list[dict[str, Any]]]
    output_fields: Mapped[list[dict[str, Any]]]
    labels: Mapped[Labels]
    creation_date: Mapped[str] = mapped_column(default=now)
    last_updated: Mapped[str] = mapped_column(default=_creation_date)
    default_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("version.id", ondelete="SET NULL", use_alter=True)
    )
    project: Mapped[Project] = relationship()
    default_version: Mapped[Version | None] = relationship(foreign_keys=[default_version_id], post_update=True)


class Version(Base):
    __tablename__ = "version"
    __table_args__ = (Index("version_name", "deployment_id", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    deployment_id: Mapped[str] = _parent("deployment.id")
    name: Mapped[str]
    description: Mapped[str]
    language: Mapped[str]
    status: Mapped[str] = mapped_column(default="unavailable")
    active_revision_id: Mapped[str | None]
    latest_build_id: Mapped[str | None]
    instance_type: Mapped[str]
    maximum_instances: Mapped[int]
    minimum_instances: Mapped[int]
    maximum_idle_time: Mapped[int]
    labels: Mapped[Labels]
    creation_date: Mapped[str] = mapped_column(default=now)
    last_updated: Mapped[str] = mapped_column(default=_creation_date)
    last_file_uploaded: Mapped[str | None]
    monitoring: Mapped[str | None]
    default_notification_group: Mapped[str | None]
    request_retention_time: Mapped[int]
    request_retention_mode: Mapped[str]
    maximum_queue_size_express: Mapped[int]
    maximum_queue_size_batch: Mapped[int]
    static_ip: Mapped[bool]
    restart_request_interruption: Mapped[bool]
    deployment: Mapped[Deployment] = relationship(foreign_keys=[deployment_id])


class Variable(Base):
    """An environment variable: of a project, a deployment (with ``deployment_id``) or a version (with both)."""

    __tablename__ = "variable"

    id: Mapped[str] = mapped_column(primary_key=True, default=new_id)
    project_id: Mapped[str] = _parent("project.id")
    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployment.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    value: Mapped[str]
    secret: Mapped[bool]


class Revision(Base):
    __tablename__ = "revision"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True, default=new_id)
    version_id: Mapped[str] = _parent("version.id")
    creation_date: Mapped[str] = mapped_column(default=now)
    created_by: Mapped[str]
    version: Mapped[Version] = relationship()


class Build(Base):
    __tablename__ = "build"

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True, default=new_id)
    version_id: Mapped[str] = _parent("version.id")
    revision_id: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="queued", index=True)
    error_message: Mapped[str] = mapped_column(default="")
    trigger: Mapped[str]
    has_request_method: Mapped[bool | None]
    has_requests_method: Mapped[bool | None]
    version: Mapped[Version] = relationship()


class DeploymentRequest(Base):
    __tablename__ = "deployment_request"
    __table_args__ = (Index("request_order", "version_id", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(unique=True, default=new_id)
    version_id: Mapped[str] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"))
    express: Mapped[bool]
    timeout: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending", index=True)
    success: Mapped[bool | None]
    time_created: Mapped[str] = mapped_column(default=now)
    time_started: Mapped[str | None]
    time_completed: Mapped[str | None]
    data: Mapped[Any] = mapped_column(nullable=True)
    result: Mapped[Any] = mapped_column(nullable=True)
    error_message: Mapped[str | None]
    created_by: Mapped[str]
    version: Mapped[Version] = relationship()


class LogLine(Base):
    __tablename__ = "log_line"
    __table_args__ = (Index("log_order", "project_id", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    build_id: Mapped[str | None] = mapped_column(index=True)
    request_id: Mapped[str | None] = mapped_column(index=True)
    date: Mapped[str] = mapped_column(default=now)
    level: Mapped[str]
    system: Mapped[bool]
    log: Mapped[str]
    version: Mapped[Version | None] = relationship()


class Store:
    """The database.

    Args:
        path: File of the database; made if it isn't there.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
        event.listen(self._engine, "connect", _configure)
        Base.metadata.create_all(self._engine)
        self.new_session = sessionmaker(self._engine, expire_on_commit=False)

    def session(self) -> AbstractContextManager[Session]:
        """A session that is committed when its block ends, and rolled back if it raises."""
        return self.new_session.begin()

    def clear(self) -> None:
        """Forget everything."""
        with self.session() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete().where(true()))

    def close(self) -> None:
        """Close the connections; the file stays."""
        self._engine.dispose()


def _configure(connection: Any, _record: object) -> None:
    # A commit survives the end of the process at any moment; only a power cut may lose the last ones.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")

"""What the emulator remembers: every resource, request and log line, in SQLite.

One thread, the server's, uses the store. A session is never held across an ``await``.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    Engine,
    ForeignKey,
    Index,
    create_engine,
    event,
    inspect,
    text,
    true,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, declared_attr, mapped_column, relationship, sessionmaker
from sqlalchemy.schema import CreateColumn

Labels = dict[str, str]


def new_id() -> str:
    """A fresh UUID."""
    return str(uuid.uuid4())


def new_ids(number: int) -> list[str]:
    """Fresh UUIDs that begin with the present millisecond (version 7), so that an index takes them side by side."""
    head, noise = f"{time.time_ns() // 1_000_000:012x}", os.urandom(10 * number).hex()
    start = f"{head[:8]}-{head[8:]}-7"
    parts = (noise[index : index + 20] for index in range(0, len(noise), 20))
    return [f"{start}{part[:3]}-{'89ab'[int(part[3], 16) % 4]}{part[4:7]}-{part[7:19]}" for part in parts]


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
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


def _parent(column: str) -> Mapped[str]:
    return mapped_column(ForeignKey(column, ondelete="CASCADE"), index=True)


def _creation_date(context: DefaultExecutionContext) -> str:
    date: str = context.get_current_parameters()["creation_date"]  # type: ignore[no-untyped-call]
    return date


# Columns that several tables have


class _Identified:
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-2)


class _Numbered:
    """Rows in the order in which they were made."""

    number: Mapped[int] = mapped_column(primary_key=True, sort_order=-3)
    id: Mapped[str] = mapped_column(unique=True, default=new_id, sort_order=-2)


class _OfProject:
    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), sort_order=-1)

    @declared_attr
    def project(cls) -> Mapped[Project]:
        return relationship("Project")


class _Dated:
    creation_date: Mapped[str] = mapped_column(default=now)
    last_updated: Mapped[str] = mapped_column(default=_creation_date)


class _Described:
    description: Mapped[str] = mapped_column(default="")
    labels: Mapped[Labels] = mapped_column(default=dict)


class _Shaped:
    """What takes input and gives output."""

    input_type: Mapped[str]
    output_type: Mapped[str]
    input_fields: Mapped[list[dict[str, Any]]]
    output_fields: Mapped[list[dict[str, Any]]]


class _Retained:
    """What requests are made to, of deployments and of pipelines."""

    monitoring: Mapped[str | None]
    default_notification_group: Mapped[str | None]
    request_retention_time: Mapped[int]
    request_retention_mode: Mapped[str]


class _Requested:
    """A request, to a deployment or to a pipeline."""

    express: Mapped[bool]
    timeout: Mapped[int]
    success: Mapped[bool | None]
    time_created: Mapped[str] = mapped_column(default=now)
    time_started: Mapped[str | None]
    time_completed: Mapped[str | None]
    data: Mapped[Any] = mapped_column(nullable=True)
    result: Mapped[Any] = mapped_column(nullable=True)
    error_message: Mapped[str | None]
    created_by: Mapped[str]
    notification_group: Mapped[str | None]
    request_schedule: Mapped[str | None]
    priority: Mapped[int] = mapped_column(default=1, server_default="1")


# Tables


class Organization(_Identified, Base):
    __tablename__ = "organization"

    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    subscription: Mapped[str] = mapped_column(default="free")
    subscription_end_date: Mapped[str | None]


class Project(_Identified, Base):
    __tablename__ = "project"

    organization_id: Mapped[str] = _parent("organization.id")
    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    advanced_permissions: Mapped[bool]
    credits: Mapped[float | None]
    suspended: Mapped[bool] = mapped_column(default=False)
    labels: Mapped[Labels] = mapped_column(default=dict, server_default="{}")
    organization: Mapped[Organization] = relationship()


class Deployment(_Identified, _OfProject, _Described, _Shaped, _Dated, Base):
    __tablename__ = "deployment"
    __table_args__ = (Index("deployment_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    default_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("version.id", ondelete="SET NULL", use_alter=True)
    )
    default_version: Mapped[Version | None] = relationship(foreign_keys=[default_version_id], post_update=True)


class Version(_Identified, _Described, _Retained, _Dated, Base):
    __tablename__ = "version"
    __table_args__ = (Index("version_name", "deployment_id", "name", unique=True),)

    deployment_id: Mapped[str] = _parent("deployment.id")
    name: Mapped[str]
    language: Mapped[str]
    status: Mapped[str] = mapped_column(default="unavailable")
    active_revision_id: Mapped[str | None]
    latest_build_id: Mapped[str | None]
    instance_type: Mapped[str]
    maximum_instances: Mapped[int]
    minimum_instances: Mapped[int]
    maximum_idle_time: Mapped[int]
    last_file_uploaded: Mapped[str | None]
    maximum_queue_size_express: Mapped[int]
    maximum_queue_size_batch: Mapped[int]
    static_ip: Mapped[bool]
    restart_request_interruption: Mapped[bool]
    deployment: Mapped[Deployment] = relationship(foreign_keys=[deployment_id])

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests: a package was built. It goes on while another one is built."""
        return self.active_revision_id is not None


class Variable(_Identified, _OfProject, Base):
    """An environment variable: of a project, a deployment (with ``deployment_id``) or a version (with both)."""

    __tablename__ = "variable"
    __table_args__ = (Index("variable_project", "project_id"),)

    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployment.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    value: Mapped[str]
    secret: Mapped[bool]


class Pipeline(_Identified, _OfProject, _Described, _Shaped, _Dated, Base):
    __tablename__ = "pipeline"
    __table_args__ = (Index("pipeline_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    default_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("pipeline_version.id", ondelete="SET NULL", use_alter=True)
    )
    default_version: Mapped[PipelineVersion | None] = relationship(foreign_keys=[default_version_id], post_update=True)


class PipelineVersion(_Identified, _Described, _Retained, _Dated, Base):
    """A version of a pipeline; ``attachments`` are as the API writes them."""

    __tablename__ = "pipeline_version"
    __table_args__ = (Index("pipeline_version_name", "pipeline_id", "name", unique=True),)

    pipeline_id: Mapped[str] = _parent("pipeline.id")
    name: Mapped[str]
    attachments: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    pipeline: Mapped[Pipeline] = relationship(foreign_keys=[pipeline_id])
    objects: Mapped[list[PipelineObject]] = relationship(
        back_populates="pipeline_version",
        foreign_keys="PipelineObject.pipeline_version_id",
        order_by="PipelineObject.number",
        cascade="all, delete-orphan",
        passive_deletes=True,
    )


class PipelineObject(_Numbered, Base):
    """What a pipeline version runs: a deployment or a pipeline, without a version the default one, or an operator."""

    __tablename__ = "pipeline_object"

    pipeline_version_id: Mapped[str] = _parent("pipeline_version.id")
    name: Mapped[str]
    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployment.id"), index=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id"), index=True)
    subpipeline_id: Mapped[str | None] = mapped_column(ForeignKey("pipeline.id"), index=True)
    subversion_id: Mapped[str | None] = mapped_column(ForeignKey("pipeline_version.id"), index=True)
    operator: Mapped[str | None]
    configuration: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    pipeline_version: Mapped[PipelineVersion] = relationship(
        back_populates="objects", foreign_keys=[pipeline_version_id]
    )
    deployment: Mapped[Deployment | None] = relationship()
    version: Mapped[Version | None] = relationship()
    subpipeline: Mapped[Pipeline | None] = relationship(foreign_keys=[subpipeline_id])
    subversion: Mapped[PipelineVersion | None] = relationship(foreign_keys=[subversion_id])


class Revision(_Numbered, Base):
    __tablename__ = "revision"

    version_id: Mapped[str] = _parent("version.id")
    creation_date: Mapped[str] = mapped_column(default=now)
    created_by: Mapped[str]
    version: Mapped[Version] = relationship()


class Build(_Numbered, Base):
    __tablename__ = "build"

    version_id: Mapped[str] = _parent("version.id")
    revision_id: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="queued", index=True)
    error_message: Mapped[str] = mapped_column(default="")
    trigger: Mapped[str]
    has_request_method: Mapped[bool | None]
    has_requests_method: Mapped[bool | None]
    version: Mapped[Version] = relationship()


class DeploymentRequest(_Numbered, _Requested, Base):
    __tablename__ = "deployment_request"
    # A batch is written at once: an index that says nothing of its requests yet doesn't hold them.
    __table_args__ = (
        Index("request_order", "version_id", "number"),
        Index("unfinished_request", "status", sqlite_where=text("time_completed IS NULL")),
        Index("request_deletion", "delete_after", sqlite_where=text("delete_after IS NOT NULL")),
        Index("request_of_pipeline", "pipeline_request_id", sqlite_where=text("pipeline_request_id IS NOT NULL")),
    )

    version_id: Mapped[str] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"))
    status: Mapped[str] = mapped_column(default="pending")
    retries: Mapped[int] = mapped_column(default=0)
    delete_after: Mapped[str | None]
    pipeline_request_id: Mapped[str | None]
    pipeline_object: Mapped[str | None]
    pipeline_object_id: Mapped[str | None]
    version: Mapped[Version] = relationship()


class PipelineRequest(_Numbered, _Requested, Base):
    """A request to a pipeline; with ``parent_id`` one that an object of another pipeline made.

    ``timeout`` is for all of it, ``deployment_timeout`` for each of its deployment requests.
    """

    __tablename__ = "pipeline_request"
    __table_args__ = (Index("pipeline_request_order", "version_id", "number"),)

    version_id: Mapped[str] = mapped_column(ForeignKey("pipeline_version.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(index=True)
    deployment_timeout: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending", index=True)
    delete_after: Mapped[str | None] = mapped_column(index=True)
    version: Mapped[PipelineVersion] = relationship()


class NotificationGroup(_Numbered, _OfProject, Base):
    """People to be told of requests and failures. Versions and requests refer to it by its name."""

    __tablename__ = "notification_group"
    __table_args__ = (Index("notification_group_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    contacts: Mapped[list[dict[str, Any]]]


class Schedule(_Numbered, _OfProject, _Described, Base):
    """Requests by crontab. The deployment or pipeline, and the version if one was chosen, are kept by their ids."""

    __tablename__ = "schedule"
    __table_args__ = (Index("schedule_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[str] = mapped_column(index=True)
    version_id: Mapped[str | None] = mapped_column(index=True)
    schedule: Mapped[str]
    request_data: Mapped[Any] = mapped_column(nullable=True)
    timeout: Mapped[int]
    enabled: Mapped[bool]
    creation_date: Mapped[str] = mapped_column(default=now)


class Transfer(_Numbered, _OfProject, Base):
    """An export or an import; its zip lies beside the packages, under its id.

    ``contents`` is what was asked for until it is done, then what is in the zip.
    """

    __tablename__ = "transfer"
    __table_args__ = (Index("transfer_order", "project_id", "kind", "number"),)

    kind: Mapped[str]
    created_by: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="pending")
    error_message: Mapped[str] = mapped_column(default="")
    size: Mapped[int | None]
    contents: Mapped[dict[str, Any]] = mapped_column(JSON)
    skip_confirmation: Mapped[bool] = mapped_column(default=False)
    link: Mapped[str | None]


class Measurement(Base):
    """What ran in one minute, for one version and user. It outlives the version and its requests."""

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


class InstanceRun(_Identified, _OfProject, Base):
    """The life of an instance. It outlives the version; ``ended`` is moved on while the instance lives."""

    __tablename__ = "instance_run"
    __table_args__ = (Index("instance_run_order", "project_id", "ended"),)

    version_id: Mapped[str]
    instance_type: Mapped[str]
    started: Mapped[str] = mapped_column(default=now)
    ended: Mapped[str] = mapped_column(default=now)


class Bucket(_Identified, _OfProject, _Described, _Dated, Base):
    """Where files are. Those of a bucket of another provider belong to the provider, not to the bucket."""

    __tablename__ = "bucket"
    __table_args__ = (Index("bucket_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    provider: Mapped[str] = mapped_column(default="ubiops")
    credentials: Mapped[Labels] = mapped_column(default=dict)
    configuration: Mapped[Labels] = mapped_column(default=dict)
    ttl: Mapped[int | None]

    @property
    def place(self) -> str:
        """What its files lie under: the bucket itself, or that of the other provider."""
        if self.provider == "ubiops":
            return self.id
        return f"{self.provider}:{self.configuration.get('bucket') or self.configuration.get('container')}"

    @property
    def prefix(self) -> str:
        """What the names of its files begin with in that place."""
        return self.configuration.get("prefix", "")


class File(Base):
    """A file; its id is that of its content."""

    __tablename__ = "file"
    __table_args__ = (Index("file_name", "place", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[str]
    name: Mapped[str]
    size: Mapped[int]
    time_created: Mapped[str] = mapped_column(default=now)


class Upload(_Identified, Base):
    """An upload in parts that isn't complete."""

    __tablename__ = "upload"

    bucket_id: Mapped[str] = _parent("bucket.id")
    name: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)


class Part(Base):
    """A part of an upload; its id is that of its content."""

    __tablename__ = "upload_part"
    __table_args__ = (Index("part_number", "upload_id", "number", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"))
    number: Mapped[int]
    tag: Mapped[str]


class Blob(_Numbered, _OfProject, Base):
    __tablename__ = "blob"
    __table_args__ = (Index("blob_order", "project_id", "number"),)

    content_id: Mapped[str]
    filename: Mapped[str]
    size: Mapped[int]
    ttl: Mapped[int]
    expires: Mapped[str] = mapped_column(index=True)
    created_by: Mapped[str]
    creation_date: Mapped[str]
    last_updated: Mapped[str]


class LogLine(_OfProject, Base):
    __tablename__ = "log_line"
    __table_args__ = (Index("log_order", "project_id", "date", "number"),)

    number: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    build_id: Mapped[str | None] = mapped_column(index=True)
    request_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_version_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_request_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_object: Mapped[str | None]
    date: Mapped[str] = mapped_column(default=now)
    level: Mapped[str]
    system: Mapped[bool]
    log: Mapped[str]
    version: Mapped[Version | None] = relationship()
    pipeline_version: Mapped[PipelineVersion | None] = relationship(
        primaryjoin="foreign(LogLine.pipeline_version_id) == PipelineVersion.id", viewonly=True
    )


class User(_Numbered, Base):
    """A person or, with ``project_id``, a service user of a project."""

    __tablename__ = "user"

    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str | None]
    surname: Mapped[str | None]
    creation_date: Mapped[str] = mapped_column(default=now)
    password: Mapped[str | None]
    project_id: Mapped[str | None] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), index=True)
    token: Mapped[str | None] = mapped_column(unique=True)
    allowed_cors_origins: Mapped[list[str]] = mapped_column(default=list)
    expiry_date: Mapped[str | None]


class AccessToken(Base):
    """What a person got by signing in."""

    __tablename__ = "access_token"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = _parent("user.id")
    expiry_date: Mapped[str]
    user: Mapped[User] = relationship()


class OrganizationUser(Base):
    """That a person is a member of an organization."""

    __tablename__ = "organization_user"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)
    admin: Mapped[bool]
    join_date: Mapped[str | None] = mapped_column(default=now)
    user: Mapped[User] = relationship()


class ProjectUser(Base):
    """That a person is a member of a project."""

    __tablename__ = "project_user"

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)


class Role(_Numbered, _OfProject, Base):
    """A custom role."""

    __tablename__ = "role"
    __table_args__ = (Index("role_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    permissions: Mapped[list[str]]


class RoleAssignment(_Numbered, _OfProject, Base):
    """That a user or a deployment has a role, on the whole project or on one object in it.

    The objects are kept by their ids, since they can be renamed; where one is gone, so is the assignment.
    """

    __tablename__ = "role_assignment"
    __table_args__ = (Index("assignment_order", "project_id", "assignee_id"),)

    role_id: Mapped[str]
    assignee_id: Mapped[str]
    assignee_type: Mapped[str]
    resource_id: Mapped[str]
    resource_type: Mapped[str]


class AuditEvent(_OfProject, Base):
    """What was done in a project. It outlives the deployment or pipeline that it is about."""

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


class Store:
    """The database.

    Args:
        path: File of the database; made if it isn't there.
    """

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})
        event.listen(self._engine, "connect", _configure)
        Base.metadata.create_all(self._engine)
        _add_columns(self._engine)
        self.new_session = sessionmaker(self._engine, expire_on_commit=False)
        self._connection = self._engine.connect()

    def session(self) -> AbstractContextManager[Session]:
        """A session that is committed when its block ends, and rolled back if it raises."""
        return self.new_session.begin()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction without a session's bookkeeping, for what every request does; ended as a session is.

        A statement takes half of the time that it takes in a session, and a tenth of that by way of an object.
        """
        with self._connection.begin():
            yield self._connection

    def clear(self) -> None:
        """Forget everything."""
        with self.session() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(table.delete().where(true()))

    def close(self) -> None:
        """Close the connections; the file stays."""
        self._connection.close()
        self._engine.dispose()


def _add_columns(engine: Engine) -> None:
    """Add the columns that a database of an earlier release lacks, with what they are by default."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            present = {column["name"] for column in inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name not in present:
                    definition = CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(text(f'ALTER TABLE "{table.name}" ADD COLUMN {definition}'))


def _configure(connection: Any, _record: object) -> None:
    # A commit survives the end of the process at any moment; only a power cut may lose the last ones.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")

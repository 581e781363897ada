"""Requests, their schedules, and the groups that are notified of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Described, Numbered
from ubiops.emulator.tables.deployments import Version
from ubiops.emulator.tables.pipelines import PipelineVersion
from ubiops.emulator.tables.projects import OfProject


class Requested:
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


class DeploymentRequest(Numbered, Requested, Base):
    __tablename__ = "deployment_request"
    # Partial indexes, since a batch is written at once: new requests aren't added to an index that doesn't need them.
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
    additional_data: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    sequence_id: Mapped[str | None]
    version: Mapped[Version] = relationship()


class PipelineRequest(Numbered, Requested, Base):
    """A request to a pipeline; with a ``parent_id``, one that an object of another pipeline made.

    ``timeout`` is for all of it, ``deployment_timeout`` for each of its deployment requests.
    """

    __tablename__ = "pipeline_request"
    __table_args__ = (Index("pipeline_request_order", "version_id", "number"),)

    version_id: Mapped[str] = mapped_column(ForeignKey("pipeline_version.id", ondelete="CASCADE"))
    parent_id: Mapped[str | None] = mapped_column(index=True)
    pipeline_object: Mapped[str | None]
    sequence_id: Mapped[str | None]
    deployment_timeout: Mapped[int]
    status: Mapped[str] = mapped_column(default="pending", index=True)
    delete_after: Mapped[str | None] = mapped_column(index=True)
    version: Mapped[PipelineVersion] = relationship()


class OperatorRequest(Numbered, Base):
    """What an operator of a pipeline did in one request, with all its input."""

    __tablename__ = "operator_request"

    pipeline_request_id: Mapped[str] = mapped_column(ForeignKey("pipeline_request.id", ondelete="CASCADE"), index=True)
    pipeline_object: Mapped[str]
    pipeline_object_id: Mapped[str]
    operator: Mapped[str]
    status: Mapped[str]
    time_created: Mapped[str]
    time_completed: Mapped[str]
    data: Mapped[Any] = mapped_column(nullable=True)
    result: Mapped[Any] = mapped_column(nullable=True)
    error_message: Mapped[str | None]
    pipeline_request: Mapped[PipelineRequest] = relationship()


class NotificationGroup(Numbered, OfProject, Base):
    """People to notify of requests and failures. Versions and requests refer to it by its name."""

    __tablename__ = "notification_group"
    __table_args__ = (Index("notification_group_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    contacts: Mapped[list[dict[str, Any]]]


class Schedule(Numbered, OfProject, Described, Base):
    """Requests by crontab. Refers by id to the deployment or pipeline, and to the version if one was chosen."""

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

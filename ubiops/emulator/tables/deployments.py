"""Deployments, their versions and what they are built from."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import (
    Base,
    Dated,
    Described,
    Identified,
    Numbered,
    Retained,
    Shaped,
    parent,
)
from ubiops.emulator.tables.projects import OfProject


class Deployment(Identified, OfProject, Described, Shaped, Dated, Base):
    __tablename__ = "deployment"
    __table_args__ = (Index("deployment_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    supports_request_format: Mapped[bool] = mapped_column(default=True, server_default="1")
    default_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("version.id", ondelete="SET NULL", use_alter=True)
    )
    default_version: Mapped[Version | None] = relationship(foreign_keys=[default_version_id], post_update=True)


class Version(Identified, Described, Retained, Dated, Base):
    """A version of a deployment.

    ``instance_type`` is that of its instances: the first one of its group, if any. ``maximum_queue_size`` is for
    requests of both kinds together; without it, each kind has its own bound.
    """

    __tablename__ = "version"
    __table_args__ = (Index("version_name", "deployment_id", "name", unique=True),)

    deployment_id: Mapped[str] = parent("deployment.id")
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
    instance_type_group_id: Mapped[str | None] = mapped_column(index=True)
    scaling_strategy: Mapped[str] = mapped_column(default="default", server_default="default")
    instance_processes: Mapped[int] = mapped_column(default=1, server_default="1")
    maximum_queue_size: Mapped[int | None]
    ports: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    health_check: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    command: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    args: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    environment_id: Mapped[str | None]
    """Its environment; None for the default one."""
    environment_tag_id: Mapped[str | None]
    """The tag of its environment; None for the one that was built last."""
    deployment: Mapped[Deployment] = relationship(foreign_keys=[deployment_id])

    @property
    def is_ready(self) -> bool:
        """Whether it takes requests: a package was built. It keeps taking them while another one is built."""
        return self.active_revision_id is not None


class Variable(Identified, OfProject, Base):
    """An environment variable: of a project, a deployment (with ``deployment_id``) or a version (with both)."""

    __tablename__ = "variable"
    __table_args__ = (Index("variable_project", "project_id"),)

    deployment_id: Mapped[str | None] = mapped_column(ForeignKey("deployment.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    value: Mapped[str]
    secret: Mapped[bool]


class Revision(Numbered, Base):
    __tablename__ = "revision"

    version_id: Mapped[str] = parent("version.id")
    creation_date: Mapped[str] = mapped_column(default=now)
    created_by: Mapped[str]
    environment_tag_id: Mapped[str | None]
    """What was built from the dependency files in its package, if any."""
    version: Mapped[Version] = relationship()


class Build(Numbered, Base):
    __tablename__ = "build"

    version_id: Mapped[str] = parent("version.id")
    revision_id: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="queued", index=True)
    error_message: Mapped[str] = mapped_column(default="")
    trigger: Mapped[str]
    has_request_method: Mapped[bool | None]
    has_requests_method: Mapped[bool | None]
    version: Mapped[Version] = relationship()

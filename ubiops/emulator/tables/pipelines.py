"""Pipelines, their versions and their objects."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

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
from ubiops.emulator.tables.deployments import Deployment, Version
from ubiops.emulator.tables.projects import OfProject


class Pipeline(Identified, OfProject, Described, Shaped, Dated, Base):
    __tablename__ = "pipeline"
    __table_args__ = (Index("pipeline_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    default_version_id: Mapped[str | None] = mapped_column(
        ForeignKey("pipeline_version.id", ondelete="SET NULL", use_alter=True)
    )
    default_version: Mapped[PipelineVersion | None] = relationship(foreign_keys=[default_version_id], post_update=True)


class PipelineVersion(Identified, Described, Retained, Dated, Base):
    """A version of a pipeline; ``attachments`` have the form of the API."""

    __tablename__ = "pipeline_version"
    __table_args__ = (Index("pipeline_version_name", "pipeline_id", "name", unique=True),)

    pipeline_id: Mapped[str] = parent("pipeline.id")
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


class PipelineObject(Numbered, Base):
    """What a pipeline version runs: an operator, or a deployment or pipeline (without a version, the default one)."""

    __tablename__ = "pipeline_object"

    pipeline_version_id: Mapped[str] = parent("pipeline_version.id")
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

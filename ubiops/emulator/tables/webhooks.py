"""Webhooks, what they sent, and their tests."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Dated, Described, Numbered
from ubiops.emulator.tables.deployments import Deployment, Version
from ubiops.emulator.tables.pipelines import Pipeline, PipelineVersion
from ubiops.emulator.tables.projects import OfProject


def _watched(column: str) -> Mapped[str | None]:
    return mapped_column(ForeignKey(column, ondelete="CASCADE"), index=True)


class Webhook(Numbered, OfProject, Described, Dated, Base):
    """A webhook for the requests to a deployment or a pipeline: to one version, or to the default one."""

    __tablename__ = "webhook"
    __table_args__ = (Index("webhook_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    deployment_id: Mapped[str | None] = _watched("deployment.id")
    version_id: Mapped[str | None] = _watched("version.id")
    pipeline_id: Mapped[str | None] = _watched("pipeline.id")
    pipeline_version_id: Mapped[str | None] = _watched("pipeline_version.id")
    event: Mapped[str]
    url: Mapped[str]
    headers: Mapped[list[dict[str, Any]]]
    timeout: Mapped[int]
    enabled: Mapped[bool]
    retry: Mapped[bool]
    include_result: Mapped[bool]
    deployment: Mapped[Deployment | None] = relationship()
    version: Mapped[Version | None] = relationship()
    pipeline: Mapped[Pipeline | None] = relationship()
    pipeline_version: Mapped[PipelineVersion | None] = relationship()


class WebhookMessage(Numbered, OfProject, Base):
    """A message that a webhook sends or sent. It outlives the webhook, and is sent again if it was not answered."""

    __tablename__ = "webhook_message"
    __table_args__ = (Index("webhook_message_status", "status"),)

    webhook_id: Mapped[str]
    webhook_name: Mapped[str]
    body: Mapped[dict[str, Any]] = mapped_column(JSON)
    status: Mapped[str] = mapped_column(default="pending")
    attempts: Mapped[int] = mapped_column(default=0)
    error_message: Mapped[str | None]
    creation_date: Mapped[str] = mapped_column(default=now)


class WebhookTest(Numbered, OfProject, Base):
    """A test message about a made-up request."""

    __tablename__ = "webhook_test"

    status: Mapped[str] = mapped_column(default="pending")
    error_message: Mapped[str | None]

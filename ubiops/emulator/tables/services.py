"""Services: ports of deployment versions that callers reach."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.accounts import User
from ubiops.emulator.tables.base import Base, Described, Numbered, parent
from ubiops.emulator.tables.deployments import Deployment, Version
from ubiops.emulator.tables.projects import OfProject


class Service(Numbered, OfProject, Described, Base):
    """A port of a deployment version; without one, of the default version."""

    __tablename__ = "service"
    __table_args__ = (Index("service_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    deployment_id: Mapped[str] = parent("deployment.id")
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    port: Mapped[int]
    time_created: Mapped[str] = mapped_column(default=now)
    time_updated: Mapped[str] = mapped_column(default=now)
    authentication_required: Mapped[bool]
    authentication_method_token_enabled: Mapped[bool]
    authentication_header_pass_through: Mapped[bool]
    request_logging_excluded_paths: Mapped[str]
    request_logging_excluded_extensions: Mapped[list[str]]
    rate_limit: Mapped[int | None]
    rate_limit_user_default: Mapped[int | None]
    concurrency_limit: Mapped[int | None]
    concurrency_limit_user_default: Mapped[int | None]
    cache_aware_llm_routing: Mapped[bool]
    deployment: Mapped[Deployment] = relationship()
    version: Mapped[Version | None] = relationship()

    @property
    def served_version(self) -> Version | None:
        """The version that it leads to."""
        return self.version or self.deployment.default_version


class ServiceLimit(Numbered, Base):
    """A limit for one user of a service; its kind is ``rate`` (requests per minute) or ``concurrency``."""

    __tablename__ = "service_limit"
    __table_args__ = (Index("service_limit_user", "service_id", "kind", "user_id", unique=True),)

    service_id: Mapped[str] = mapped_column(ForeignKey("service.id", ondelete="CASCADE"))
    user_id: Mapped[str] = parent("user.id")
    kind: Mapped[str]
    limit: Mapped[int]
    user: Mapped[User] = relationship()

    def view(self) -> dict[str, Any]:
        """Its form in the API."""
        return {"id": self.id, "user_id": self.user_id, "user_email": self.user.email, "limit": self.limit}

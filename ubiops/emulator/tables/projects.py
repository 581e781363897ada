"""Organizations, their projects, and the parts of a project."""

from __future__ import annotations

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, declared_attr, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Identified, Labels, parent


class Organization(Identified, Base):
    __tablename__ = "organization"

    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    subscription: Mapped[str] = mapped_column(default="free")
    subscription_end_date: Mapped[str | None]
    voucher: Mapped[str | None]
    two_factor_authentication_forced: Mapped[bool] = mapped_column(default=False, server_default="0")


class Project(Identified, Base):
    __tablename__ = "project"

    organization_id: Mapped[str] = parent("organization.id")
    name: Mapped[str] = mapped_column(unique=True)
    creation_date: Mapped[str] = mapped_column(default=now)
    advanced_permissions: Mapped[bool]
    credits: Mapped[float | None]
    suspended: Mapped[bool] = mapped_column(default=False)
    labels: Mapped[Labels] = mapped_column(default=dict, server_default="{}")
    cors_origins: Mapped[list[str]] = mapped_column(default=list, server_default="[]")
    organization: Mapped[Organization] = relationship()


class OfProject:
    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), sort_order=-1)

    @declared_attr
    def project(cls) -> Mapped[Project]:
        return relationship(Project)

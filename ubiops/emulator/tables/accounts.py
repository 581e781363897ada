"""Organizations, projects, users and their roles."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Numbered, parent
from ubiops.emulator.tables.projects import OfProject


class User(Numbered, Base):
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
    description: Mapped[str | None]
    token_last_used: Mapped[str | None]


class AccessToken(Base):
    """The token that a person got by signing in."""

    __tablename__ = "access_token"

    token: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = parent("user.id")
    expiry_date: Mapped[str]
    user: Mapped[User] = relationship()


class OrganizationUser(Base):
    """The membership of a person in an organization."""

    __tablename__ = "organization_user"

    organization_id: Mapped[str] = mapped_column(ForeignKey("organization.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)
    admin: Mapped[bool]
    join_date: Mapped[str | None] = mapped_column(default=now)
    user: Mapped[User] = relationship()


class ProjectUser(Base):
    """The membership of a person in a project."""

    __tablename__ = "project_user"

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id", ondelete="CASCADE"), primary_key=True, index=True)


class Role(Numbered, OfProject, Base):
    """A custom role."""

    __tablename__ = "role"
    __table_args__ = (Index("role_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    permissions: Mapped[list[str]]


class RoleAssignment(Numbered, OfProject, Base):
    """A role of a user or a deployment, on the whole project or on one object in it.

    Objects are referred to by id, since they can be renamed; an assignment to a deleted object no longer counts.
    """

    __tablename__ = "role_assignment"
    __table_args__ = (Index("assignment_order", "project_id", "assignee_id"),)

    role_id: Mapped[str]
    assignee_id: Mapped[str]
    assignee_type: Mapped[str]
    resource_id: Mapped[str]
    resource_type: Mapped[str]

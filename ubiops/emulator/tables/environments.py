"""Environments, and what is built for them.

Both forms of the API share one state: each upload is a revision of the older form and a tag of the newer one, and here
an `EnvironmentTag`.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Dated, Described, Identified, Labels, Numbered, parent
from ubiops.emulator.tables.projects import Project


class Environment(Identified, Described, Dated, Base):
    """What versions run in: an environment of the system, without a project and with the ``python`` that it stands
    for, or a custom one of a project. One with a ``version_id`` is implicit: made from the dependency files in packages
    of that version.
    """

    __tablename__ = "environment"
    __table_args__ = (Index("environment_name", "project_id", "name", unique=True),)

    project_id: Mapped[str | None] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"))
    name: Mapped[str]
    display_name: Mapped[str | None]
    base_id: Mapped[str | None] = mapped_column(ForeignKey("environment.id"), index=True)
    version_id: Mapped[str | None] = mapped_column(ForeignKey("version.id", ondelete="CASCADE"), index=True)
    python: Mapped[str | None]
    gpu_required: Mapped[bool] = mapped_column(default=False)
    hidden: Mapped[bool] = mapped_column(default=False)
    deprecated: Mapped[bool] = mapped_column(default=False)
    supports_request_format: Mapped[bool] = mapped_column(default=True)
    active_tag_id: Mapped[str | None]
    """The tag that was built last."""
    project: Mapped[Project | None] = relationship()
    base: Mapped[Environment | None] = relationship(remote_side="Environment.id")

    @property
    def is_system(self) -> bool:
        """Whether all projects have it."""
        return self.project_id is None

    @property
    def shown_name(self) -> str:
        """Its display name."""
        return self.display_name or self.name


class EnvironmentTag(Numbered, Base):
    """One state of an environment, built from one file; with a ``revision_id``, from what the package of that
    deployment revision requires.
    """

    __tablename__ = "environment_tag"
    __table_args__ = (Index("environment_tag_name", "environment_id", "name", unique=True),)

    environment_id: Mapped[str] = parent("environment.id")
    name: Mapped[str]
    base_tag_id: Mapped[str | None] = mapped_column(index=True)
    revision_id: Mapped[str | None] = mapped_column(index=True)
    has_file: Mapped[bool] = mapped_column(default=False)
    supports_request_format: Mapped[bool] = mapped_column(default=True)
    created_by: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="pending")
    active_build_id: Mapped[str | None]
    latest_build_id: Mapped[str | None]
    environment: Mapped[Environment] = relationship()


class EnvironmentBuild(Numbered, Base):
    """An attempt to build a tag. ``directory`` is the name of the virtual environment that it made, if any."""

    __tablename__ = "environment_build"

    tag_id: Mapped[str] = parent("environment_tag.id")
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="queued", index=True)
    error_message: Mapped[str | None]
    trigger: Mapped[str]
    size: Mapped[int | None]
    python: Mapped[str | None]
    directory: Mapped[str | None]
    variables: Mapped[Labels] = mapped_column(default=dict)
    dependency_files: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    tag: Mapped[EnvironmentTag] = relationship()


class EnvironmentSecret(Identified, Base):
    """A secret that only builds see, of an environment or of one tag of it."""

    __tablename__ = "environment_secret"

    environment_id: Mapped[str] = parent("environment.id")
    tag_id: Mapped[str | None] = mapped_column(ForeignKey("environment_tag.id", ondelete="CASCADE"), index=True)
    name: Mapped[str]
    value: Mapped[str]

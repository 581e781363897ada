"""Exports and imports."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Index
from sqlalchemy.orm import Mapped, mapped_column

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Numbered
from ubiops.emulator.tables.projects import OfProject


class Transfer(Numbered, OfProject, Base):
    """An export or an import; its zip is stored with the packages, under its id.

    ``contents`` is what was asked for until it is done, then what is in the zip.
    """

    __tablename__ = "transfer"
    __table_args__ = (Index("transfer_order", "project_id", "kind", "number"),)

    kind: Mapped[str]
    created_by: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)
    status: Mapped[str] = mapped_column(default="pending")
    description: Mapped[str] = mapped_column(default="", server_default="")
    error_message: Mapped[str] = mapped_column(default="")
    size: Mapped[int | None]
    contents: Mapped[dict[str, Any]] = mapped_column(JSON)
    skip_confirmation: Mapped[bool] = mapped_column(default=False)
    link: Mapped[str | None]

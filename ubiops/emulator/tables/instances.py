"""Groups of instance types."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index
from sqlalchemy.orm import Mapped

from ubiops.emulator.tables.base import Base, Dated, Numbered
from ubiops.emulator.tables.projects import OfProject


class InstanceTypeGroup(Numbered, OfProject, Dated, Base):
    """Instance types in the order in which they are tried: their ids, with ``priority`` and ``schedule_timeout``."""

    __tablename__ = "instance_type_group"
    __table_args__ = (Index("instance_type_group_order", "project_id", "number"),)

    name: Mapped[str]
    instance_types: Mapped[list[dict[str, Any]]]

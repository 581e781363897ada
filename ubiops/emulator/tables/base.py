"""What the tables share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ubiops.emulator.dates import now
from ubiops.emulator.ids import new_id

Labels = dict[str, str]


class Base(DeclarativeBase):
    """The tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy declares it so
        Any: JSON(none_as_null=True),
        Labels: JSON(none_as_null=True),
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


def parent(column: str) -> Mapped[str]:
    return mapped_column(ForeignKey(column, ondelete="CASCADE"), index=True)


def _creation_date(context: DefaultExecutionContext) -> str:
    date: str = context.get_current_parameters()["creation_date"]  # type: ignore[no-untyped-call]
    return date


class Identified:
    id: Mapped[str] = mapped_column(primary_key=True, default=new_id, sort_order=-2)


class Numbered:
    """Rows in the order of their creation."""

    number: Mapped[int] = mapped_column(primary_key=True, sort_order=-3)
    id: Mapped[str] = mapped_column(unique=True, default=new_id, sort_order=-2)


class Dated:
    creation_date: Mapped[str] = mapped_column(default=now)
    last_updated: Mapped[str] = mapped_column(default=_creation_date)


class Described:
    description: Mapped[str] = mapped_column(default="")
    labels: Mapped[Labels] = mapped_column(default=dict)


class Shaped:
    """Resources with an input and an output."""

    input_type: Mapped[str]
    output_type: Mapped[str]
    input_fields: Mapped[list[dict[str, Any]]]
    output_fields: Mapped[list[dict[str, Any]]]


class Retained:
    """Versions of deployments and pipelines, which requests are made to."""

    monitoring: Mapped[str | None]
    default_notification_group: Mapped[str | None]
    request_retention_time: Mapped[int]
    request_retention_mode: Mapped[str]

"""Custom metrics of projects, and their values."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ubiops.emulator.tables.base import Base, Dated
from ubiops.emulator.tables.projects import OfProject


class Metric(OfProject, Dated, Base):
    __tablename__ = "metric"
    __table_args__ = (Index("metric_name", "project_id", "name", unique=True),)

    number: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    description: Mapped[str]
    metric_type: Mapped[str]
    unit: Mapped[str]
    labels: Mapped[list[str]]


class Series(Base):
    """The values of a metric for one set of labels; the labels are stored as the JSON of their sorted pairs."""

    __tablename__ = "series"
    __table_args__ = (Index("series_labels", "metric_number", "labels", unique=True),)

    number: Mapped[int] = mapped_column(primary_key=True)
    metric_number: Mapped[int] = mapped_column(ForeignKey("metric.number", ondelete="CASCADE"))
    labels: Mapped[str]
    metric: Mapped[Metric] = relationship()


class Point(Base):
    """A value of a series in a minute."""

    __tablename__ = "point"

    series_number: Mapped[int] = mapped_column(ForeignKey("series.number", ondelete="CASCADE"), primary_key=True)
    minute: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]

"""Buckets, files and blobs."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from ubiops.emulator.dates import now
from ubiops.emulator.tables.base import Base, Dated, Described, Identified, Labels, Numbered, parent
from ubiops.emulator.tables.projects import OfProject


class Bucket(Identified, OfProject, Described, Dated, Base):
    """A bucket. The files in one of another provider belong to the provider, not to the bucket."""

    __tablename__ = "bucket"
    __table_args__ = (Index("bucket_name", "project_id", "name", unique=True),)

    name: Mapped[str]
    provider: Mapped[str] = mapped_column(default="ubiops")
    credentials: Mapped[Labels] = mapped_column(default=dict)
    configuration: Mapped[Labels] = mapped_column(default=dict)
    ttl: Mapped[int | None]

    @property
    def place(self) -> str:
        """What its files belong to: the bucket itself, or the bucket of the other provider."""
        if self.provider == "ubiops":
            return self.id
        return f"{self.provider}:{self.configuration.get('bucket') or self.configuration.get('container')}"

    @property
    def prefix(self) -> str:
        """What the names of its files begin with there."""
        return self.configuration.get("prefix", "")


class File(Base):
    """A file; its id is that of its content."""

    __tablename__ = "file"
    __table_args__ = (Index("file_name", "place", "name", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    place: Mapped[str]
    name: Mapped[str]
    size: Mapped[int]
    time_created: Mapped[str] = mapped_column(default=now)


class Upload(Identified, Base):
    """An upload in parts that isn't complete."""

    __tablename__ = "upload"

    bucket_id: Mapped[str] = parent("bucket.id")
    name: Mapped[str]
    creation_date: Mapped[str] = mapped_column(default=now)


class Part(Base):
    """A part of an upload; its id is that of its content."""

    __tablename__ = "upload_part"
    __table_args__ = (Index("part_number", "upload_id", "number", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(ForeignKey("upload.id", ondelete="CASCADE"))
    number: Mapped[int]
    tag: Mapped[str]


class Blob(Numbered, OfProject, Base):
    __tablename__ = "blob"
    __table_args__ = (Index("blob_order", "project_id", "number"),)

    content_id: Mapped[str]
    filename: Mapped[str]
    size: Mapped[int]
    ttl: Mapped[int]
    expires: Mapped[str] = mapped_column(index=True)
    created_by: Mapped[str]
    creation_date: Mapped[str]
    last_updated: Mapped[str]

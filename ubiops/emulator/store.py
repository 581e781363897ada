"""The state of the emulator, in SQLite.

One thread, the server's, uses the store. A session is never held across an ``await``.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, delete, event, inspect, text
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.schema import CreateColumn

from ubiops.emulator.patterns import matches
from ubiops.emulator.tables import Base


class Store:
    """The database.

    Args:
        path: File of the database; created if it doesn't exist.
    """

    def __init__(self, path: Path) -> None:
        # It contains secrets; SQLite creates its journal files with the same mode.
        path.touch(0o600)
        self._engine = create_engine(
            # Errors get into logs and answers, so they must not show parameters, which may be secrets.
            f"sqlite:///{path}",
            connect_args={"check_same_thread": False},
            hide_parameters=True,
        )
        event.listen(self._engine, "connect", _configure)
        Base.metadata.create_all(self._engine)
        _add_columns(self._engine)
        self.new_session = sessionmaker(self._engine, expire_on_commit=False)
        self._connection = self._engine.connect()
        self._seeded: sqlite3.Connection | None = None

    def session(self) -> AbstractContextManager[Session]:
        """A session that is committed when its block ends, and rolled back if it raises."""
        return self.new_session.begin()

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction without a session's bookkeeping, for the work of every request; it ends like a session.

        A statement takes half of its time in a session, and a tenth of its time through an object.
        """
        with self._connection.begin():
            yield self._connection

    def reset(self, seed: Callable[[], None]) -> None:
        """Delete everything and seed the store again.

        Args:
            seed: Adds what always exists. It is called once: each later reset restores a copy of what it added, since
                programs reset the emulator before each of their tests.
        """
        if self._seeded is not None:
            self.restore(self._seeded)
            return
        with self.transaction() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                connection.execute(delete(table))
        seed()
        self._seeded = self.copy()

    def copy(self) -> sqlite3.Connection:
        """A copy of everything, in memory; whoever asks for it closes it."""
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        self._sqlite.backup(copy)
        return copy

    def restore(self, copy: sqlite3.Connection) -> None:
        """Replace everything with a copy."""
        copy.backup(self._sqlite)

    @property
    def _sqlite(self) -> sqlite3.Connection:
        return cast("sqlite3.Connection", self._connection.connection.driver_connection)

    def close(self) -> None:
        """Close the connections; the file stays."""
        if self._seeded is not None:
            self._seeded.close()
        self._connection.close()
        self._engine.dispose()


def _add_columns(engine: Engine) -> None:
    """Add the columns that a database of an earlier release lacks, with their defaults."""
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            present = {column["name"] for column in inspect(connection).get_columns(table.name)}
            for column in table.columns:
                if column.name not in present:
                    definition = CreateColumn(column).compile(dialect=engine.dialect)
                    connection.execute(text(f'ALTER TABLE "{table.name}" ADD COLUMN {definition}'))


def _configure(connection: Any, _record: object) -> None:
    # A commit survives the end of the process at any moment; only a power cut may lose the last ones.
    for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")
    connection.create_function("matches", 2, matches, deterministic=True)

"""The labelling database: SQLite in a file, or PostgreSQL by URL, behind two kinds of transaction.

A *writing* transaction has the whole project to itself (SQLite: ``BEGIN IMMEDIATE``; PostgreSQL: an advisory lock),
so that two annotators can never be handed one pair. It is on the disk when the block ends: SQLite runs with a
write-ahead log and ``synchronous=FULL``, PostgreSQL with its own default, ``synchronous_commit=on``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import event  # after darl.labelling.tables, which says by name what is missing
from sqlalchemy.exc import ArgumentError, DBAPIError

from darl.labelling import tables
from darl.labelling.problems import LabellingError
from darl.labelling.tables import sa
from darl.storage import storage_errors

_LOCK = 0x6461726C  # "darl": the key of PostgreSQL's advisory lock
_WAIT = 20  # seconds that a writer waits for another


class Database:
    """An opened labelling database.

    Args:
        target: a file, or a URL such as ``postgresql://user:password@host/name``.
        create: whether a file that is not there is made, and the tables with it.

    Raises:
        LabellingError: there is none, it is something else, or the server refuses.
        StorageError: the folder cannot be made or written.
        MissingExtraError: the driver of this kind of database is not installed.
    """

    def __init__(self, target: str | Path, *, create: bool = False) -> None:
        self.url = _url(target)
        self.name = self.url.render_as_string(hide_password=True) if self.is_server else str(self.url.database)
        if not self.is_server:
            path = Path(self.name)
            if create:
                with storage_errors(path):
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.touch()
            elif not path.is_file():
                raise LabellingError("there is no such labelling database", where=path, mend="check the path")
        self.engine = sa.create_engine(self.url, pool_pre_ping=True)
        if not self.is_server:
            event.listen(self.engine, "connect", _durable)
            event.listen(self.engine, "begin", _begin)
        try:
            if create:
                with self.writing() as connection:
                    tables.metadata.create_all(connection)
            elif not sa.inspect(self.engine).has_table(tables.project.name):
                raise LabellingError("this is no labelling database", where=self.name, mend="check the name")
        except DBAPIError as error:
            self.close()
            raise LabellingError(
                f"the database cannot be used: {_said(error)}", where=self.name, mend="check its name and its rights"
            ) from error

    @property
    def is_server(self) -> bool:
        """Whether it is PostgreSQL; else it is a file."""
        return self.url.get_backend_name() == "postgresql"

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction with the project to itself; durable when the block ends, undone when it raises."""
        with self.engine.begin() as connection:
            if self.is_server:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that only reads and waits for nobody."""
        with self.engine.connect().execution_options(darl_reading=True) as connection:
            yield connection

    def close(self) -> None:
        """Gives every connection back."""
        self.engine.dispose()


def is_url(target: object) -> bool:
    """Whether a text names a database server rather than a file.

    >>> is_url("postgresql://localhost/labels"), is_url("labels.sqlite")
    (True, False)
    """
    return isinstance(target, str) and "://" in target


def _url(target: str | Path) -> sa.URL:
    if not is_url(target):
        return sa.URL.create("sqlite", database=str(Path(target).expanduser()))
    try:
        url = sa.make_url(str(target))
        backend = url.get_backend_name()
    except ArgumentError:
        backend, url = "", None
    if url is None or backend not in ("postgresql", "postgres"):
        raise LabellingError(
            f"no such kind of database: {str(target).partition('://')[0]}://",
            mend="give a file, or postgresql://user:password@host/name",
        )
    return url.set(drivername="postgresql+psycopg")


def _durable(connection: Any, _: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_WAIT * 1000}")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin(connection: sa.Connection) -> None:
    reading = connection.get_execution_options().get("darl_reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _said(error: DBAPIError) -> str:
    return " ".join(str(error.orig).split())

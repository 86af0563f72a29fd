"""A source of any size, a piece at a time, with one schema for all pieces."""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from darl.pairs.badrows import BadRow
from darl.pairs.formats import RawTable, join, stream_file
from darl.pairs.sources import open_source


@dataclass(frozen=True)
class Part:
    """One file of a source (or one object in memory): its pieces can be had again and again.

    Attributes:
        name: in messages.
        origin: the file, or the raw table.
        schema: the columns that every piece is given, under their own names.
        rows: how many it has.
        bad: the rows that could not be parsed.
    """

    name: str
    origin: Path | RawTable
    schema: pa.Schema
    rows: int
    bad: list[BadRow]

    def pieces(self, size: int) -> Iterator[pa.Table]:
        """Tables of at most ``size`` rows that together are the part, with equal schemas."""
        for raw in _raw_pieces(self.origin, size, self.schema.names):
            yield conform(raw.table, self.schema)

    def only(self, columns: Collection[str]) -> Part:
        """The same part with these of its columns alone."""
        return replace(self, schema=pa.schema([field for field in self.schema if field.name in columns]))


def scan_source(source: Any, size: int) -> list[Part]:
    """The parts of a source, each read through once for its schema, its rows and what cannot be parsed.

    Args:
        source: anything that :func:`darl.pairs.sources.open_source` reads.
        size: rows held at a time.

    Raises:
        DataError, StorageError: as ``open_source``.
    """
    return [_scan(origin, size) for origin in _origins(source)]


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with the columns and types of a schema that it is part of."""
    if table.schema.equals(schema):
        return table
    return join([schema.empty_table(), table]).select(schema.names).cast(schema)


def one_schema(schemas: list[pa.Schema]) -> pa.Schema:
    """The schema of tables with these schemas, one below the other: a column of several kinds becomes text."""
    return join([schema.empty_table() for schema in schemas]).schema


def _origins(source: Any) -> Iterator[Path | RawTable]:
    if isinstance(source, (list, tuple)) and source:
        for one in source:
            yield from _origins(one)
    elif isinstance(source, (str, Path)) and Path(source).is_file():
        yield Path(source)
    elif isinstance(source, (str, Path)) and glob.has_magic(str(source)) and not Path(source).exists():
        matches = sorted(glob.glob(str(source), recursive=True))
        for match in matches:
            yield from _origins(match)
        if not matches:
            yield from open_source(source)  # says what is wrong
    else:
        yield from open_source(source)


def _raw_pieces(origin: Path | RawTable, size: int, columns: list[str] | None = None) -> Iterator[RawTable]:
    if isinstance(origin, Path):
        yield from stream_file(origin, rows=size, columns=columns)
        return
    for start in range(0, max(1, origin.table.num_rows), size):
        yield RawTable(origin.table.slice(start, size), origin.rows[start : start + size], origin.name)


def _scan(origin: Path | RawTable, size: int) -> Part:
    name = str(origin) if isinstance(origin, Path) else origin.name
    if isinstance(origin, RawTable):
        return Part(name, origin, origin.table.schema, origin.table.num_rows, origin.bad)
    schema: pa.Schema | None = None
    rows, bad = 0, []
    for raw in _raw_pieces(origin, size):
        found = raw.table.schema
        if raw.table.num_rows or schema is None:
            schema = found if schema is None or found.equals(schema) else one_schema([schema, found])
        rows += raw.table.num_rows
        bad += raw.bad
    assert schema is not None
    return Part(name, origin, schema, rows, bad)

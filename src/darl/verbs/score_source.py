"""The pairs that score reads: streamed piece by piece, filtered, under one schema, as often as needed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError, EmptySplitError
from darl.pairs import PairTable, UnusableRowsError
from darl.pairs.badrows import summary
from darl.pairs.columns import darl_names, filter_mask, rename_columns
from darl.pairs.formats import RawTable
from darl.pairs.schema import PROVENANCE, TEXT, text_column
from darl.pairs.sources import source_name
from darl.pairs.streaming import Part, conform, one_schema, scan_source
from darl.verbs.inputs import OnBadRows

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shard:
    """Consecutive rows of a source: its own columns, and the query and item text of each row."""

    number: int
    table: pa.Table
    queries: list[str]
    items: list[str]


@dataclass(frozen=True)
class ScoreSource:
    """A source cut into shards of equal size, the last one aside.

    Attributes:
        parts: of the source. schema: of every shard's table. rows: of all shards, after the filter.
        size: rows of a shard. left_out: rows that could not be parsed.
    """

    parts: list[Part]
    schema: pa.Schema
    rows: int
    size: int
    wanted: dict[str, str]
    where: dict[str, Any]

    @property
    def shards(self) -> int:
        return -(-self.rows // self.size)

    @property
    def left_out(self) -> int:
        return sum(len(part.bad) for part in self.parts)

    def __iter__(self) -> Iterator[Shard]:
        """All shards in order; nothing but one shard and one piece of the source is held."""
        held: list[tuple[pa.Table, pa.Array, pa.Array]] = []
        count, number = 0, 0
        for piece in self._pieces():
            while piece[0].num_rows:
                take = self.size - count
                held.append(tuple(part.slice(0, take) for part in piece))  # type: ignore[arg-type]
                count += held[-1][0].num_rows
                piece = tuple(part.slice(take) for part in piece)
                if count == self.size:
                    yield self._shard(number, held)
                    held, count, number = [], 0, number + 1
        if count:
            yield self._shard(number, held)

    def texts_alone(self) -> ScoreSource:
        """The same shards, their tables with no columns but those that texts and filter are found in.

        Of a wide Parquet file the others are then not even read.
        """
        parts = [part.only(_needed(part, self.wanted, self.where)) for part in self.parts]
        names = {name for part in parts for name in part.schema.names}
        schema = pa.schema([field for field in self.schema if field.name in names])
        return replace(self, parts=parts, schema=schema)

    def fingerprint(self) -> dict[str, Any]:
        """What tells whether these are still the same pairs: files, their sizes and times, columns and filter."""
        files = []
        for part in self.parts:
            if not isinstance(part.origin, Path):
                files.append([part.name, part.rows, None])
                continue
            facts = part.origin.stat()
            files.append([str(part.origin.resolve()), facts.st_size, facts.st_mtime_ns])
        schema = [[field.name, str(field.type)] for field in self.schema]
        return {"files": files, "schema": schema, "columns": self.wanted, "where": repr(sorted(self.where.items()))}

    def in_files(self) -> bool:
        """Whether every part is a file, so that the same pairs can be had after this process has died."""
        return all(isinstance(part.origin, Path) for part in self.parts)

    def _shard(self, number: int, held: list[tuple[pa.Table, pa.Array, pa.Array]]) -> Shard:
        table = pa.concat_tables([one[0] for one in held]).unify_dictionaries()
        queries, items = ([text for one in held for text in one[at].to_pylist()] for at in (1, 2))
        return Shard(number, table, queries, items)

    def _pieces(self) -> Iterator[tuple[Any, ...]]:
        for part in self.parts:
            if not part.schema.names:
                continue
            for table in part.pieces(self.size):
                table, queries, items = _texts(part, table, self.wanted, self.where)
                yield conform(table, self.schema), queries, items


def open_score_source(
    source: Any,
    *,
    columns: Mapping[str, str] | None,
    where: Mapping[str, Any] | None,
    on_bad_rows: OnBadRows,
    size: int,
) -> ScoreSource:
    """Read a source through once, without holding it, for its schema, its number of rows and its faults.

    Raises:
        DataError: it cannot be read, or has no column of queries or items.
        UnusableRowsError: lines that cannot be parsed, with ``on_bad_rows="error"``.
        EmptySplitError: no pair is left.
        StorageError: a file cannot be read.
    """
    if isinstance(source, PairTable):
        arrow = source.arrow.drop_columns(list(PROVENANCE))
        source, name = RawTable(arrow, np.arange(1, len(source) + 1), "<PairTable>"), "<PairTable>"
    else:
        name = source_name(source)
    wanted = {ours: theirs for ours, theirs in (columns or {}).items() if ours in ("query", "item")}
    parts = scan_source(source, size)
    bad = [row for part in parts for row in part.bad]
    if bad and on_bad_rows == "error":
        raise UnusableRowsError(bad)
    if bad:
        log.warning("%s: left out %s unusable rows: %s", name, f"{len(bad):,}", summary(bad))
    schemas = [part.schema for part in parts if part.schema.names]
    found = ScoreSource(parts, one_schema(schemas or [pa.schema([])]), 0, size, wanted, dict(where or {}))
    for part in parts:  # before any model is loaded
        if part.schema.names:
            _texts(part, part.schema.empty_table(), wanted, found.where)
    rows = sum(part.rows for part in parts)
    if where and rows:
        rows = sum(len(queries) for _, queries, _ in found.texts_alone()._pieces())
    if not rows:
        left_out = f"; {len(bad):,} rows were left out as unusable" if bad else ""
        raise EmptySplitError("there is no pair" + left_out, where=name, mend="check the filter and the file")
    return ScoreSource(found.parts, found.schema, rows, size, wanted, found.where)


def _needed(part: Part, wanted: Mapping[str, str], where: Mapping[str, Any]) -> set[str]:
    """The source's own names of the columns that :func:`_texts` looks at."""
    found = part.schema.names
    if not found:
        return set()
    names = darl_names(found, wanted, where=part.name, require_grades=False)
    # a filter names a column of the source, or what darl calls it
    return {names["query"], names["item"]} | {name if name in found else names.get(name, name) for name in where}


def _texts(
    part: Part, table: pa.Table, wanted: Mapping[str, str], where: Mapping[str, Any]
) -> tuple[pa.Table, pa.ChunkedArray, pa.ChunkedArray]:
    """The rows that pass the filter: the source's own columns, queries and items; a missing text is the empty one."""
    found = rename_columns(table, wanted, where=part.name, require_grades=False)
    if where:
        view = table
        for name in where:
            if name not in view.column_names and name in found.column_names:
                view = view.append_column(name, found.column(name))
        mask = pa.array(filter_mask(view, where, source=part.name))
        table, found = table.filter(mask), found.filter(mask)
    texts = []
    for name in ("query", "item"):
        try:
            column = pc.fill_null(text_column(found.column(name), name), "")
        except DataError as error:
            raise DataError(error.what, where=part.name, mend=error.mend) from error
        chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
        texts.append(pa.chunked_array(chunks, type=TEXT))
    return table, texts[0], texts[1]

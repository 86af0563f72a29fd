"""What the converters share: one part of a data set, and looking texts up by id."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError
from darl.pairs.badrows import UnusableRowsError, summary
from darl.pairs.columns import missing_column
from darl.pairs.formats import RawTable, load_file
from darl.pairs.schema import TEXT, text_column

log = logging.getLogger(__name__)


class ReadOptions(TypedDict, total=False):
    """The options of :func:`darl.pairs.read_pairs` that every converter hands on."""

    on_bad_rows: Literal["error", "skip"]
    skipped_to: str | Path | None
    limit: int
    allow_empty_text: bool


def load_part(
    path: Path, columns: Sequence[str], options: ReadOptions | None = None, *, kind: str | None = None
) -> RawTable:
    """One file of a data set with the named columns as text.

    Args:
        path: the file, or the same with ``.gz``.
        columns: the columns to keep.
        options: when given, unusable rows are an error, or skipped with a warning, as it says; when not, they are
            handed on in ``.bad``.
        kind: the format, when the extension misleads.

    Raises:
        DataError: a column is missing, or rows are unusable.
        StorageError: the file is missing or cannot be read.
    """
    if not path.exists() and path.with_name(path.name + ".gz").exists():
        path = path.with_name(path.name + ".gz")
    raw = load_file(path, kind=kind, columns=columns)
    for name in columns:
        if name not in raw.table.column_names:
            error = missing_column(name, raw.table.column_names, str(path))
            raise DataError(error.what, where=error.where, mend="is this the official file?")
    if raw.bad and options is not None:
        if options.get("on_bad_rows", "error") == "error":
            raise UnusableRowsError(raw.bad, options.get("limit", 20))
        log.warning("%s: left out %d unusable rows: %s", path, len(raw.bad), summary(raw.bad))
    kept = pa.table({name: text_column(raw.table.column(name), name) for name in columns})
    return RawTable(kept, raw.rows, raw.name, raw.bad if options is None else [])


def keep(raw: RawTable, column: str, value: str) -> RawTable:
    """The rows of a part whose column has this value."""
    mask = pc.fill_null(pc.call_function("equal", [raw.table.column(column), value]), False).to_numpy()
    return RawTable(raw.table.filter(pa.array(mask)), raw.rows[np.asarray(mask)], raw.name, raw.bad)


def lookup(keys: pa.ChunkedArray, known: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """For each key (n,) the value (m,) beside it in ``known`` (m,), null where it is not there."""
    places = pc.call_function("index_in", [keys], pc.SetLookupOptions(known.combine_chunks()))
    return values.take(places)


def joined(table: pa.Table, fields: Sequence[str], separator: str) -> pa.ChunkedArray:
    """Text columns joined row by row; an empty or missing field leaves no separator behind."""
    columns = [table.column(name) for name in fields]
    if len(columns) == 1:
        return columns[0]
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    return pa.chunked_array([[separator.join(part for part in row if part) for row in rows]], type=TEXT)

"""Traffic as it comes: pair files of any kind, or the server's log; with texts, or hashed with logged figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError, EmptySplitError, StorageError
from darl.pairs.columns import filter_mask, rename_columns
from darl.pairs.formats import join
from darl.pairs.sources import open_source, source_name
from darl.pairs.text import clean_text, normalise_query

LOGGED = ("query_hash", "item_hash", "probabilities")
NO_COLUMN = (
    "query", "item", "grade", "weight", "query_id", "item_id", "split", "time", "file", "row", "request_id",
    "query_hash", "item_hash", "probabilities", "relevance_score", "ood_score", "ood_percentile", "latency_ms",
)  # fmt: skip


@dataclass(frozen=True)
class Traffic:
    """n pairs in the order of time, where there is one.

    Attributes:
        table: the columns as read, under darl's names.
        groups: query of each pair by its text or its hash, (n,).
        queries, items: texts, or None where some are hashed.
        times: (n,) datetime64[us] in UTC, NaT where missing; None without the column.
        source: its name. lost: rows that could not be parsed, or had no text.
    """

    table: pa.Table
    groups: np.ndarray
    queries: list[str] | None
    items: list[str] | None
    times: np.ndarray | None
    source: str
    lost: int

    def __len__(self) -> int:
        return self.table.num_rows

    def columns(self) -> dict[str, list]:
        """What may be a slice: columns that are neither darl's own nor numbers."""
        found = {}
        for field in self.table.schema:
            kind = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            if field.name in NO_COLUMN or not (
                pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind)
            ):
                continue
            found[field.name] = self.table.column(field.name).to_pylist()
        return found


def read_traffic(
    source: Any, *, columns: Mapping[str, str] | None = None, where: Mapping[str, Any] | None = None
) -> Traffic:
    """Read traffic; graded or not, repeated pairs and all.

    Args:
        source: anything that pairs can be read from, or the folder of a server's traffic log.
        columns: {darl's column: the source's}. where: only pairs with these values, by darl's name of a column or
            the source's.

    Raises:
        EmptySplitError: no pair. DataError: a column is missing or cannot be read. StorageError: no such file.
    """
    tables, lost = [], 0
    for raw in open_source(log_files(source)):
        lost += len(raw.bad)
        if not raw.table.num_rows:
            continue
        table, hashed = raw.table, set(LOGGED) <= set(raw.table.column_names)
        if columns or not hashed:
            wanted = {ours: theirs for ours, theirs in (columns or {}).items() if ours != "grade"}
            table = rename_columns(table, wanted, where=raw.name, require_grades=False)
        tables.append(_filtered(table, raw.table, columns or {}, where, raw.name) if where else table)
    name = source_name(source)
    if not tables or not sum(table.num_rows for table in tables):
        raise EmptySplitError("there is no traffic", where=name, mend="check the filter and the file")
    table = join(tables)
    queries, items = (_texts(table, side, name) for side in ("query", "item"))
    kept = np.ones(table.num_rows, dtype=bool)
    if all(name in table.column_names for name in LOGGED):
        keys = [q if q is not None else h for q, h in zip(queries, table.column("query_hash").to_pylist(), strict=True)]
        plain = all(q is not None for q in queries) and all(i is not None for i in items)
    else:
        kept = np.array([bool(q and i) for q, i in zip(queries, items, strict=True)], dtype=bool)
        keys, plain = queries, True
    times = _times(table, name)
    order = np.flatnonzero(kept)
    if times is not None:
        order = order[np.argsort(times[order], kind="stable")]
    if not len(order):
        raise EmptySplitError("every pair of the traffic lacks a text", where=name, mend="check the columns")
    codes: dict[str, int] = {}
    normal = [normalise_query(str(keys[row])) for row in order]
    return Traffic(
        table=table.take(pa.array(order)),
        groups=np.array([codes.setdefault(text, len(codes)) for text in normal], dtype=np.int64),
        queries=[str(queries[row]) for row in order] if plain else None,
        items=[str(items[row]) for row in order] if plain else None,
        times=None if times is None else times[order],
        source=name,
        lost=lost + int((~kept).sum()),
    )


def log_files(source: Any) -> Any:
    """The Parquet files of a folder, or the source as it is.

    Raises:
        StorageError: a folder without them.
    """
    if not isinstance(source, (str, Path)) or not Path(source).is_dir() or (Path(source) / "state.json").is_file():
        return source
    files: Sequence[Path] = sorted(Path(source).glob("*.parquet"))
    if not files:
        raise StorageError("the folder holds no Parquet file", where=source, mend="name the log's folder, or files")
    return [str(path) for path in files]


def _filtered(
    table: pa.Table, raw: pa.Table, columns: Mapping[str, str], where: Mapping[str, Any], source: str
) -> pa.Table:
    """The rows of the renamed table that have the wanted values, by its own names or the source's."""
    view = table
    for name in where:
        theirs = columns.get(name, name)
        if name not in table.column_names and theirs in raw.column_names:
            view = view.append_column(name, raw.column(theirs))
    return table.filter(pa.array(filter_mask(view, where, source=source)))


def _texts(table: pa.Table, name: str, where: str) -> list[str | None]:
    if name not in table.column_names:
        raise DataError(f"there is no column {name!r}", where=where, mend="map it with --columns")
    return [None if text is None else clean_text(str(text)) for text in table.column(name).to_pylist()]


def _times(table: pa.Table, where: str) -> np.ndarray | None:
    if "time" not in table.column_names:
        return None
    column = table.column("time")
    if pa.types.is_timestamp(column.type):
        micros = pc.CastOptions(pa.timestamp("us"), allow_time_truncate=True)  # nanoseconds say nothing here
        return column.cast(options=micros).to_numpy(zero_copy_only=False).astype("datetime64[us]")
    return np.array([_time(value, row, where) for row, value in enumerate(column.to_pylist())], dtype="datetime64[us]")


def _time(value: Any, row: int, where: str) -> np.datetime64:
    if value is None or value == "":
        return np.datetime64("NaT", "us")
    try:
        if isinstance(value, (int, float)):
            found = datetime.fromtimestamp(value, UTC)
        else:
            found = datetime.fromisoformat(str(value))
    except (ValueError, OverflowError, OSError) as error:
        raise DataError(
            f"{value!r} is not a time", where=f"{where}, pair {row + 1}", mend="write times as 2026-05-01T12:00:00Z"
        ) from error
    if found.tzinfo is not None:
        found = found.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(found, "us")

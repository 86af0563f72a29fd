"""The pool as selection sees it: texts and the user's columns, never a grade."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from darl.errors import EmptySplitError
from darl.pairs import BadRow, PairTable
from darl.pairs.checks import Findings, check_texts
from darl.pairs.columns import ALIASES, filter_mask, rename_columns
from darl.pairs.formats import RawTable
from darl.pairs.sources import Source, open_source, source_name

GRADE_COLUMNS = frozenset(("grade", *ALIASES["grade"]))
"""Names under which a source may hold grades; such a column is dropped before anything looks at it."""


@dataclass(frozen=True)
class Pool:
    """An unlabelled pool.

    Attributes:
        pairs: every readable row in order, repeats and empty texts included, without grades.
        unreadable: the rows that could not be parsed.
    """

    pairs: PairTable
    unreadable: list[BadRow] = field(default_factory=list)


def open_pool(
    source: PairTable | Source | Pool,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
) -> Pool:
    """Opens a pool and drops its grades.

    Unlike :func:`darl.pairs.read_pairs` it refuses no row, for traffic is never clean: the guards deal with
    bad rows, and count them.

    Args:
        source: a table of pairs, or anything that pairs can be read from; an open pool is returned as it is.
        columns: {darl's column: the source's column}, for a source that is read; one for the grade is not used.
        where: {column: value or list of values}, under darl's names or the source's, likewise.

    Raises:
        EmptySplitError: there is no pair, or none with these values.
        DataError, StorageError: the source cannot be read, or has no query or item column.

    >>> open_pool(PairTable.from_pairs(["lamp"], ["desk lamp"], [2])).pairs.has("grade")
    False
    """
    if isinstance(source, Pool):
        return source
    unreadable: list[BadRow] = []
    if isinstance(source, PairTable):
        pairs, named = source.without_grades(), "the pool"
    else:
        tables: list[PairTable] = []
        for raw in open_source(source):
            unreadable += raw.bad
            if raw.table.num_rows:
                tables.append(_wanted(raw, _ungraded(raw, dict(columns or {})), where or {}))
        pairs = tables[0].concat(*tables[1:]) if tables else PairTable.from_pairs([], [])
        named = source_name(source)
    if not len(pairs):
        lost = f": {len(unreadable):,} rows could not be parsed" if unreadable else ""
        wanted = f" with {where}" if where else ""
        raise EmptySplitError(f"the pool holds no pair{wanted}{lost}", where=named, mend="check the file")
    return Pool(pairs, unreadable)


def _wanted(raw: RawTable, table: PairTable, where: Mapping[str, Any]) -> PairTable:
    """The pairs of ``table``, which is ``raw`` under darl's names, that have the wanted values."""
    ours = {name: value for name, value in where.items() if table.has(name) or name not in raw.table.column_names}
    theirs = {name: value for name, value in where.items() if name not in ours}
    mask = filter_mask(table.arrow, ours, source=raw.name) & filter_mask(raw.table, theirs, source=raw.name)
    return table if mask.all() else table.where(mask)


def _ungraded(raw: RawTable, columns: dict[str, str]) -> PairTable:
    hidden = {columns.pop("grade", None), *(n for n in raw.table.column_names if n.strip().casefold() in GRADE_COLUMNS)}
    graded = [name for name in raw.table.column_names if name in hidden - set(columns.values())]
    table = rename_columns(raw.table.drop_columns(graded), columns, where=raw.name, require_grades=False)
    # Nulls become empty texts, which a guard takes out and counts.
    table: Any = check_texts(table, Findings(table.num_rows), allow_empty=True)
    places = {"row": pa.array(raw.rows), "file": pa.array([raw.name] * table.num_rows, type=pa.large_string())}
    for name, column in places.items():
        table = table.append_column(name, column)
    return PairTable(table)

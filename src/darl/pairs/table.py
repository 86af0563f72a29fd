"""PairTable: an immutable table of query–item pairs with grades and provenance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError
from darl.pairs.identity import fingerprint
from darl.pairs.schema import (
    FILE,
    KNOWN_COLUMNS,
    PROVENANCE,
    TEXT,
    TEXT_COLUMNS,
    arrow_column,
    codes,
    is_text,
    refuse_doubled,
    typed_column,
)
from darl.pairs.text import clean_text, normalise_query

MEMORY = "<memory>"


class PairTable:
    """Query–item pairs, one a row; every method returns a new table and leaves this one as it is.

    Columns: ``query`` and ``item`` (text), and where given ``grade`` (int64), ``weight`` (float64),
    ``query_id``, ``item_id``, ``domain``, ``split``, ``source`` (text), ``time`` (text or timestamp) and
    any column of the user's. ``file`` and ``row`` say where a pair was read.

    Use :meth:`from_pairs`, :meth:`from_rows` or :func:`darl.pairs.read_pairs`; the constructor takes an
    Arrow table that already has darl's column names.

    Raises:
        DataError: ``query`` or ``item`` is missing, or a column holds values of the wrong kind.

    >>> table = PairTable.from_pairs(["lamp", "Lamp "], ["desk lamp", "lamp oil"], [2, 0], domain=["home", "home"])
    >>> len(table), table.grades.tolist(), table.query_groups().tolist()
    (2, [2, 0], [0, 0])
    >>> table.where(table.grades > 0).items
    ['desk lamp']
    """

    def __init__(self, table: pa.Table) -> None:
        missing = [name for name in TEXT_COLUMNS if name not in table.column_names]
        if missing:
            raise DataError(f"a table of pairs needs the columns query and item; {missing[0]!r} is missing")
        refuse_doubled(table.column_names, MEMORY)
        columns = {name: typed_column(name, table.column(name)) for name in table.column_names}
        for name in TEXT_COLUMNS:
            if columns[name].null_count:
                lacking = f"column {name!r} holds {columns[name].null_count} nulls"
                raise DataError(lacking, mend="drop or fill these pairs")
        if "row" not in columns:
            columns["row"] = pa.array(np.arange(1, table.num_rows + 1))
        if "file" not in columns:
            columns["file"] = _constant_file(MEMORY, table.num_rows)
        order = [name for name in KNOWN_COLUMNS if name in columns]
        order += [name for name in columns if name not in KNOWN_COLUMNS and name not in PROVENANCE]
        self._table = pa.table({name: columns[name] for name in (*order, *PROVENANCE)})

    # -- making ------------------------------------------------------------------------------------

    @classmethod
    def from_pairs(
        cls, queries: Iterable[str], items: Iterable[str], grades: Iterable[Any] | None = None, **columns: Iterable[Any]
    ) -> PairTable:
        """A table from parallel lists.

        Args:
            queries, items: n texts each; unsafe characters are replaced (:func:`clean_text`).
            grades: n integers, None where unlabelled.
            columns: further columns by name, n values each.

        Raises:
            DataError: the lengths differ, or a value is of the wrong kind.
        """
        data: dict[str, Any] = {"query": _texts("query", queries), "item": _texts("item", items)}
        if grades is not None:
            data["grade"] = _values(grades)
        for name, values in columns.items():
            data[name] = _values(values)
        lengths = {name: len(values) for name, values in data.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"columns differ in length: {lengths}", mend="give one value a pair in every column")
        return cls(pa.table(data))

    @classmethod
    def from_rows(cls, rows: Sequence[dict[str, Any]]) -> PairTable:
        """A table from one dict a pair; a key that some rows lack is null there.

        >>> PairTable.from_rows([{"query": "tap", "item": "sink tap", "grade": 1, "brand": "x"}]).column("brand")
        ['x']
        """
        names = list(dict.fromkeys(name for row in rows for name in row))
        data = {name: [row.get(name) for row in rows] for name in names if name not in TEXT_COLUMNS}
        grades = data.pop("grade", None)
        try:
            queries, items = ([row[name] for row in rows] for name in TEXT_COLUMNS)
        except KeyError as error:
            raise DataError(f"a row has no {error.args[0]!r}", mend="give every row a query and an item") from error
        return cls.from_pairs(queries, items, grades, **data)

    # -- reading -----------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._table.num_rows

    def __repr__(self) -> str:
        return f"PairTable({len(self):,} pairs: {', '.join(self.column_names)})"

    @property
    def arrow(self) -> pa.Table:
        """The Arrow table underneath."""
        return self._table

    @property
    def column_names(self) -> list[str]:
        """Every column; ``row`` and ``file`` come last."""
        return self._table.column_names

    def has(self, name: str) -> bool:
        """Whether there is a column of this name."""
        return name in self.column_names

    def column(self, name: str) -> list:
        """A column as Python values, (n,), None where null.

        Raises:
            DataError: there is no such column.
        """
        if not self.has(name):
            raise DataError(f"there is no column {name!r}", mend=f"choose from {', '.join(self.column_names)}")
        return self._table.column(name).to_pylist()

    @property
    def queries(self) -> list[str]:
        """The query texts, (n,)."""
        return self.column("query")

    @property
    def items(self) -> list[str]:
        """The item texts, (n,)."""
        return self.column("item")

    @property
    def has_grades(self) -> bool:
        """Whether every pair has a grade."""
        return self.has("grade") and self._table.column("grade").null_count == 0

    @property
    def grades(self) -> np.ndarray:
        """The grades, int64 (n,).

        Raises:
            DataError: some pair has no grade.
        """
        if not self.has_grades:
            lacking = self._table.column("grade").null_count if self.has("grade") else len(self)
            raise DataError(
                f"{lacking:,} of {len(self):,} pairs have no grade",
                mend="this step needs labelled pairs: label them, or filter with `where`",
            )
        return self._table.column("grade").to_numpy()

    @property
    def weights(self) -> np.ndarray | None:
        """The weights, float64 (n,), 1 where a pair has none; None when the table has no such column."""
        if not self.has("weight"):
            return None
        return pc.fill_null(self._table.column("weight"), 1.0).to_numpy()

    def place(self, index: int) -> str:
        """Where pair ``index`` was read, as ``file:row``."""
        return f"{self._table.column('file')[index].as_py()}:{self._table.column('row')[index].as_py()}"

    # -- shaping -----------------------------------------------------------------------------------

    def take(self, indices: Sequence[int] | np.ndarray) -> PairTable:
        """The pairs at these positions, in this order."""
        positions = np.asarray(indices, dtype=np.int64)
        return PairTable(self._table.take(pa.array(np.where(positions < 0, positions + len(self), positions))))

    def where(self, mask: Sequence[bool] | np.ndarray) -> PairTable:
        """The pairs whose mask is true, in order; mask (n,)."""
        mask = np.asarray(mask, dtype=bool)
        if mask.shape != (len(self),):
            raise DataError(f"a mask of shape {mask.shape} does not fit {len(self):,} pairs")
        return self.take(np.flatnonzero(mask))

    def concat(self, *others: PairTable) -> PairTable:
        """These pairs, then the others'. A column that a table lacks is null there.

        A column whose type differs between the tables becomes text.
        """
        tables = [self._table, *(other._table for other in others)]
        names = dict.fromkeys(name for table in tables for name in table.column_names)
        for name in names:
            kinds = {table.schema.field(name).type for table in tables if name in table.column_names}
            kinds.discard(pa.null())
            if len(kinds) > 1:
                tables = [_as_text(table, name) for table in tables]
        joined = pa.concat_tables(tables, promote_options="permissive")
        return PairTable(joined.unify_dictionaries())

    def with_column(self, name: str, values: Iterable[Any]) -> PairTable:
        """The same pairs with one column set or replaced; values (n,)."""
        column = _texts(name, values) if name in TEXT_COLUMNS else _values(values)
        if len(column) != len(self):
            raise DataError(f"{len(column):,} values for {name!r} do not fit {len(self):,} pairs")
        if self.has(name):
            return PairTable(self._table.set_column(self.column_names.index(name), name, column))
        return PairTable(self._table.append_column(name, column))

    def without_grades(self) -> PairTable:
        """The same pairs, unlabelled."""
        return PairTable(self._table.drop_columns(["grade"])) if self.has("grade") else self

    # -- identity ----------------------------------------------------------------------------------

    @cached_property
    def _grouping(self) -> tuple[np.ndarray, list[str]]:
        # Normalising is Python work, so it runs once a distinct text and not once a pair.
        raw, texts = codes(self._table.column("query"))
        seen: dict[str, int] = {}
        group = np.array([seen.setdefault(normalise_query(text), len(seen)) for text in texts], dtype=np.int64)
        return group[raw], list(seen)

    def query_groups(self) -> np.ndarray:
        """Dense codes of the normalised query texts in order of first occurrence, int64 (n,).

        The *text* is the identity of a query; ``query_id`` is only kept.
        """
        return self._grouping[0].copy()

    def query_names(self) -> list[str]:
        """The normalised query text of each group, (g,): row i asks ``query_names()[query_groups()[i]]``."""
        return list(self._grouping[1])

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self._table)

    def fingerprint(self) -> str:
        """SHA-256 (hex) over queries, items, grades and weights in order; provenance does not count."""
        return self._fingerprint

    def sample(self, n: int, seed: int, by: Literal["pair", "query"] = "pair") -> PairTable:
        """At most ``n`` pairs at random, in the table's order.

        Args:
            n: the number of pairs wanted; a table that has no more is returned whole.
            seed: the same seed on the same table gives the same sample.
            by: ``pair`` draws pairs; ``query`` draws whole queries and stops before the one that would pass
                ``n`` (at least one query is kept).
        """
        if n >= len(self):
            return self
        rng = np.random.default_rng(seed)
        if by == "pair":
            return self.take(np.sort(rng.permutation(len(self))[:n]))
        if by != "query":
            raise DataError(f"cannot sample by {by!r}", mend="sample by pair or query")
        groups, names = self._grouping
        order = rng.permutation(len(names))
        total = np.cumsum(np.bincount(groups, minlength=len(names))[order])
        kept = order[: max(int(np.searchsorted(total, n, side="right")), min(n, 1))]
        return self.where(np.isin(groups, kept))

    # -- writing -----------------------------------------------------------------------------------

    def to_parquet(self, path: str | Path) -> None:
        """Writes Parquet, whole or not at all; see :func:`darl.pairs.write_pairs`."""
        self._write(path, "parquet")

    def to_jsonl(self, path: str | Path) -> None:
        """Writes JSON lines, whole or not at all; see :func:`darl.pairs.write_pairs`."""
        self._write(path, "jsonl")

    def to_csv(self, path: str | Path) -> None:
        """Writes CSV, whole or not at all; see :func:`darl.pairs.write_pairs`."""
        self._write(path, "csv")

    def _write(self, path: str | Path, kind: str) -> None:
        from darl.pairs.writing import write_pairs  # writing knows tables, not the reverse

        write_pairs(self, path, kind=kind)


def _constant_file(name: str, n: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(np.zeros(n, dtype=np.int32), pa.array([name], type=FILE.value_type))


def _texts(name: str, values: Iterable[str]) -> pa.Array:
    cleaned = []
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise DataError(f"{name} {index} is {value!r}, not text", mend="give every pair two texts")
        cleaned.append(clean_text(value))
    return pa.array(cleaned, type=TEXT)


def _values(values: Iterable[Any]) -> pa.Array | pa.ChunkedArray:
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values
    if isinstance(values, np.ndarray) and values.dtype.kind in "biuf":
        return pa.array(values)
    return arrow_column(values)


def _as_text(table: pa.Table, name: str) -> pa.Table:
    """The table with one column as text, so that tables of different types can be joined."""
    if name not in table.column_names or is_text(table.schema.field(name).type):
        return table
    values = [None if value is None else str(value) for value in table.column(name).to_pylist()]
    return table.set_column(table.column_names.index(name), name, pa.array(values, type=TEXT))

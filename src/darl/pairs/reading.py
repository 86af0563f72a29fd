"""read_pairs: from any source to a checked PairTable, with every unusable row reported at once."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from darl.errors import DataError, EmptySplitError
from darl.grades import GradeScale
from darl.pairs.badrows import BadRow, UnusableRowsError, summary, write_bad_rows
from darl.pairs.checks import Findings, check_grades, check_texts, check_weights, find_duplicates
from darl.pairs.columns import filter_mask, rename_columns
from darl.pairs.formats import RawTable, join
from darl.pairs.schema import FILE, TEXT, typed_column
from darl.pairs.sources import Source, open_source, source_name
from darl.pairs.table import PairTable

log = logging.getLogger(__name__)


def read_pairs(
    source: Source,
    *,
    scale: GradeScale | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: Literal["error", "skip"] = "error",
    skipped_to: str | Path | None = None,
    require_grades: bool = True,
    limit: int = 20,
    allow_empty_text: bool = False,
) -> PairTable:
    """Reads pairs from files or objects and checks every row.

    Args:
        source: a path (JSON lines, CSV, TSV or Parquet, each also ``.gz``), a glob, a list of paths,
            ``hf://owner/name[/config][:split]``, a folder saved by ``datasets``, or a ``datasets.Dataset``, pandas
            DataFrame or Arrow table.
        scale: reads grade names and bounds the integers; without it a grade is any integer from 0 up.
        columns: {darl's column: the source's column}. Common names (``label``, ``title``, …) need no mapping.
        where: keeps rows by value before any check, as in ``{"split": ["train", "dev"]}``.
        on_bad_rows: ``error`` raises one error that lists them; ``skip`` leaves them out.
        skipped_to: with ``skip``, the JSON-lines file that receives the rows left out and why.
        require_grades: whether every row must have a grade.
        limit: how many unusable rows the error lists; all are counted, and all stand in its ``rows``.
        allow_empty_text: whether a query or an item may be empty.

    A row is unusable when it cannot be parsed, has no text, a grade off the scale, a weight that is no
    number from 0 up, or when the same texts stand there with another grade. A row that repeats an earlier
    one exactly is merged into it, and the number is logged.

    Raises:
        UnusableRowsError: rows are unusable; a :class:`~darl.errors.BadRowsError`.
        EmptySplitError: no pair is left.
        DataError: a column is missing or ambiguous, a file is damaged or of an unknown kind.
        StorageError: a file is missing or cannot be read.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "pairs.csv"
    >>> _ = path.write_text("query,title,label\\nlamp,desk lamp,strong\\nlamp,garden hose,weak\\n")
    >>> read_pairs(path, scale=GradeScale(("weak", "strong"))).grades.tolist()
    [1, 0]
    """
    if on_bad_rows not in ("error", "skip"):
        raise DataError(f"on_bad_rows={on_bad_rows!r}", mend="choose error or skip")
    bad: list[BadRow] = []
    tables: list[pa.Table] = []
    for raw in open_source(source):
        bad += raw.bad
        if raw.table.num_columns or not raw.bad:
            table, found = _checked(raw, scale, columns, where, require_grades, allow_empty_text)
            tables.append(table)
            bad += found
    if tables:
        table, found = _without_duplicates(join([_typed(table) for table in tables]))
        tables = [table.unify_dictionaries()]
        bad += found
    if bad and on_bad_rows == "error":
        raise UnusableRowsError(sorted(bad, key=_place(bad)), limit)
    if bad:
        log.warning("%s: left out %s unusable rows: %s", source_name(source), f"{len(bad):,}", summary(bad))
    if skipped_to is not None:
        write_bad_rows(sorted(bad, key=_place(bad)), skipped_to)
    if not tables or not tables[0].num_rows:
        condition = f"no pair matches {dict(where)}" if where else "there is no pair"
        left_out = f"; {len(bad):,} rows were left out as unusable" if bad else ""
        raise EmptySplitError(condition + left_out, where=source_name(source), mend="check the filter and the file")
    return PairTable(tables[0])


def _checked(
    raw: RawTable,
    scale: GradeScale | None,
    columns: Mapping[str, str] | None,
    where: Mapping[str, Any] | None,
    require_grades: bool,
    allow_empty_text: bool,
) -> tuple[pa.Table, list[BadRow]]:
    """The usable rows of one raw table with their places, and its unusable rows."""
    table = raw.table
    if not table.num_rows and not table.num_columns:
        return pa.table({"query": pa.array([], TEXT), "item": pa.array([], TEXT)}), []
    table = rename_columns(table, columns, where=raw.name, require_grades=require_grades)
    rows = raw.rows
    if where:
        view = table
        for name in where:  # a filter may also use the source's own name of a column
            if name not in table.column_names and name in raw.table.column_names:
                view = view.append_column(name, raw.table.column(name))
        kept = filter_mask(view, where, source=raw.name)
        table, rows = table.filter(pa.array(kept)), rows[kept]
    original = table
    findings = Findings(table.num_rows)
    try:
        table = check_texts(table, findings, allow_empty=allow_empty_text)
    except DataError as error:
        raise DataError(error.what, where=raw.name, mend=error.mend) from None
    table = check_grades(table, findings, scale, required=require_grades)
    table = check_weights(table, findings)
    bad = findings.bad_rows(original, rows, raw.name)
    if bad:
        table, rows = table.filter(pa.array(findings.good)), rows[findings.good]
    file = pa.DictionaryArray.from_arrays(np.zeros(len(rows), np.int32), pa.array([raw.name], type=FILE.value_type))
    return table.append_column("row", pa.array(rows)).append_column("file", file), bad


def _typed(table: pa.Table) -> pa.Table:
    return pa.table({name: typed_column(name, table.column(name)) for name in table.column_names})


def _without_duplicates(table: pa.Table) -> tuple[pa.Table, list[BadRow]]:
    conflicting, repeated = find_duplicates(table)
    bad: list[BadRow] = []
    if conflicting.any():
        for record in table.filter(pa.array(conflicting)).to_pylist():
            file, row = record.pop("file"), record.pop("row")
            raw = json.dumps(record, ensure_ascii=False, default=str)
            bad.append(BadRow(file, row, "the same pair has several grades", f"here {record['grade']}", raw))
    if repeated.any():
        log.info("merged %s pairs that repeat an earlier one", f"{int(repeated.sum()):,}")
    return table.filter(pa.array(~(conflicting | repeated))), bad


def _place(bad: list[BadRow]) -> Any:
    """The order of sources, then of rows."""
    order = {name: index for index, name in enumerate(dict.fromkeys(row.file for row in bad))}
    return lambda row: (order[row.file], row.row)

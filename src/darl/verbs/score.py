"""score: a result for every pair of a file, in the file's order, beside the columns that were there."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError, EmptySplitError
from darl.model import RelevanceModel
from darl.model.scores import Scores
from darl.pairs import PairTable, UnusableRowsError
from darl.pairs.columns import filter_mask, rename_columns
from darl.pairs.formats import RawTable, file_kind, join
from darl.pairs.schema import PROVENANCE, TEXT, text_column
from darl.pairs.sources import open_source, source_name
from darl.progress import Reporter
from darl.verbs.chunk_writer import chunk_writer
from darl.verbs.inputs import OnBadRows, as_model

CHUNK = 2048  # pairs sorted by length together: enough for even batches, and a result every few seconds
PREFIX = "darl_"


@dataclass(frozen=True)
class ScoreResult:
    """What :func:`score_pairs` did.

    Attributes:
        pairs: how many were scored. seconds: how long it took, loading the model aside.
        columns: the names of the result's columns, in order.
        path: the file written, or None. table: the whole result where no file was asked for, or None.
    """

    pairs: int
    seconds: float
    columns: tuple[str, ...]
    path: Path | None = None
    table: pa.Table | None = None

    @property
    def pairs_per_second(self) -> float:
        return self.pairs / max(self.seconds, 1e-9)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, without the table."""
        rate = round(self.pairs_per_second, 1)
        return {
            "pairs": self.pairs,
            "seconds": round(self.seconds, 3),
            "pairs_per_second": rate,
            "columns": list(self.columns),
            "path": None if self.path is None else str(self.path),
        }


def score_pairs(
    model: RelevanceModel | str | Path,
    source: Any,
    out: str | Path | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "error",
    ood: bool = True,
    prefix: str | None = None,
    chunk: int = CHUNK,
    quiet: bool = True,
) -> ScoreResult:
    """Score every pair of a source; one result a pair, in the source's order, all its columns kept.

    Grades are not needed, pairs that stand twice are scored twice, and any text is scored, an empty or missing
    one as the empty text. The result's columns (``grade``, ``grade_name``, ``relevance_score``, ``p_<grade>``,
    ``ood_score``, ``ood_percentile``) come last.

    Args:
        model: a model, or the folder of one (or of a run).
        source: a table, or anything that :func:`darl.read_pairs` reads.
        out: the file to write, whole or not at all: ``.parquet``, ``.jsonl``, ``.csv`` or ``.tsv``.
            None: the result is in memory, as ``table``.
        columns: {``query`` or ``item``: the source's column}; common names need none.
        where: only pairs with these column values.
        on_bad_rows: ``skip`` leaves out lines that cannot be parsed; ``error`` refuses them.
        ood: also say how far out each pair is, where the model has a reference; costs a second pass.
        prefix: before the names of the result's columns; default none, or ``darl_`` where the source already
            has one of them.
        chunk: pairs scored at a time.
        quiet: no progress on standard error.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: the source cannot be read, or ``out`` is one of its files.
        StorageError: ``out`` cannot be written.
    """
    if out is not None:
        check_target(out, source)
    table, queries, items = _texts(source, columns, where, on_bad_rows)
    model = as_model(model)
    ood = ood and model.ood is not None
    names = _result_names(table, model, ood, prefix)
    reporter, start = Reporter(quiet=quiet), time.monotonic()

    def results(advance: Any) -> Iterator[pa.Table]:
        for begin in range(0, len(queries), chunk):
            part = slice(begin, begin + chunk)
            scores = model.score(queries=queries[part].to_pylist(), items=items[part].to_pylist(), ood=ood)
            found = scores.to_arrow()
            here = table.slice(begin, chunk)
            for name, column in zip(names, found.columns, strict=True):
                here = here.append_column(name, column)
            yield here
            advance(len(scores))

    with reporter.bar("scoring", len(queries)) as advance:
        if out is None:
            whole = pa.concat_tables(results(advance))
            return ScoreResult(len(queries), time.monotonic() - start, names, None, whole)
        with chunk_writer(out) as write:
            for part in results(advance):
                write(part)
    return ScoreResult(len(queries), time.monotonic() - start, names, Path(out))


def _texts(
    source: Any, columns: Mapping[str, str] | None, where: Mapping[str, Any] | None, on_bad_rows: OnBadRows
) -> tuple[pa.Table, pa.Array, pa.Array]:
    """The source's own columns, and the query and item text of each row."""
    if isinstance(source, PairTable):
        arrow = source.arrow.drop_columns(list(PROVENANCE))
        raws: Iterator[RawTable] | list[RawTable] = [RawTable(arrow, np.arange(1, len(source) + 1), "<PairTable>")]
    else:
        raws = open_source(source)
    wanted = {ours: theirs for ours, theirs in (columns or {}).items() if ours in ("query", "item")}
    tables, queries, items, bad = [], [], [], []
    for raw in raws:
        bad += raw.bad
        if not raw.table.num_columns:
            continue
        found = rename_columns(raw.table, wanted, where=raw.name, require_grades=False)
        table = raw.table
        if where:
            view = raw.table
            for name in where:
                if name not in view.column_names and name in found.column_names:
                    view = view.append_column(name, found.column(name))
            mask = pa.array(filter_mask(view, where, source=raw.name))
            table, found = table.filter(mask), found.filter(mask)
        for name, into in (("query", queries), ("item", items)):
            try:
                column = pc.fill_null(text_column(found.column(name), name), "")
            except DataError as error:
                raise DataError(error.what, where=raw.name, mend=error.mend) from error
            into.extend(column.chunks if isinstance(column, pa.ChunkedArray) else [column])
        tables.append(table)
    if bad and on_bad_rows == "error":
        raise UnusableRowsError(bad)
    if not sum(table.num_rows for table in tables):
        raise EmptySplitError("there is no pair", where=source_name(source), mend="check the filter and the file")
    table = join(tables).unify_dictionaries()
    return table, pa.chunked_array(queries, type=TEXT), pa.chunked_array(items, type=TEXT)


def _result_names(table: pa.Table, model: RelevanceModel, ood: bool, prefix: str | None) -> tuple[str, ...]:
    """The result's columns under names that the source does not have."""
    none = np.zeros(0)
    probabilities, grades = np.zeros((0, model.scale.size)), np.zeros(0, dtype=np.int64)
    names = Scores(model.scale, probabilities, grades, none, *((none, none) if ood else ())).to_arrow().column_names
    taken = set(table.column_names)
    if prefix is None:
        prefix = "" if not taken & set(names) else PREFIX
        while taken & {prefix + name for name in names}:
            prefix += "_"
    clash = sorted(taken & {prefix + name for name in names})
    if clash:
        raise DataError(f"the source already has a column {clash[0]!r}", mend="choose another prefix")
    return tuple(prefix + name for name in names)


def check_target(out: str | Path, source: Any) -> None:
    """Refuses a file that cannot be written as a result, or that is one of the sources."""
    kind, gzipped = file_kind(out)
    if kind == "parquet" and gzipped:
        raise DataError("Parquet is compressed already", where=out, mend="leave out .gz")
    for path in source if isinstance(source, (list, tuple)) else [source]:
        if isinstance(path, (str, Path)) and Path(path).is_file() and Path(out).resolve() == Path(path).resolve():
            raise DataError("the result would overwrite the pairs", where=out, mend="write to another file")

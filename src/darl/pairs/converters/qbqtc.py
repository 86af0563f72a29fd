"""QBQTC, the QQ Browser Query Title Corpus: Chinese web search (github.com/CLUEbenchmark/QBQTC).

Official files, JSON lines in spite of their names: ``train.json``, ``dev.json``, ``test_public.json``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from darl.errors import DataError
from darl.grades import GradeScale
from darl.pairs.converters.parts import ReadOptions, load_part
from darl.pairs.formats import RawTable
from darl.pairs.reading import read_pairs
from darl.pairs.schema import TEXT
from darl.pairs.table import PairTable

SCALE = GradeScale(("poor", "partial", "strong"))
"""The labels 0, 1 and 2 of QBQTC."""

SPLITS = ("train", "dev", "test_public")


def read_qbqtc(folder: str | Path, *, splits: Sequence[str] | None = None, **options: Unpack[ReadOptions]) -> PairTable:
    """Reads QBQTC from its official files; grades are on :data:`SCALE`.

    Args:
        folder: holds the files.
        splits: some of ``train``, ``dev``, ``test_public``; default those that are there.
        options: as in :func:`darl.pairs.read_pairs`.

    Kept columns: ``source``, ``split`` and ``pair_id`` (the official ``id``). Queries may occur in several of the
    official splits: run :func:`darl.pairs.check_leaks`.

    Raises:
        BadRowsError: a row is unusable.
        DataError: no file is there, or a file is not the official one.
    """
    folder = Path(folder)
    names = list(splits) if splits is not None else [name for name in SPLITS if _there(folder / f"{name}.json")]
    if not names:
        raise DataError("none of the QBQTC files is here", where=folder, mend=f"expected {SPLITS[0]}.json and the like")
    parts = []
    for name in names:
        raw = load_part(folder / f"{name}.json", ["id", "query", "title", "label"])
        table = raw.table.rename_columns(["pair_id", "query", "item", "grade"])
        for column, value in (("split", name), ("source", "qbqtc")):
            table = table.append_column(column, pa.array([value] * table.num_rows, type=TEXT))
        parts.append(RawTable(table, raw.rows, raw.name, raw.bad))
    return read_pairs(parts, scale=SCALE, **options)


def _there(path: Path) -> bool:
    return path.exists() or path.with_name(path.name + ".gz").exists()

"""Labelled picks, back as a table of graded pairs for the next fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from darl.errors import DataError, EmptySplitError, GradeError
from darl.grades import GradeScale
from darl.pairs import PairTable, read_pairs
from darl.pairs.sources import Source, source_name

SOURCE = "dasa"
"""What the column ``source`` of merged pairs says."""

_LISTED = 5


class UnlabelledPicksError(DataError):
    """Some picks have no label yet; they are counted, and the first few are named by place."""


def merge_labels(
    picks: PairTable | Source,
    scale: GradeScale,
    *,
    columns: Mapping[str, str] | None = None,
    on_missing: Literal["error", "skip"] = "error",
) -> PairTable:
    """Reads labelled picks as a graded table, to be one more source of training pairs.

    Args:
        picks: the labelled file, or its table. The label stands under ``grade``, ``label`` or another common
            name, as a grade's name or number.
        scale: the grades.
        columns: {darl's column: the file's column}, as in :func:`darl.pairs.read_pairs`; for a file.
        on_missing: ``error`` refuses rows without a label; ``skip`` leaves them out.

    Returns:
        The labelled pairs, ``source`` set to ``"dasa"``; the columns of the selection stay for the record.

    Raises:
        UnlabelledPicksError: rows without a label, and ``on_missing="error"``.
        GradeError, BadRowsError: a label off the scale, or one pair with two labels.
        EmptySplitError: no labelled pair is left.

    >>> table = PairTable.from_pairs(["lamp", "hose"], ["desk lamp", "tights"], [1, None])
    >>> merge_labels(table, GradeScale(("bad", "good")), on_missing="skip").column("source")
    ['dasa']
    >>> merge_labels(table, GradeScale(("bad", "good")))
    Traceback (most recent call last):
    darl.dasa.labels.UnlabelledPicksError: 1 of 2 picks have no label: <memory>:2
      mend: label them, or leave them out with on_missing="skip"
    """
    if on_missing not in ("error", "skip"):
        raise DataError(f"on_missing={on_missing!r}", mend="choose error or skip")
    if isinstance(picks, PairTable):
        table, where = picks, None
    else:
        table = read_pairs(picks, scale=scale, columns=columns, require_grades=False)
        where = source_name(picks)
    grades = np.array([-1 if grade is None else grade for grade in _grades(table)], dtype=np.int64)
    missing = np.flatnonzero(grades == -1)
    off = np.flatnonzero((grades < -1) | (grades >= scale.size))
    if len(off):
        raise GradeError(
            f"{len(off):,} labels are not on the scale; the first is {grades[off[0]]}",
            where=table.place(int(off[0])),
            mend=f"use 0 … {scale.size - 1} or one of {', '.join(scale.names)}",
        )
    if len(missing) and on_missing == "error":
        places = ", ".join(table.place(int(row)) for row in missing[:_LISTED])
        more = f" and {len(missing) - _LISTED:,} more" if len(missing) > _LISTED else ""
        raise UnlabelledPicksError(
            f"{len(missing):,} of {len(table):,} picks have no label: {places}{more}",
            where=where,
            mend='label them, or leave them out with on_missing="skip"',
        )
    labelled = table.where(grades >= 0)
    if not len(labelled):
        raise EmptySplitError("no pick has a label", where=where, mend="label some of them first")
    return labelled.with_column("source", [SOURCE] * len(labelled))


def _grades(table: PairTable) -> list[int | None]:
    return table.column("grade") if table.has("grade") else [None] * len(table)

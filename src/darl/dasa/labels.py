"""Labelled picks, back as a table of graded pairs for the next fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np

from darl.dasa.guards import pair_codes
from darl.errors import DataError, EmptySplitError, GradeError
from darl.grades import GradeScale
from darl.pairs import PairTable, read_pairs
from darl.pairs.sources import Source, source_name

SOURCE = "dasa"
"""What the column ``source`` of merged pairs says."""

OnMissing = Literal["error", "skip"]
_LISTED = 5


class UnlabelledPicksError(DataError):
    """Some picks have no label yet; they are counted, and the first few are named by place."""


def merge_labels(
    picks: PairTable | Source,
    scale: GradeScale,
    *,
    columns: Mapping[str, str] | None = None,
    on_missing: OnMissing = "error",
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


def label_picks(
    picks: PairTable, labels: PairTable, scale: GradeScale, *, on_missing: OnMissing = "error", only_picks: bool = True
) -> PairTable:
    """The picks with the grades that ``labels`` gives the same pairs, found by normalised query and item.

    Args:
        picks: n pairs without grades.
        labels: pairs with grades, in any order.
        scale: the grades.
        on_missing: as in :func:`merge_labels`.
        only_picks: whether every labelled pair must be one of the picks; not so where a graded pool gives the labels.

    Returns:
        The labelled picks in their order. Columns that only ``labels`` has, such as who labelled, come with them.

    Raises:
        DataError: labels for pairs that were not picked.
        UnlabelledPicksError, GradeError, EmptySplitError: as :func:`merge_labels`.

    >>> picks = PairTable.from_pairs(["lamp", "hose"], ["desk lamp", "tights"], rank=[1, 2])
    >>> labels = PairTable.from_pairs(["hose", "Lamp"], ["tights", "desk lamp"], [0, 1], labelled_by=["b", "a"])
    >>> found = label_picks(picks, labels, GradeScale(("bad", "good")))
    >>> found.grades.tolist(), found.column("labelled_by"), found.column("rank")
    ([1, 0], ['a', 'b'], [1, 2])
    """
    ours, theirs = pair_codes(picks, labels)
    others = np.flatnonzero(~np.isin(theirs, ours))
    if only_picks and len(others):
        places = ", ".join(labels.place(int(row)) for row in others[:_LISTED])
        more = f" and {len(others) - _LISTED:,} more" if len(others) > _LISTED else ""
        raise DataError(
            f"{len(others):,} of {len(labels):,} labelled pairs were not picked: {places}{more}",
            mend="label the picked pairs as they are: query and item are what a label is found by",
        )
    where = {int(code): row for row, code in reversed(list(enumerate(theirs)))}  # of repeats the first
    rows = [where.get(int(code)) for code in ours]
    given = _grades(labels)
    found = picks.without_grades().with_column("grade", [None if row is None else given[row] for row in rows])
    for name in labels.column_names:
        if not found.has(name):
            values = labels.column(name)
            found = found.with_column(name, [None if row is None else values[row] for row in rows])
    return merge_labels(found, scale, on_missing=on_missing)


def _grades(table: PairTable) -> list[int | None]:
    return table.column("grade") if table.has("grade") else [None] * len(table)

"""What a job works on, read and checked before anything is asked: pairs, gold pairs, and the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darl.errors import DataError, LeakError
from darl.grades import GradeScale
from darl.labelling.files import read_ungraded
from darl.labelling.judge.problems import JudgeError
from darl.labelling.judge.prompt import GradePrompt
from darl.pairs import PairTable, find_leaks, read_pairs
from darl.pairs.sources import Source
from darl.storage import storage_errors

Records = list[dict[str, Any]]


@dataclass(frozen=True)
class Material:
    """The pairs to label, the gold pairs with their grades and query groups, and the prompt; gold may be empty."""

    records: Records
    gold: Records
    gold_grades: list[int]
    gold_groups: np.ndarray
    prompt: GradePrompt


def read_material(
    pairs: PairTable | Source,
    *,
    scale: GradeScale,
    gold: PairTable | Source | None = None,
    guideline: str | Path | None = None,
    examples: PairTable | Source | None = None,
    show: Sequence[str] = (),
    reason: bool = False,
    columns: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Material:
    """Reads everything.

    Args:
        pairs, gold, examples: files or tables; ``columns`` {darl's name: theirs} is for all of them.
        guideline: a file of text.
        show: further columns that the judge sees.
        reason: whether it gives reasons.
        limit: only the first so many pairs.

    Raises:
        JudgeError: a column to show is not there.
        LeakError: an example asks a gold pair's query: the judge would be measured on what it was told.
        DataError, StorageError: a file cannot be read.
    """
    table = pairs if isinstance(pairs, PairTable) else read_ungraded(pairs, scale, columns or {})
    golden = None if gold is None else _graded(gold, scale, columns)
    shots = None if examples is None else _graded(examples, scale, columns)
    for name in show:
        if not table.has(name):
            mend = f"choose from {', '.join(table.column_names)}"
            raise JudgeError(f"there is no column {name!r} to show", where="darl judge", mend=mend)
    if golden is not None and shots is not None:
        leaking = find_leaks(shots, {"gold": golden}).leaks["gold"]
        if leaking.queries:
            raise LeakError(
                f"{len(leaking.queries)} queries of the examples are gold queries too, as {leaking.examples[0]}",
                where="darl judge",
                mend="take examples of other queries: on these the judge was told the answer",
            )
    text = ""
    if guideline is not None:
        with storage_errors(guideline):
            text = Path(guideline).read_text(encoding="utf-8", errors="replace")
    prompt = GradePrompt.build(scale, guideline=text, examples=shots, show=show, reason=reason)
    first = table.take(range(min(limit, len(table)))) if limit is not None else table
    return Material(
        first.arrow.to_pylist(),
        [] if golden is None else golden.arrow.to_pylist(),
        [] if golden is None else golden.grades.tolist(),
        np.empty(0, np.int64) if golden is None else golden.query_groups(),
        prompt,
    )


def _graded(source: PairTable | Source, scale: GradeScale, columns: Mapping[str, str] | None) -> PairTable:
    if isinstance(source, PairTable):
        if not 0 <= source.grades.min(initial=0) <= source.grades.max(initial=0) < scale.size:
            raise DataError("a grade is not on the scale", mend=f"use 0 … {scale.size - 1}")
        return source
    return read_pairs(source, scale=scale, columns=columns or None)

"""Row checks: which rows of raw columns cannot be used, and why; all of them at once.

Every check is vectorised over the column or over its distinct values, so a million rows take seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import GradeError
from darl.grades import GradeScale
from darl.pairs.badrows import BadRow
from darl.pairs.cells import nested_as_json
from darl.pairs.schema import TEXT_COLUMNS, codes, text_column

_LARGEST = 2**31 - 1  # grade without a scale: the codes that duplicates are found by are its multiples


@dataclass
class Findings:
    """The faults of n rows: for each row the first one found."""

    n: int
    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)

    def add(self, mask: np.ndarray, reason: str, detail: Callable[[int], str] = lambda _: "") -> None:
        """Marks the rows of ``mask`` (n,); ``detail(row)`` says what that row holds."""
        for index in np.flatnonzero(mask).tolist():
            self.reasons.setdefault(index, (reason, detail(index)))

    @property
    def good(self) -> np.ndarray:
        """Whether each row is without a fault, bool (n,)."""
        mask = np.ones(self.n, dtype=bool)
        mask[list(self.reasons)] = False
        return mask

    def bad_rows(self, table: pa.Table, rows: np.ndarray, file: str) -> list[BadRow]:
        """The faulty rows of ``table`` in order, each with its contents as JSON."""
        indices = sorted(self.reasons)
        contents = table.take(pa.array(indices, type=pa.int64())).to_pylist()
        return [
            BadRow(file, int(rows[index]), *self.reasons[index], json.dumps(record, ensure_ascii=False, default=str))
            for index, record in zip(indices, contents, strict=True)
        ]


def check_texts(table: pa.Table, findings: Findings, *, allow_empty: bool) -> pa.Table:
    """Query and item as clean text; marks rows where one is null, or holds nothing but white space."""
    for name in TEXT_COLUMNS:
        column = text_column(table.column(name), name)
        missing = column.is_null().to_numpy()
        if not allow_empty:
            findings.add(missing, f"{name} is missing")
            # Arrow calls the empty text "not space".
            blank = pc.fill_null(pc.call_function("utf8_is_space", [column]), False).to_numpy().copy()
            blank |= pc.fill_null(pc.call_function("equal", [column, ""]), False).to_numpy()
            findings.add(blank, f"{name} is empty")
        nul = pc.ReplaceSubstringOptions("\x00", "\N{REPLACEMENT CHARACTER}")
        column = pc.call_function("replace_substring", [pc.fill_null(column, "")], nul)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


def check_grades(table: pa.Table, findings: Findings, scale: GradeScale | None, *, required: bool) -> pa.Table:
    """Grades as int64; marks rows whose grade is off the scale, or missing when it is required.

    Without a scale a grade is any integer from 0 up that 32 bits hold.
    """
    if "grade" not in table.column_names:
        return table
    code, values = codes(_single(table.column("grade")))
    parsed: list[int | None] = []
    unknown, missing = np.zeros(len(values) + 1, dtype=bool), np.zeros(len(values) + 1, dtype=bool)
    missing[-1] = True  # the code −1 of a null
    for index, value in enumerate(values):
        grade = None
        if _is_nothing(value):
            missing[index] = True
        else:
            try:
                grade = scale.parse(value) if scale is not None else _integer_grade(value)
            except GradeError:
                unknown[index] = True
        parsed.append(grade)
    hint = f"an integer from 0 to {_LARGEST:,}, or names with a scale"
    if scale is not None:
        hint = scale.told()
    findings.add(unknown[code], "unknown grade", lambda row: f"{values[code[row]]!r}, expected {hint}")
    if required:
        findings.add(missing[code], "grade is missing")
    grades = pa.array([*parsed, None], type=pa.int64()).take(pa.array(code % (len(values) + 1)))
    return table.set_column(table.column_names.index("grade"), "grade", grades)


def check_weights(table: pa.Table, findings: Findings) -> pa.Table:
    """Weights as float64; marks rows whose weight is no finite number from 0 up. A null stays (it counts as 1)."""
    if "weight" not in table.column_names:
        return table
    code, values = codes(_single(table.column("weight")))
    numbers = np.array([_number(value) for value in values] + [1.0])
    unusable = np.array([not (math.isfinite(number) and number >= 0) for number in numbers])
    findings.add(unusable[code], "weight is not a number from 0 up", lambda row: repr(values[code[row]]))
    weights = pa.array(numbers[code], mask=code < 0)
    return table.set_column(table.column_names.index("weight"), "weight", weights)


def find_duplicates(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that stand more than once: the same query text and item text.

    Two items of different ``item_id`` are different items even if their texts agree (shops list the same
    title twice), so they neither conflict nor repeat.

    Args:
        table: n checked rows.

    Returns:
        conflicting: bool (n,), every row of a pair that was given different grades; nobody knows which is right.
        repeated: bool (n,), rows that repeat an earlier one with the same grade (and the same ``split``: a
            pair that stands in two splits is a leak, and merging it would hide that).
    """
    n = table.num_rows
    pair = _combine(codes(table.column("query"))[0], codes(table.column("item"))[0])
    conflicting = np.zeros(n, dtype=bool)
    if "item_id" in table.column_names:
        pair = _combine(pair, codes(table.column("item_id"))[0] + 1)
    grade = np.full(n, -1)
    if "grade" in table.column_names and n:
        grade = pc.fill_null(table.column("grade"), -1).to_numpy()
        graded = grade >= 0
        low, high = np.full(pair.max() + 1, np.iinfo(np.int64).max), np.full(pair.max() + 1, -1)
        np.minimum.at(low, pair[graded], grade[graded])
        np.maximum.at(high, pair[graded], grade[graded])
        conflicting = graded & (low[pair] < high[pair])
    key = _combine(pair, grade + 1)
    if "split" in table.column_names:
        key = _combine(key, codes(table.column("split"))[0] + 1)
    repeated = np.ones(n, dtype=bool)
    repeated[np.unique(key, return_index=True)[1]] = False
    return conflicting, repeated & ~conflicting


def _combine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Dense codes of the pairs (first[i], second[i])."""
    if not len(first):
        return first
    return np.unique(first * (int(second.max()) + 1) + second, return_inverse=True)[1].reshape(-1)


def _single(column: pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """The column with lists and structures as text, which no grade or weight is."""
    dictionary = pa.types.is_dictionary(column.type)
    return nested_as_json(column) if pa.types.is_nested(column.type) and not dictionary else column


def _is_nothing(value: Any) -> bool:
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, float) and math.isnan(value))


def _integer_grade(value: Any) -> int:
    number = _number(value)
    if not (math.isfinite(number) and number == int(number) and 0 <= number <= _LARGEST):
        raise GradeError(f"grade {value!r} is not an integer from 0 up")
    return int(number)


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan

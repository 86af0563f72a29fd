"""Checks at the door of the evaluation, so that a wrong array is named and not averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darl.errors import DataError, EmptySplitError, GradeError


def checked_grades(grades: Sequence[int] | np.ndarray, size: int, *, what: str = "grades") -> np.ndarray:
    """(n,) int64 in 0 … size − 1.

    Raises:
        EmptySplitError: n = 0. GradeError: not whole numbers of the scale. DataError: not one-dimensional.
    """
    values = np.asarray(grades)
    if values.ndim != 1:
        raise DataError(f"{what} must be one-dimensional, got shape {values.shape}")
    if len(values) == 0:
        raise EmptySplitError(f"there are no {what} to evaluate")
    try:
        whole = values.astype(np.int64)
    except (TypeError, ValueError) as error:
        raise GradeError(f"{what} must be whole numbers", mend="turn names into grades first") from error
    if (whole != values).any() or whole.min() < 0 or whole.max() >= size:
        raise GradeError(f"{what} must be whole numbers from 0 to {size - 1}")
    return whole


def checked_probabilities(probabilities: np.ndarray, n: int, size: int | None = None) -> np.ndarray:
    """(n, K) float64, finite, in [0, 1], rows that sum to 1 within 0.01 (room for half-precision outputs).

    Raises:
        DataError: anything else; the first bad row is named.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if p.ndim != 2 or len(p) != n or p.shape[1] < 2 or size not in (None, p.shape[1]):
        raise DataError(f"probabilities must have shape ({n}, {size or 'K ≥ 2'}), got {p.shape}")
    bad = ~(np.isfinite(p).all(axis=1) & (p >= 0).all(axis=1) & (np.abs(p.sum(axis=1) - 1) <= 0.01))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{int(bad.sum())} rows are no probabilities, the first is {p[row].tolist()}",
            where=f"row {row}",
            mend="give the softmax of the logits: finite, not negative, sum 1",
        )
    return p


def checked_groups(groups: Sequence | np.ndarray | None, n: int) -> np.ndarray:
    """(n,) codes 0 … Q − 1 of the query of each pair; None makes every pair its own query.

    Raises:
        DataError: not n of them.
    """
    if groups is None:
        return np.arange(n)
    values = np.asarray(groups)
    if values.shape != (n,):
        raise DataError(f"groups must name the query of each of the {n} pairs, got shape {values.shape}")
    return np.unique(values, return_inverse=True)[1]

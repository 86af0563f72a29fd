"""Checks of features, grades and parameters, each with a named error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from darl.errors import DataError, GradeError, RecipeError

Features = np.ndarray | torch.Tensor | Sequence[Sequence[float]]


def check_shape(features: Features, *, where: str, width: int | None = None) -> np.ndarray | torch.Tensor:
    """``features`` as a matrix (n, d) with d = ``width``, not yet copied or read.

    Raises:
        DataError: not a matrix of numbers, no column, or another number of columns.

    >>> check_shape([[1.0, 2.0]], where="knn", width=3)
    Traceback (most recent call last):
    darl.errors.DataError: knn: features have 2 columns, but the detector was fitted on 3
      mend: take the features from the same model, layer and pooling as at the fit
    """
    matrix = features if isinstance(features, np.ndarray | torch.Tensor) else np.asarray(features)
    numeric = isinstance(matrix, torch.Tensor) or matrix.dtype.kind in "fiu"
    if matrix.ndim != 2 or not numeric or matrix.shape[1] == 0:
        raise DataError(f"features must be numbers of shape (n, d), got shape {tuple(matrix.shape)}", where=where)
    if width is not None and matrix.shape[1] != width:
        raise DataError(
            f"features have {matrix.shape[1]} columns, but the detector was fitted on {width}",
            where=where,
            mend="take the features from the same model, layer and pooling as at the fit",
        )
    return matrix


def check_values(rows: np.ndarray | torch.Tensor, *, where: str, first_row: int = 0) -> np.ndarray:
    """``rows`` (n, d) as contiguous float32 in memory.

    Raises:
        DataError: a value that is NaN, infinite, or infinite in float32; the rows are numbered from
            ``first_row``.
    """
    if isinstance(rows, torch.Tensor):
        rows = rows.detach().to(device="cpu", dtype=torch.float32).numpy()
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(rows, dtype=np.float32)
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        shown = ", ".join(str(first_row + row) for row in broken[:5]) + (" …" if len(broken) > 5 else "")
        raise DataError(
            f"features of {len(broken)} pairs are NaN or infinite, rows {shown}",
            where=where,
            mend="look for empty texts in these rows, or run the model in bfloat16 or float32 instead of float16",
        )
    return values


def check_grades(grades: ArrayLike | torch.Tensor, n: int, *, where: str) -> np.ndarray:
    """``grades`` as (n,) int64.

    Raises:
        GradeError: another length, or not integers.
    """
    labels = grades.detach().cpu().numpy() if isinstance(grades, torch.Tensor) else np.asarray(grades)
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise GradeError(f"grades must be {n} integers, got {labels.dtype} of shape {labels.shape}", where=where)
    return labels.astype(np.int64)


def check_integer(name: str, value: Any, *, where: str, at_least: int) -> int:
    """``value`` as an int no smaller than ``at_least``, else RecipeError."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < at_least:
        raise RecipeError(f"must be an integer ≥ {at_least}, got {value!r}", where=f"{where}.{name}")
    return int(value)


def check_positive(name: str, value: Any, *, where: str) -> float:
    """``value`` as a finite float > 0, else RecipeError."""
    number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number > 0):
        raise RecipeError(f"must be a number > 0, got {value!r}", where=f"{where}.{name}")
    return number


def check_flag(name: str, value: Any, *, where: str) -> bool:
    """``value`` as True or False, else RecipeError."""
    if not isinstance(value, bool | np.bool_):
        raise RecipeError(f"must be true or false, got {value!r}", where=f"{where}.{name}")
    return bool(value)

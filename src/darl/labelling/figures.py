"""The figures of two lists of grades: how often they are the same, beyond chance, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from darl.decisions.agreement import accuracy, qwk

_Z = 1.959964  # the 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Agreement:
    """How often two lists of grades agree.

    Attributes:
        n: pairs with a grade on both sides.
        share: of them with the same grade; low, high: its 95 % Wilson interval.
        kappa: Cohen's, unweighted. qwk: quadratic weighted kappa. NaN where chance alone agrees throughout.
    """

    n: int
    share: float
    low: float
    high: float
    kappa: float
    qwk: float


def agree(pairs: Sequence[tuple[Any, Any]], size: int) -> Agreement:
    """The figures of (one grade, the other) of n pairs, on a scale of ``size`` grades.

    >>> round(agree([(0, 0), (1, 1), (2, 1)], 3).share, 3)
    0.667
    """
    counts = np.zeros((size, size))
    for truth, said in pairs:
        counts[truth, said] += 1
    n = len(pairs)
    low, high = wilson(int(np.trace(counts)), n)
    return Agreement(
        n, float(accuracy(counts)), low, high, float(cohen_kappa(counts)), float(qwk(counts)) if n else math.nan
    )


def cohen_kappa(confusion: np.ndarray) -> np.ndarray:
    """κ = (p_o − p_e) / (1 − p_e) (Cohen 1960) of confusions, (…, K, K) → (…,); NaN where p_e = 1, or of none.

    >>> round(cohen_kappa(np.array([[20, 5], [10, 15]])).item(), 6)
    0.4
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        total = confusion.sum(axis=(-2, -1))
        seen = np.trace(confusion, axis1=-2, axis2=-1) / total
        chance = (confusion.sum(axis=-2) * confusion.sum(axis=-1)).sum(axis=-1) / total.astype(np.float64) ** 2
        return np.where(chance < 1, (seen - chance) / (1 - chance), np.nan)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share hits / n (Wilson 1927); NaN for n = 0.

    >>> tuple(round(end, 4) for end in wilson(9, 10))
    (0.5958, 0.9821)
    """
    if n == 0:
        return math.nan, math.nan
    share, z2 = hits / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def finite(value: Any) -> Any:
    """Fit for JSON: what is not defined (NaN) is None, in dictionaries and lists too.

    >>> finite({"kappa": math.nan, "n": [0]})
    {'kappa': None, 'n': [0]}
    """
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

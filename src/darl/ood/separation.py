"""How well scores separate in-distribution from out-of-distribution pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from darl.errors import DataError, EmptySplitError


def auroc(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """P(s_OOD > s_ID) + ½ · P(s_OOD = s_ID) for a random pair of each kind, in [0, 1]; chance is 0.5.

    Args:
        id_scores: (n,) scores of in-distribution pairs, larger = further out.
        ood_scores: (m,) scores of out-of-distribution pairs.

    Raises:
        EmptySplitError: one kind has no score.
        DataError: scores that are not a list of finite numbers.

    >>> auroc([0.1, 0.2, 0.3], [0.3, 0.9])
    0.9166666666666666
    """
    inside, outside = _checked(id_scores, "id_scores"), _checked(ood_scores, "ood_scores")
    ranks = rankdata(np.concatenate([inside, outside]))[len(inside) :]  # 1-based, ties at their mean
    wins = ranks.sum() - len(outside) * (len(outside) + 1) / 2
    return float(wins / (len(inside) * len(outside)))


def fpr_at_95_tpr(id_scores: ArrayLike, ood_scores: ArrayLike) -> float:
    """Share of OOD pairs that pass as ID at the threshold that at least 95 % of ID pairs pass, in [0, 1].

    As in the OOD literature, ID is the positive class: t is the least ID score with #{s_ID ≤ t} ≥ 0.95 · n,
    and the result #{s_OOD ≤ t} / m. Smaller is better.

    Args, Raises: as :func:`auroc`.

    >>> fpr_at_95_tpr(range(100), [50, 94, 95, 200])
    0.5
    """
    inside, outside = np.sort(_checked(id_scores, "id_scores")), _checked(ood_scores, "ood_scores")
    passing = -(-95 * len(inside) // 100)  # ⌈0.95 · n⌉ without rounding slips
    return float(np.mean(outside <= inside[passing - 1]))


def _checked(scores: ArrayLike, name: str) -> np.ndarray:
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{name} must be numbers") from None
    if values.ndim != 1:
        raise DataError(f"{name} must have shape (n,), got {values.shape}")
    if not len(values):
        raise EmptySplitError(f"{name} holds no score")
    if not np.isfinite(values).all():
        raise DataError(f"{name} holds NaN or infinite values")
    return values

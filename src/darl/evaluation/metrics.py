"""Metrics of graded predictions on labels and probabilities: pure functions, each with its formula.

n pairs, K grades. True grades (n,), probabilities (n, K), predicted grades (n,). A figure that is not defined
(no pair of the kind it needs) is NaN, never 0. Agreement of labels goes through the confusion, whose batched
formulas stand in `darl.decisions.agreement`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darl.decisions import agreement
from darl.errors import DataError
from darl.evaluation.checks import checked_grades, checked_probabilities

Labels = Sequence[int] | np.ndarray
NLL_FLOOR = 1e-12


def confusion(grades: Labels, predicted: Labels, size: int) -> np.ndarray:
    """Counts (K, K) int64, truth in rows, prediction in columns.

    Raises:
        DataError: lengths differ. GradeError: a grade outside 0 … K−1. EmptySplitError: no pair.

    >>> confusion([0, 0, 1, 2], [0, 1, 1, 2], 3).tolist()
    [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    """
    truth, guess = checked_grades(grades, size), checked_grades(predicted, size, what="predicted grades")
    if len(truth) != len(guess):
        raise DataError(f"{len(truth)} grades but {len(guess)} predicted grades")
    return np.bincount(truth * size + guess, minlength=size * size).reshape(size, size)


def accuracy(grades: Labels, predicted: Labels, size: int) -> float:
    """Share of pairs whose predicted grade is the true one."""
    return float(agreement.accuracy(confusion(grades, predicted, size)))


def macro_f1(grades: Labels, predicted: Labels, size: int) -> float:
    """Mean F1 over the grades that occur in truth or prediction (see `darl.decisions.agreement.macro_f1`).

    >>> round(macro_f1([0, 0, 1, 1], [0, 0, 1, 0], 3), 4)  # grade 2 occurs nowhere and is left out
    0.7333
    """
    return float(agreement.macro_f1(confusion(grades, predicted, size)))


def qwk(grades: Labels, predicted: Labels, size: int) -> float:
    """Quadratic weighted kappa (Cohen 1968), in [−1, 1]; NaN where truth and prediction are one same grade.

    >>> qwk([0, 1, 2, 2], [0, 1, 2, 1], 3)
    0.8
    """
    return float(agreement.qwk(confusion(grades, predicted, size)))


def ordinal_mae(grades: Labels, predicted: Labels, size: int) -> float:
    """Mean absolute distance |true − predicted|, in grades (0 … K−1).

    >>> ordinal_mae([0, 2], [2, 1], 3)
    1.5
    """
    return float(mae_of(confusion(grades, predicted, size)))


def mae_of(confusion: np.ndarray) -> np.ndarray:
    """The ordinal MAE of confusions, (…, K, K) → (…,), in grades."""
    rank = np.arange(confusion.shape[-1])
    with np.errstate(invalid="ignore"):
        cost = (confusion * np.abs(rank[:, None] - rank[None, :])).sum(axis=(-2, -1))
        return cost / confusion.sum(axis=(-2, -1))


def per_grade(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Precision, recall, F1 (float, NaN where 0/0) and support (true count) of each grade, each (K,).

    Precision is hits / predicted, recall hits / true; F1 = 2·hits / (true + predicted), NaN only where the grade
    occurs in neither.

    >>> {name: values.tolist() for name, values in per_grade(np.array([[3, 1], [0, 4]])).items()}
    {'precision': [1.0, 0.8], 'recall': [0.75, 1.0], 'f1': [0.857..., 0.888...], 'support': [4, 4]}
    """
    hits = np.diagonal(confusion).astype(np.float64)
    truth, guess = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore"):
        f1 = 2 * hits / (truth + guess)
        return {"precision": hits / guess, "recall": hits / truth, "f1": f1, "support": truth.astype(np.int64)}


def brier_rows(grades: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Σ_k (p_k − [k is true])² of each pair, (n,), in 0 … 2."""
    return ((probabilities - np.eye(probabilities.shape[1])[grades]) ** 2).sum(axis=1)


def brier(grades: Labels, probabilities: np.ndarray) -> float:
    """Brier score (Brier 1950), its multi-class form, 0 … 2: for K = 2 twice the binary one.

    >>> brier([0, 1], np.array([[1.0, 0.0], [0.5, 0.5]]))
    0.25
    """
    p = checked_probabilities(probabilities, len(grades))
    return float(brier_rows(checked_grades(grades, p.shape[1]), p).mean())


def nll_rows(grades: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """−log p of the true grade of each pair, (n,), in nats, p clipped to at least 1e-12."""
    return -np.log(np.maximum(probabilities[np.arange(len(grades)), grades], NLL_FLOOR))


def nll(grades: Labels, probabilities: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats; p is clipped to at least 1e-12, so one pair costs at most 27.6.

    >>> round(nll([0, 1], np.array([[1.0, 0.0], [0.5, 0.5]])), 4)
    0.3466
    """
    p = checked_probabilities(probabilities, len(grades))
    return float(nll_rows(checked_grades(grades, p.shape[1]), p).mean())


def auc_thresholds(grades: Labels, probabilities: np.ndarray) -> np.ndarray:
    """AUC of the score P(grade ≥ k) for "the grade is ≥ k", for k = 1 … K−1: (K−1,).

    The share of pairs-of-pairs (one at or above k, one below) ranked rightly, a tie as half (Hanley and McNeil
    1982). NaN where either side is empty.

    >>> auc_thresholds([0, 1, 1, 0], np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.8, 0.2]])).tolist()
    [0.875]
    """
    p = checked_probabilities(probabilities, len(grades))
    truth = checked_grades(grades, p.shape[1])
    one = np.ones((1, len(truth)))
    return np.array([RankedThreshold(truth, p, k).auc(one)[0] for k in range(1, p.shape[1])])


class RankedThreshold:
    """Pairs sorted once by P(grade ≥ k), so that the AUC under many weightings is a few vector operations."""

    def __init__(self, grades: np.ndarray, probabilities: np.ndarray, k: int) -> None:
        score = probabilities[:, k:].sum(axis=1)
        self.order = np.argsort(score, kind="stable")
        self.positive = (grades[self.order] >= k).astype(np.float64)
        ranked = score[self.order]
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] > ranked[:-1]])  # first of each run of ties

    def auc(self, weights: np.ndarray) -> np.ndarray:
        """AUC (B,) for weights of the pairs **in the order of `self.order`**, (B, n)."""
        above = weights * self.positive
        below = weights - above
        if len(self.starts) < weights.shape[1]:
            above, below = np.add.reduceat(above, self.starts, 1), np.add.reduceat(below, self.starts, 1)
        beaten = np.cumsum(below, axis=1)
        total = above.sum(axis=1) * beaten[:, -1]
        beaten -= below / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, np.einsum("bn,bn->b", above, beaten) / total, np.nan)

"""Agreement of graded labels: figures of a confusion (…, K, K) with the truth in rows, vectorised over the front axes.

They stand here, below `darl.evaluation`, because choosing a rule needs them; `darl.evaluation.metrics` offers
the same figures on labels.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def accuracy(confusion: np.ndarray) -> np.ndarray:
    """Share on the diagonal, (…, K, K) → (…,); NaN for an empty confusion.

    >>> accuracy(np.array([[3.0, 1.0], [0.0, 4.0]])).item()
    0.875
    """
    with np.errstate(invalid="ignore"):
        return np.trace(confusion, axis1=-2, axis2=-1) / confusion.sum(axis=(-2, -1))


def macro_f1(confusion: np.ndarray) -> np.ndarray:
    """Mean over grades of F1_k = 2·hits_k / (true_k + predicted_k), (…, K, K) → (…,).

    Convention: the mean runs over the grades that occur in truth **or** prediction (what scikit-learn's
    `f1_score(average="macro")` does without `labels`). A grade in only one of the two counts as 0;
    a grade in neither is left out. NaN for an empty confusion.

    >>> round(macro_f1(np.array([[3.0, 1.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 0.0]])).item(), 4)
    0.873
    """
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    mass = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    with np.errstate(invalid="ignore"):
        return (2 * hits / np.where(mass > 0, mass, 1)).sum(axis=-1) / (mass > 0).sum(axis=-1)


def qwk(confusion: np.ndarray) -> np.ndarray:
    """Quadratic weighted kappa (Cohen 1968), (…, K, K) → (…,), in [−1, 1]: 1 − Σ w·O / Σ w·E.

    O is the confusion, E = rows × columns / n the one expected by chance, w_ij = (i − j)². NaN where truth
    and prediction are one and the same grade throughout: chance alone agrees there, kappa says nothing.

    >>> qwk(np.array([[2.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 2.0]])).item()
    1.0
    """
    rank = np.arange(confusion.shape[-1])
    cost = (rank[:, None] - rank[None, :]).astype(np.float64) ** 2
    truth, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    observed = (confusion * cost).sum(axis=(-2, -1))
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = ((truth @ cost) * predicted).sum(axis=-1) / truth.sum(axis=-1)
        return np.where(chance > 0, 1 - observed / np.where(chance > 0, chance, 1), np.nan)


def macro_f1_qwk(confusion: np.ndarray) -> np.ndarray:
    """Mean of macro-F1 and QWK, (…, K, K) → (…,); macro-F1 alone where kappa is undefined: one grade, and every pair
    given it.

    >>> macro_f1_qwk(np.array([[9.0, 0.0], [0.0, 0.0]])).item(), macro_f1_qwk(np.array([[2.0, 0.0], [0.0, 2.0]])).item()
    (1.0, 1.0)
    """
    f1, kappa = macro_f1(confusion), qwk(confusion)
    return np.where(np.isnan(kappa), f1, (f1 + kappa) / 2)


OBJECTIVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "macro_f1_qwk": macro_f1_qwk,
    "macro_f1": macro_f1,
    "qwk": qwk,
    "accuracy": accuracy,
}

"""Several models' probabilities as one: the linear opinion pool, its weights those likeliest on graded pairs.

    p(grade) = Σ_m w_m · p_m(grade),   w ≥ 0,   Σ_m w_m = 1

After Stone 1961 (*The opinion pool*). The log likelihood is concave in w, so that there is one best pool, and a model
that adds nothing to the others gets the weight nought.
"""

from __future__ import annotations

import numpy as np

STEPS = 2000
SMALL = 1e-9


def pool_weights(grades: np.ndarray, opinions: np.ndarray) -> np.ndarray:
    """The weights under which the grades are likeliest, by expectation maximisation.

    Args:
        grades: (n,) integers. opinions: (M, n, K) probabilities, of M models.

    Returns:
        (M,), at least 0, with the sum 1.

    >>> sure, wrong = [[0.9, 0.1], [0.1, 0.9]], [[0.2, 0.8], [0.8, 0.2]]
    >>> pool_weights(np.array([0, 1]), np.array([sure, wrong])).round(3).tolist()
    [1.0, 0.0]
    """
    said = np.maximum(opinions[:, np.arange(len(grades)), grades].astype(np.float64), 1e-12)  # (M, n)
    weights = np.full(len(said), 1 / len(said))
    for _ in range(STEPS):
        owed = weights[:, None] * said
        new = (owed / owed.sum(0)).mean(1)
        if np.abs(new - weights).max() < SMALL:
            break
        weights = new
    return weights


def pooled(opinions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The pool's probabilities, (n, K), of opinions (M, n, K) and weights (M,)."""
    return np.tensordot(weights, opinions, axes=1)


def vote(choices: np.ndarray, opinions: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The grade with the most weight behind it, (n,); between equals the one that the pool holds likelier.

    Each model's own rule made its choice, so that a grade that is seldom likeliest is still given.

    Args:
        choices: (M, n) grades. opinions: (M, n, K). weights: (M,).

    >>> opinions = np.array([[[0.6, 0.4]], [[0.3, 0.7]]])
    >>> vote(np.array([[0], [1]]), opinions, np.array([0.5, 0.5])).tolist()
    [1]
    """
    of_grade = (choices[..., None] == np.arange(opinions.shape[-1])).astype(np.float64)
    return (pooled(of_grade, weights) + 1e-6 * pooled(opinions, weights)).argmax(1)

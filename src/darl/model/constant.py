"""A bias for a head that has none: the direction in which the features of all pairs are 1.

The head of a causal LLM in transformers is a linear layer without bias, so no number could be added to a grade's logit.
But the features it reads nearly share one large component. With H the features of n pairs, (n, d),

    u = argmin_u  mean_i (u·h_i − 1)² + λ · mean(h²) · ‖u‖²

is a direction with u·h ≈ 1 for every pair, and adding b_k·u to row k of the head adds b_k to the grade's logit.
"""

from __future__ import annotations

import numpy as np

RIDGE = 1e-2  # λ


def constant_direction(features: np.ndarray, *, ridge: float = RIDGE) -> tuple[np.ndarray, float]:
    """u, (d,), and how far u·h is from 1 on pairs that u was not fitted on (root mean square, two halves in turn).

    Args:
        features: what the head reads, (n, d), n ≥ 2.

    >>> rng = np.random.default_rng(0); h = rng.normal(size=(400, 8)) * 0.1 + np.array([3.0] + [0.0] * 7)
    >>> u, error = constant_direction(h)
    >>> bool(np.abs(h @ u - 1).max() < 0.15), bool(error < 0.05)
    (True, True)
    """
    h = np.asarray(features, dtype=np.float64)
    half = np.arange(len(h)) % 2 == 0
    off = np.concatenate([h[half] @ _fitted(h[~half], ridge) - 1, h[~half] @ _fitted(h[half], ridge) - 1])
    return _fitted(h, ridge), float(np.sqrt(np.mean(off**2)))


def _fitted(h: np.ndarray, ridge: float) -> np.ndarray:
    gram = h.T @ h / len(h)
    gram[np.diag_indices_from(gram)] += ridge * np.mean(h**2) + np.finfo(np.float64).tiny
    return np.linalg.lstsq(gram, h.mean(axis=0), rcond=None)[0]

"""Covariance for many dimensions and few rows: moments in chunks, shrinkage, and the whitening that
follows.
"""

from __future__ import annotations

import numpy as np

CHUNK = 8192
SMALLEST = 1e-6  # of the mean eigenvalue: a direction with less spread counts as having this much


def shrunk_covariance(residuals: np.ndarray, shrinkage: float | None = None) -> np.ndarray:
    """(1 − ρ) · S + ρ · (tr S / d) · I with S = XᵀX / n, in float64: (n, d) centred rows → (d, d).

    Source: Ledoit & Wolf 2004, *A well-conditioned estimator for large-dimensional covariance matrices*.
    Their optimal ρ needs only XᵀX and Σ_i ‖x_i‖⁴, so one pass in chunks is enough: no copy of X is made.

    Args:
        residuals: (n, d), centred.
        shrinkage: ρ in [0, 1]; None for Ledoit and Wolf's.

    >>> X = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]])
    >>> shrunk_covariance(X, shrinkage=0.0).tolist(), shrunk_covariance(X, shrinkage=1.0).tolist()
    ([[0.5, 0.0], [0.0, 4.5]], [[2.5, 0.0], [0.0, 2.5]])
    """
    n, d = residuals.shape
    gram, fourth = np.zeros((d, d)), 0.0
    for start in range(0, n, CHUNK):
        chunk = residuals[start : start + CHUNK].astype(np.float64)
        gram += chunk.T @ chunk
        fourth += float((np.square(chunk).sum(axis=1) ** 2).sum())
    covariance = gram / n
    scale = float(np.trace(covariance)) / d
    rate = _optimal_rate(covariance, scale, fourth, n) if shrinkage is None else shrinkage
    covariance *= 1 - rate
    covariance[np.diag_indices(d)] += rate * scale
    return covariance


def whitening(covariance: np.ndarray) -> np.ndarray:
    """W (d, d) float32 with ‖xW‖² = xᵀ Σ⁻¹ x.

    Eigenvalues below 10⁻⁶ of their mean are raised to it, so constant columns, d > n and a single row have a
    finite distance; without any spread it is the Euclidean one.

    >>> whitening(np.diag([4.0, 1.0])).__abs__().sum(axis=1).tolist()
    [0.5, 1.0]
    """
    values, vectors = np.linalg.eigh(covariance)
    mean = float(values.mean())
    values = np.maximum(values, SMALLEST * mean) if mean > 0 else np.ones_like(values)
    return (vectors / np.sqrt(values)).astype(np.float32)


def _optimal_rate(covariance: np.ndarray, scale: float, fourth: float, n: int) -> float:
    """Ledoit and Wolf's ρ: the sampling noise of S over its spread around scale · I, per entry of the
    diagonal.
    """
    d = len(covariance)
    squared = float(np.square(covariance).sum())
    spread = squared / d - scale**2  # ‖S − scale · I‖² / d
    noise = min(max((fourth / n - squared) / (d * n), 0.0), spread)
    return noise / spread if spread > 0 else 0.0

"""Stage 4, calibration: one temperature, on dev, after interpolation.

    T* = argmin_T  Σ_i w_i · −log softmax(z_i / T)[y_i]

(Guo et al. 2017). Probing and interpolating change the size of the logits, so this comes last (Tomihari
& Sato 2024). The temperature is folded into the head.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from darl.errors import DataError, EmptySplitError

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: np.ndarray, grades: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The temperature with the least weighted NLL; the NLL is convex in 1/T, so it is found exactly.

    Args:
        logits: (n, K). grades: (n,). weights: (n,) or None.

    Raises:
        EmptySplitError: no pair. DataError: logits that are not finite.

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(4000, 3)) * 2
    >>> p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    >>> y = np.array([rng.choice(3, p=row) for row in p])
    >>> 2.8 < fit_temperature(z * 3, y) < 3.2
    True
    """
    if len(grades) == 0:
        raise EmptySplitError("there is no dev pair to calibrate on")
    z = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(z).all():
        raise DataError("the model's logits are not finite", mend="lower the learning rate, or train in float32")
    w = np.ones(len(z)) if weights is None else np.asarray(weights, dtype=np.float64)

    def nll(log_inverse: float) -> float:
        picked = log_softmax(z * np.exp(log_inverse), axis=1)[np.arange(len(z)), grades]
        return float(-(w * picked).sum() / w.sum())

    bounds = (-np.log(HIGHEST), -np.log(LOWEST))
    found = minimize_scalar(nll, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    if nll(0.0) <= found.fun:  # type: ignore[attr-defined]
        return 1.0  # the search stops within a tolerance; calibrating must never make dev worse
    return float(np.exp(-found.x))  # type: ignore[attr-defined]

"""Stage 4, calibration, after interpolation: one temperature, and a shift for each grade where dev says it pays.

    T*     = argmin_T      Σ_i w_i · −log softmax(z_i / T)[y_i]
    T*, b* = argmin_{T, b} Σ_i w_i · −log softmax(z_i / T + b)[y_i],   b_0 = 0

The first is temperature scaling, the second its bias-corrected form (Guo et al. 2017; Alexandari et al. 2020, *Maximum
Likelihood with Bias-Corrected Calibration*). A loss with soft targets leaves grades too likely or too rare, and shifted
traffic mixes them differently: no temperature mends either. Probing and interpolating change the size of the logits, so
this comes last (Tomihari & Sato 2024). Both are folded into the head.

Few dev queries say little, and the least NLL on them is no calibration (ten queries of Chinese health search made a
calm model's ECE .13 from .02). So both are held near 1 and 0 by a Gaussian prior, which n independent pairs outvote:

    + [ (ln T)² / (2·½²) + Σ_k (b_k − b̄)² / (2·½²) ] / n

where n is what dev is worth: pairs of a query are alike (Kish 1965, *Survey Sampling*; :func:`evidence_of`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

from darl.errors import DataError, EmptySplitError

LOWEST, HIGHEST = 0.05, 20.0
FOLDS = 5
RIDGE = 1e-4  # on b²: a grade that next to nobody has must not be shifted without end
SPREAD = 0.5  # of ln T and of the shifts beforehand: T within .6 to 1.65 in two of three models
ALIKE = 0.2  # correlation of what two pairs of one query say; between none (0) and a query counting as one pair (1)


@dataclass(frozen=True)
class Scaling:
    """z ↦ z / T + b.

    Attributes:
        temperature: T. shifts: b, (K,), or empty for none.

    >>> Scaling(2.0, (0.0, 1.0)).of(np.array([[4.0, 2.0]])).tolist()
    [[2.0, 2.0]]
    """

    temperature: float = 1.0
    shifts: tuple[float, ...] = ()

    def of(self, logits: np.ndarray) -> np.ndarray:
        """(n, K) → (n, K)."""
        return logits / self.temperature + (np.array(self.shifts) if self.shifts else 0.0)


@dataclass(frozen=True)
class DevLogits:
    """What calibration is fitted on: logits (n, K), grades (n,), and the query of each pair, (n,)."""

    logits: np.ndarray
    grades: np.ndarray
    groups: np.ndarray


def calibrate(
    known: DevLogits, shifted: DevLogits | None, *, share: float, shifts: bool | None, seed: int
) -> tuple[Scaling, str]:
    """The scaling of a model, and why in words.

    Args:
        known: dev_id. shifted: dev_ood, or None.
        share: weight of dev_ood; of dev_id 1 − share.
        shifts: whether each grade gets a shift; None lets dev choose: fitted on all folds of queries but one and
            judged on that one, the shifts must not cost NLL.

    Raises:
        EmptySplitError: no pair. DataError: logits that are not finite.
    """
    both = [(known, 1.0)] if shifted is None else [(known, 1 - share), (shifted, share)]
    parts = [(part, weight) for part, weight in both if weight > 0]  # with a fold of weights 0 nothing can be fitted
    logits = np.concatenate([part.logits for part, _ in parts])
    grades = np.concatenate([part.grades for part, _ in parts])
    weights = np.concatenate([np.full(len(part.grades), w / max(1, len(part.grades))) for part, w in parts])
    groups = np.concatenate(
        [np.unique(part.groups, return_inverse=True)[1] + n * 10**9 for n, (part, _) in enumerate(parts)]
    )
    evidence = evidence_of(weights, groups) if len(groups) else np.inf
    alone = Scaling(fit_temperature(logits, grades, weights, evidence=evidence))
    K = logits.shape[1]
    if shifts is False:
        return alone, "a temperature alone: by recipe, or the rule is fixed, or the head has no bias"
    if len(np.unique(grades)) < K:
        return alone, "a temperature alone: dev lacks a grade"
    if shifts is None:
        gain, error = _gain(logits, grades, weights, groups, seed)
        said = f"{gain:+.4f} nats cross-fitted (standard error {error:.4f})"
        if not gain > 0:  # asking for a clear gain left calibration under shift worse (experiment 33)
            return alone, f"a temperature alone: a shift for each grade brings {said}"
        return fit_shifts(logits, grades, weights, evidence=evidence), f"a shift for each grade: {said}"
    return fit_shifts(logits, grades, weights, evidence=evidence), "a shift for each grade, by recipe"


def _gain(
    logits: np.ndarray, grades: np.ndarray, weights: np.ndarray, groups: np.ndarray, seed: int
) -> tuple[float, float]:
    """How much NLL the shifts gain on held-out queries, and the standard error over queries; (0, ∞) for one query."""
    query = np.unique(groups, return_inverse=True)[1]
    folds = min(FOLDS, int(query.max()) + 1)
    if folds < 2:
        return 0.0, np.inf
    fold = (np.random.default_rng(seed).permutation(int(query.max()) + 1) % folds)[query]
    gains = np.zeros(len(grades))
    for k in range(folds):
        fit, held = fold != k, fold == k
        seen = (logits[fit], grades[fit], weights[fit])
        evidence = evidence_of(weights[fit], groups[fit])
        ways = (Scaling(fit_temperature(*seen, evidence=evidence)), fit_shifts(*seen, evidence=evidence))
        losses = [-log_softmax(way.of(logits[held]), axis=1)[np.arange(held.sum()), grades[held]] for way in ways]
        gains[held] = losses[0] - losses[1]
    total = weights.sum()
    mean = float((weights * gains).sum() / total)
    over = np.bincount(query, weights * (gains - mean))
    return mean, float(np.sqrt((over**2).sum()) / total)


def evidence_of(weights: np.ndarray, groups: np.ndarray) -> float:
    """How many independent pairs weighted pairs of these queries are worth.

    n = (Σ_i w_i)² / [ (1 − ρ)·Σ_i w_i² + ρ·Σ_q (Σ_{i ∈ q} w_i)² ], ρ = 0.2: with equal weights and m pairs for each
    query it is pairs / (1 + (m − 1)·ρ), the effective sample size of Kish (1965).

    Args:
        weights: (n,), not all 0. groups: the query of each pair, (n,).

    >>> round(evidence_of(np.ones(60), np.repeat(np.arange(10), 6)), 6)
    30.0
    """
    w = np.asarray(weights, dtype=np.float64)
    together = np.bincount(np.unique(groups, return_inverse=True)[1], w)
    return float(w.sum() ** 2 / ((1 - ALIKE) * (w**2).sum() + ALIKE * (together**2).sum()))


def fit_shifts(
    logits: np.ndarray, grades: np.ndarray, weights: np.ndarray | None = None, *, evidence: float = np.inf
) -> Scaling:
    """T and b with the least weighted NLL, found together.

    Args:
        logits: (n, K). grades: (n,). weights: (n,) or None.
        evidence: how many independent pairs they are worth, which the prior is weighed against; ∞ for no prior.

    >>> rng = np.random.default_rng(0); z = rng.normal(size=(4000, 3)); b = np.array([0.0, 1.0, -1.0])
    >>> p = np.exp(z / 2 + b); p /= p.sum(1, keepdims=True)
    >>> found = fit_shifts(z, np.array([rng.choice(3, p=row) for row in p]))
    >>> 1.6 < found.temperature < 2.4, bool(np.abs(np.array(found.shifts) - b).max() < 0.2)
    (True, True)
    """
    z, n, K = np.asarray(logits, dtype=np.float64), len(grades), np.shape(logits)[1]
    w = np.full(n, 1 / n) if weights is None else np.asarray(weights, dtype=np.float64) / np.sum(weights)
    hit = np.eye(K)[grades]

    held = 1 / (SPREAD**2 * evidence)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        b = np.r_[0.0, x[1:]]
        scaled, inverse, spread = z * x[0] + b, np.log(x[0]), b - b.mean()
        value = -(w * (log_softmax(scaled, axis=1) * hit).sum(axis=1)).sum() + RIDGE * (b**2).sum()
        value += held / 2 * (inverse**2 + (spread**2).sum())
        off = w[:, None] * (softmax(scaled, axis=1) - hit)
        along = off.sum(axis=0) + 2 * RIDGE * b + held * spread
        return float(value), np.r_[(off * z).sum() + held * inverse / x[0], along[1:]]

    start = np.r_[1 / fit_temperature(z, grades, w, evidence=evidence), np.zeros(K - 1)]
    bounds = [(1 / HIGHEST, 1 / LOWEST), *[(None, None)] * (K - 1)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Scaling(float(1 / found[0]), (0.0, *map(float, found[1:])))


def fit_temperature(
    logits: np.ndarray, grades: np.ndarray, weights: np.ndarray | None = None, *, evidence: float = np.inf
) -> float:
    """The temperature with the least weighted NLL; the NLL is convex in 1/T.

    Args:
        logits: (n, K). grades: (n,). weights: (n,) or None.
        evidence: how many independent pairs they are worth, which the prior is weighed against; ∞ for no prior.

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

    def loss(log_inverse: float) -> float:
        picked = log_softmax(z * np.exp(log_inverse), axis=1)[np.arange(len(z)), grades]
        return float(-(w * picked).sum() / w.sum() + log_inverse**2 / (2 * SPREAD**2 * evidence))

    bounds = (-np.log(HIGHEST), -np.log(LOWEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    if loss(0.0) <= found.fun:  # type: ignore[attr-defined]
        return 1.0  # the search stops within a tolerance; calibrating must never make dev worse
    return float(np.exp(-found.x))  # type: ignore[attr-defined]

"""Accuracy of the decided grades without labels, from calibrated confidence on known pairs.

    mean confidence   mean_i c_i, c the probability of the decided grade: right where the model is calibrated
    DoC               accuracy on known + (mean c on traffic − mean c on known)           Guillory et al. 2021
    ATC               share of traffic with c ≥ t, t so that on known pairs this is the accuracy    Garg et al. 2022

All three trust confidence, and a shift that the model does not notice is a shift that they do not notice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.drift.clustered import clustered_interval
from darl.evaluation.intervals import Interval
from darl.ood.known import KnownPairs


@dataclass(frozen=True)
class AccuracyEstimate:
    """The headline figure with its interval, the accuracy on known pairs, and the other estimates."""

    estimate: Interval
    known: float
    method: str
    others: dict[str, float]

    def to_dict(self) -> dict:
        return {**vars(self), "estimate": self.estimate.to_dict()}


def estimate_accuracy(
    known: KnownPairs, probabilities: np.ndarray, decided: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> AccuracyEstimate:
    """The estimates for one window, (n, K) and (n,); the interval is over its queries.

    >>> p = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.5, 0.5]])
    >>> d = p.argmax(1); g = np.arange(4)
    >>> known = KnownPairs(g, np.ones(4), p, d, np.array([0, 1, 1, 0]), np.ones((4, 2)))
    >>> found = estimate_accuracy(known, p, d, g)
    >>> found.known, found.others["ATC"], found.others["DoC"]
    (0.75, 0.75, 0.75)
    """
    there, here = _confidence(known.probabilities, known.decided), _confidence(probabilities, decided)
    right = float((known.decided == known.grades).mean())
    threshold = np.quantile(there, 1 - right, method="higher") if right < 1 else -np.inf
    values = {
        "DoC": here + (right - there.mean()),
        "ATC": (here >= threshold).astype(float),
        "mean confidence": here,
    }
    shown = clustered_interval(values[METHOD], groups, seed=seed)
    return AccuracyEstimate(shown, right, METHOD, {name: float(np.clip(v.mean(), 0, 1)) for name, v in values.items()})


METHOD = "DoC"
"""The headline; ``benchmarks/drift.py`` holds the three against true accuracy."""


def _confidence(probabilities: np.ndarray, decided: np.ndarray) -> np.ndarray:
    return probabilities[np.arange(len(decided)), decided].astype(np.float64)

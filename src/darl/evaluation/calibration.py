"""Calibration: how far the stated confidence is from the observed frequency.

**Confidence is the largest probability of a pair, and correctness is that its argmax is the true grade**,
whatever rule decided the grade: calibration is a property of the probabilities, not of the decision.

Each error here has the form Σ_b |Σ_{i in b} (hit_i − p_i)| / n, so sums of (hit − p) per bin suffice, and the
bootstrap only reweights them. A binned error is biased upwards on few pairs (noise within a bin never cancels),
so a small ECE of a few hundred pairs is compatible with perfect calibration, even where its interval leaves out 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.evaluation.checks import checked_grades, checked_probabilities

BINS = 15


def equal_width_bins(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin of each value of [0, 1]: [0, 1/b), [1/b, 2/b), … [1 − 1/b, 1]; any shape, int64."""
    edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, values, side="right")


def equal_mass_bins(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Bin of each value (n,), bins of about n/b values by quantiles; equal values share a bin."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right")


def confidence(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(largest probability, 1.0 where the argmax is the true grade), each (n,)."""
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == grades).astype(np.float64)


def error_of_sums(sums: np.ndarray, n: np.ndarray | float) -> np.ndarray:
    """Σ_b |sums_b| / n, (…, bins) → (…,); sums are Σ (hit − p) per bin."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.abs(sums).sum(axis=-1) / n


def _binned_error(hits: np.ndarray, p: np.ndarray, bins: np.ndarray) -> float:
    return float(error_of_sums(np.bincount(bins, weights=hits - p), len(p)))


def _checked(grades: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    p = checked_probabilities(probabilities, len(grades))
    return checked_grades(grades, p.shape[1]), p


def ece(grades: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error (Guo et al. 2017), top label, equal-width bins, in [0, 1].

    Σ_b n_b/n · |accuracy_b − mean confidence_b|. Grades (n,), probabilities (n, K).

    Raises:
        DataError, GradeError, EmptySplitError: arrays that cannot be evaluated.

    >>> ece(np.array([0, 0, 0, 1]), np.tile([0.75, 0.25], (4, 1)))
    0.0
    """
    truth, p = _checked(grades, probabilities)
    sure, hits = confidence(truth, p)
    return _binned_error(hits, sure, equal_width_bins(sure, bins))


def ece_by_chance(probabilities: np.ndarray, bins: int = BINS) -> float:
    """The ECE to expect of these confidences on so many pairs were each of them exactly right.

    1/n · Σ_b √(2/π · Σ_{i in b} p_i·(1 − p_i)), p the largest probability of a pair: within a bin the hits less the
    confidences are close to normal around 0, and |N(0, v)| has the mean √(2v/π). The floor that an :func:`ece` stands
    on (Bröcker and Smith 2007 draw it; here it is reckoned), which halves with four times the pairs.

    Args:
        probabilities: (n, K).

    >>> round(ece_by_chance(np.tile([0.5, 0.5], (1000, 1))), 4)
    0.0126
    """
    sure = checked_probabilities(probabilities, len(probabilities)).max(axis=1)
    return float(chance_of_sums(np.bincount(equal_width_bins(sure, bins), weights=sure * (1 - sure)), len(sure)))


def chance_of_sums(sums: np.ndarray, n: np.ndarray | float) -> np.ndarray:
    """Σ_b √(2/π · sums_b) / n, (…, bins) → (…,); sums are Σ p·(1 − p) per bin."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(2 / np.pi * sums).sum(axis=-1) / n


def adaptive_ece(grades: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """ECE in bins of equal mass (Nixon et al. 2019), top label: no bin is ruled by a handful of pairs."""
    truth, p = _checked(grades, probabilities)
    sure, hits = confidence(truth, p)
    return _binned_error(hits, sure, equal_mass_bins(sure, bins))


def classwise_ece(grades: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> float:
    """Classwise ECE (Kull et al. 2019): the mean over grades k of the binned |frequency of k − mean p_k|.

    >>> round(classwise_ece(np.array([0, 0, 1, 1]), np.tile([0.75, 0.25], (4, 1))), 4)
    0.25
    """
    truth, p = _checked(grades, probabilities)
    K = p.shape[1]
    hits = np.eye(K)[truth]
    return float(np.mean([_binned_error(hits[:, k], p[:, k], equal_width_bins(p[:, k], bins)) for k in range(K)]))


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram: its bounds, pairs, mean confidence and accuracy (NaN when empty)."""

    low: float
    high: float
    pairs: int
    confidence: float
    accuracy: float


def reliability(grades: np.ndarray, probabilities: np.ndarray, bins: int = BINS) -> list[ReliabilityBin]:
    """The table behind a reliability diagram (DeGroot and Fienberg 1983), equal-width bins, top label.

    >>> [row.pairs for row in reliability(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.85, 0.15], [0.3, 0.7]]), 5)]
    [0, 0, 0, 1, 2]
    """
    truth, p = _checked(grades, probabilities)
    sure, hits = confidence(truth, p)
    at = equal_width_bins(sure, bins)
    pairs = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = np.bincount(at, sure, bins) / pairs
        rates = np.bincount(at, hits, bins) / pairs
    edges = np.linspace(0.0, 1.0, bins + 1)
    return [
        ReliabilityBin(float(edges[b]), float(edges[b + 1]), int(pairs[b]), float(means[b]), float(rates[b]))
        for b in range(bins)
    ]

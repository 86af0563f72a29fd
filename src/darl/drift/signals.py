"""The statistics of drift, each the mean of per-pair values or a function of such means, all judged on one null.

unknown pairs     mean of −ln(1 − rank of the OOD score among known pairs): 1 for known traffic
unknown wording   the same of the novelty of queries, each query counted once, however many pairs it has
features          MMD² = ‖mean φ(traffic) − mean φ(known)‖², φ random Fourier features of a Gaussian kernel
                  (Gretton et al. 2012; Rahimi & Recht 2007)
grade mix         PSI = Σ_k (p_k − q_k)·ln(p_k / q_k), p and q the mean probabilities of grade k
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.drift.figures import Figures
from darl.drift.null import NullWindows, smallest_p
from darl.ood.known import KnownPairs
from darl.ood.ranks import smooth_ranks

FREQUENCIES = 128
WEIGHTS = {"pairs": 0.4, "wording": 0.4, "features": 0.1, "grades": 0.1}
"""Of the level: on dev sets a tenth of far pairs showed in the first two and hardly in the others, which are there for
shifts that make no pair far out."""
FLOOR = 1e-4  # of a share, so that a grade that nothing has does not make PSI infinite
HIGHEST_RANK = 99.9  # beyond it a rank among a few hundred known pairs is a guess


@dataclass(frozen=True)
class Signal:
    """One statistic of a window: its value, its mean over null windows, and its one-sided p."""

    name: str
    value: float
    expected: float
    p: float

    def to_dict(self) -> dict:
        return vars(self).copy()


class KnownSide:
    """What of the known pairs every window is compared with, computed once.

    >>> from darl.drift.null import NullWindows
    >>> bool(psi(np.array([0.5, 0.5]), np.array([0.9, 0.1])) > 0.8)
    True
    """

    def __init__(self, known: KnownPairs, seed: int = 0) -> None:
        self.known = known
        self._ood, self._novelty = np.sort(known.ood_scores), None
        if known.novelty is not None:
            self._novelty = np.sort(known.novelty)
        self._prepare_kernel(known.features.astype(np.float32), np.random.default_rng(seed))
        own = Figures(
            groups=known.groups,
            ood_scores=known.ood_scores,
            probabilities=known.probabilities,
            features=known.features,
            novelty=known.novelty,
        )
        self._columns = {name: self.values(name, own) for name in ("pairs", "wording", "features", "grades")}
        self.known_evidence = self.evidence(own)
        self.evidence_level = float(self.known_evidence.mean())

    def _prepare_kernel(self, features: np.ndarray, rng: np.random.Generator) -> None:
        self._centre = features.mean(axis=0)
        some = rng.choice(len(features), min(len(features), 500), replace=False)
        rows = features[some] - self._centre
        squared = (rows**2).sum(1)[:, None] + (rows**2).sum(1)[None] - 2 * rows @ rows.T
        distances = np.sqrt(np.maximum(squared[np.triu_indices(len(rows), 1)], 0))
        width = float(np.median(distances)) if len(distances) and np.median(distances) > 0 else 1.0
        self._frequencies = rng.normal(size=(features.shape[1], FREQUENCIES)).astype(np.float32) / width

    def values(self, name: str, figures: Figures) -> np.ndarray | None:
        """The per-pair values, (n, c), whose means a signal is made of; None where the figures lack them."""
        if name == "pairs" and figures.ood_scores is not None:
            return surprise(figures.ood_scores, self._ood)[:, None]
        if name == "wording" and figures.novelty is not None and self._novelty is not None:
            return surprise(figures.novelty, self._novelty)[:, None]
        if name == "features" and figures.features is not None:
            turned = (figures.features.astype(np.float32) - self._centre) @ self._frequencies
            return np.concatenate([np.cos(turned), np.sin(turned)], axis=1) / np.sqrt(FREQUENCIES)
        if name == "grades":
            return figures.probabilities
        return None

    def evidence(self, figures: Figures) -> np.ndarray:
        """How unlike known traffic each pair is, (n,): the mean surprise of its OOD score and its wording."""
        parts = [self.values(name, figures) for name in ("pairs", "wording")]
        found = [part[:, 0] for part in parts if part is not None]
        return np.mean(found, axis=0) if found else np.zeros(len(figures))

    def signals(self, figures: Figures, null: NullWindows) -> tuple[list[Signal], float]:
        """Every signal that the figures allow, and p of the smallest of their p's (1 without any)."""
        names, observed, drawn = [], [], []
        for name, known in self._columns.items():
            here = self.values(name, figures)
            if here is None or known is None:
                continue
            names.append(name)
            if name == "wording":
                observed.append(_query_mean(here[:, 0], figures.groups))
                drawn.append(null.query_means(known[:, 0]))
                continue
            base = known.mean(axis=0)
            observed.append(float(_statistic(name, here.mean(axis=0)[None], base)[0]))
            drawn.append(_statistic(name, null.means(known), base))
        if not names:
            return [], 1.0
        table = np.stack(drawn, axis=1)
        raw, joint = smallest_p(np.array(observed), table, np.array([WEIGHTS[name] for name in names]))
        found = [
            Signal(name, value, float(table[:, i].mean()), float(raw[i]))
            for i, (name, value) in enumerate(zip(names, observed, strict=True))
        ]
        return found, joint


def _query_mean(values: np.ndarray, groups: np.ndarray) -> float:
    _, first = np.unique(groups, return_index=True)
    return float(values[first].mean())


def _statistic(name: str, means: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(B, c) means and the known pairs' own, (c,) → (B,)."""
    if name == "pairs":
        return means[:, 0]
    if name == "features":
        return ((means - base) ** 2).sum(axis=1)
    return psi(means, base)


def psi(shares: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Population stability index, (…, K) and (K,) → (…,); 0.1 is often called small, 0.25 large.

    >>> psi(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    np.float64(0.0)
    """
    p, q = np.maximum(shares, FLOOR), np.maximum(base, FLOOR)
    return ((p - q) * np.log(p / q)).sum(axis=-1)


def surprise(scores: np.ndarray, known: np.ndarray) -> np.ndarray:
    """−ln(1 − rank), (n,) scores among (N,) sorted known ones: mean 1 for known pairs, 3 at the 95th percentile.

    >>> surprise(np.array([50.0]), np.arange(1.0, 100.0)).round(2).tolist()
    [0.69]
    """
    return -np.log1p(-np.minimum(smooth_ranks(scores, known), HIGHEST_RANK) / 100)

"""The statistics of drift, each the mean of values a pair or a query, all judged on one null.

s(x) = −ln(1 − rank of x among known pairs), the surprise: mean 1 and mean square 2 for known traffic.

pairs      mean of s² of the OOD score
items      mean of s² of how new the item's wording is
wording    mean over queries of s² of how new the query's wording is, however many pairs it has
queries    mean over queries of e², e = the mean over a query's pairs of ½·(s of the OOD score + s of its wording)
features   MMD² = ‖mean φ(traffic) − mean φ(known)‖², φ random Fourier features of a Gaussian kernel
           (Gretton et al. 2012; Rahimi & Recht 2007)
grades     PSI = Σ_k (p_k − q_k)·ln(p_k / q_k), p and q the mean probabilities of grade k

The powers make a few far pairs, or queries, outweigh many that are a little strange; docs/drift.md has what other
powers gave.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.drift.figures import Figures
from darl.drift.null import NullWindows, smallest_p
from darl.ood.known import KnownPairs
from darl.ood.ranks import smooth_ranks

FREQUENCIES = 128
WEIGHTS = {"pairs": 0.1, "items": 0.35, "wording": 0.1, "queries": 0.35, "features": 0.05, "grades": 0.05}
"""Of the level: on dev sets a tenth of far pairs showed in the first four and hardly in the others, which are there for
shifts that make no pair far out."""
READS = {"queries": ("pairs", "wording"), "pairs": ("pairs",), "items": ("items",), "wording": ("wording",)}
"""Which scores a signal is made of."""
QUERY_POWERS = {"wording": 1, "queries": 2}  # wording is squared pair by pair: it is one value a query
FLOOR = 1e-4  # of a share, so that a grade that nothing has does not make PSI infinite
HIGHEST_RANK = 99.9  # beyond it a rank among a few hundred known pairs is a guess


@dataclass(frozen=True)
class Signal:
    """One statistic of a window.

    Attributes:
        name: which. value: its own. expected: its mean over null windows. p: one-sided.
        deviations: (value − expected) in standard deviations over null windows.
    """

    name: str
    value: float
    expected: float
    p: float
    deviations: float = 0.0

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
        own = Figures(
            groups=known.groups,
            ood_scores=known.ood_scores,
            probabilities=known.probabilities,
            features=known.features,
            novelty=known.novelty,
            item_novelty=known.item_novelty,
        )
        self._sorted = {name: np.sort(values) for name, values in _scored(own).items()}
        self._prepare_kernel(known.features.astype(np.float32), np.random.default_rng(seed))
        self._columns = {name: self.values(name, own) for name in WEIGHTS}
        self.own = own

    def _prepare_kernel(self, features: np.ndarray, rng: np.random.Generator) -> None:
        self._centre = features.mean(axis=0)
        some = rng.choice(len(features), min(len(features), 500), replace=False)
        rows = features[some] - self._centre
        squared = (rows**2).sum(1)[:, None] + (rows**2).sum(1)[None] - 2 * rows @ rows.T
        distances = np.sqrt(np.maximum(squared[np.triu_indices(len(rows), 1)], 0))
        width = float(np.median(distances)) if len(distances) and np.median(distances) > 0 else 1.0
        self._frequencies = rng.normal(size=(features.shape[1], FREQUENCIES)).astype(np.float32) / width

    def _surprises(self, figures: Figures) -> dict[str, np.ndarray]:
        """s of each score that both sides have, (n,) each."""
        return {
            name: surprise(values, self._sorted[name])
            for name, values in _scored(figures).items()
            if name in self._sorted
        }

    def values(self, name: str, figures: Figures) -> np.ndarray | None:
        """The per-pair values, (n, c), that a signal is made of; None where the figures lack them."""
        if name == "queries":
            found = self.evidence(figures, name)
            return None if found is None else found[:, None]
        s = self._surprises(figures) if name in ("pairs", "items", "wording") else {}
        if name in s:
            return s[name][:, None] ** 2
        if name == "features" and figures.features is not None:
            turned = (figures.features.astype(np.float32) - self._centre) @ self._frequencies
            return np.concatenate([np.cos(turned), np.sin(turned)], axis=1) / np.sqrt(FREQUENCIES)
        return figures.probabilities if name == "grades" else None

    def evidence(self, figures: Figures, name: str) -> np.ndarray | None:
        """How far out each pair is by the scores that a signal reads, (n,): their mean surprise, 1 for known pairs.

        None where the figures, or the known pairs, lack those scores.
        """
        s = self._surprises(figures)
        parts = [s[one] for one in READS.get(name, ()) if one in s]
        return np.mean(parts, axis=0) if parts else None

    def signals(self, figures: Figures, null: NullWindows) -> tuple[list[Signal], float]:
        """Every signal that the figures allow, and p of the smallest of their p's (1 without any)."""
        sides = {
            name: (here, known)
            for name, known in self._columns.items()
            if known is not None and (here := self.values(name, figures)) is not None
        }
        if not sides:
            return [], 1.0
        names, observed, drawn = list(sides), [], {}
        for name, (here, known) in sides.items():
            if name in QUERY_POWERS:
                observed.append(_query_mean(here[:, 0], figures.groups, QUERY_POWERS[name]))
                drawn[name] = null.query_means(known[:, 0], QUERY_POWERS[name])
            else:
                observed.append(float(_statistic(name, here.mean(axis=0)[None], known.mean(axis=0))[0]))
        means = {name: known for name, (_, known) in sides.items() if name not in QUERY_POWERS}
        drawn |= _drawn_statistics(null, means)
        table = np.stack([drawn[name] for name in names], axis=1)
        raw, joint = smallest_p(np.array(observed), table, np.array([WEIGHTS[name] for name in names]))
        found = [
            Signal(
                name,
                value,
                float(table[:, i].mean()),
                float(raw[i]),
                float((value - table[:, i].mean()) / max(table[:, i].std(), 1e-12)),
            )
            for i, (name, value) in enumerate(zip(names, observed, strict=True))
        ]
        return found, joint


def leading(signals: list[Signal]) -> str:
    """The signal that tells which pairs moved: the smallest p for its share of the level, then the furthest out.

    >>> leading([Signal("pairs", 2.0, 2.0, 0.5), Signal("items", 9.0, 2.0, 0.001), Signal("grades", 1.0, 0.0, 0.001)])
    'items'
    """
    pointing = [one for one in signals if one.name in READS]
    best = min(pointing, key=lambda one: (one.p / WEIGHTS[one.name], -one.deviations), default=None)
    return "queries" if best is None else best.name


def _scored(figures: Figures) -> dict[str, np.ndarray]:
    """The scores that say how far out a pair is, by the signal made of each."""
    named = {"pairs": figures.ood_scores, "items": figures.item_novelty, "wording": figures.novelty}
    return {name: values for name, values in named.items() if values is not None}


def _query_mean(values: np.ndarray, groups: np.ndarray, power: float) -> float:
    _, dense = np.unique(groups, return_inverse=True)
    return float(((np.bincount(dense, values) / np.bincount(dense)) ** power).mean())


def _statistic(name: str, means: np.ndarray, base: np.ndarray) -> np.ndarray:
    """(B, c) means and the known pairs' own, (c,) → (B,)."""
    if name == "features":
        return ((means - base) ** 2).sum(axis=1)
    return psi(means, base) if name == "grades" else means[:, 0]


def _drawn_statistics(null: NullWindows, known: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each statistic of means over each drawn window, (B,), by one pass over the windows for all of them."""
    if not known:
        return {}
    ends = np.cumsum([values.shape[1] for values in known.values()])
    bases = [values.mean(axis=0) for values in known.values()]

    def statistics(means: np.ndarray) -> np.ndarray:
        parts = np.split(means, ends[:-1], axis=1)
        found = [_statistic(name, part, base) for name, part, base in zip(known, parts, bases, strict=True)]
        return np.stack(found, axis=1)

    table = null.means(np.concatenate(list(known.values()), axis=1), statistics)
    return {name: table[:, i] for i, name in enumerate(known)}


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

"""What known traffic of a window's size and shape looks like: the null distribution of every drift statistic."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix

CHUNK = 250  # draws at a time: with 4,000 known pairs, 8 MB of weights


class NullWindows:
    """Windows of known pairs that have the traffic's own query sizes.

    Pairs of a query resemble each other, so a window of n pairs holds less than n pairs' worth of news, and how
    much less depends on how many pairs each query has. A draw therefore takes, for each query of the traffic, a
    known query at random and as many of its pairs; where it has fewer, its pairs are taken again, which
    overstates their likeness and so errs towards calm. The known queries are themselves resampled first
    in every draw: they too are a sample, and with 80 of them that noise is not small.

        Var(draw) ≈ Var(window of the traffic's sizes) + Var(reference)

    Args:
        groups: query of each known pair, (N,), dense from 0.
        sizes: pairs of each query of the traffic, (q,).
        draws: how many windows, B. seed: of the draws.

    >>> null = NullWindows(np.array([0, 0, 1, 1, 2]), np.array([2, 1]), draws=500, seed=0)
    >>> means = null.means(np.array([[0.0], [0.0], [1.0], [1.0], [2.0]]))
    >>> means.shape, bool(0.7 < means.mean() < 1.3)
    ((500, 1), True)
    """

    def __init__(self, groups: np.ndarray, sizes: np.ndarray, *, draws: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.pairs, self.draws = len(groups), draws
        order = np.lexsort((rng.random(len(groups)), groups))  # pairs by query, shuffled within
        counts = np.bincount(groups)
        starts = np.cumsum(counts) - counts
        queries, n = len(counts), int(sizes.sum())
        slot = np.repeat(np.arange(len(sizes)), sizes)  # the window's query of each place, (n,)
        within = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self._groups, self._weights, self._queries = groups, [], []
        for first in range(0, draws, CHUNK):
            b = min(CHUNK, draws - first)
            resampled = rng.integers(0, queries, (b, queries))
            picked = np.take_along_axis(resampled, rng.integers(0, queries, (b, len(sizes))), axis=1)
            self._queries.append(picked)
            offset = (rng.random(picked.shape) * counts[picked]).astype(np.int64)
            places = (offset[:, slot] + within) % counts[picked][:, slot]
            rows = order[starts[picked][:, slot] + places]  # (b, n)
            # repeated columns of a row are summed by csr_matrix
            ones = np.full(rows.size, 1 / n)
            self._weights.append(
                csr_matrix((ones, rows.ravel(), np.arange(0, rows.size + 1, n)), shape=(b, len(groups)))
            )

    def means(self, values: np.ndarray) -> np.ndarray:
        """The mean of each column over each drawn window, (N, c) → (B, c)."""
        return np.concatenate([weights @ values for weights in self._weights])

    def query_means(self, values: np.ndarray) -> np.ndarray:
        """The mean over each drawn window's queries, each counted once: (N,) a value a pair → (B,)."""
        by_query = np.bincount(self._groups, values) / np.bincount(self._groups)
        return np.concatenate([by_query[picked].mean(axis=1) for picked in self._queries])


def p_value(observed: float, null: np.ndarray) -> float:
    """P(a window of known traffic shows as much), one-sided: (1 + #{null ≥ observed}) / (B + 1).

    >>> p_value(3.0, np.array([1.0, 2.0, 3.0]))
    0.5
    """
    return float((1 + (null >= observed).sum()) / (len(null) + 1))


def smallest_p(observed: np.ndarray, null: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """p of each of several statistics, and p of the smallest among them (Westfall & Young 1993, min-p).

    Args:
        observed: (c,). null: (B, c), of the same draws.
        weights: (c,) how much of the level each statistic may use: the smallest p/weight is what counts.

    Returns:
        (c,) raw p, and the share of draws whose own smallest p is at most the observed one; so looking at
        several statistics costs nothing in false alarms, and little where they say the same.

    >>> rng = np.random.default_rng(0); null = rng.normal(size=(999, 2))
    >>> raw, joint = smallest_p(np.array([2.0, 0.0]), null)
    >>> bool(raw[0] < joint < 2.5 * raw[0])
    True
    """
    B = len(null)
    raw = (1 + (null >= observed).sum(axis=0)) / (B + 1)
    ordered = np.sort(null, axis=0)
    # p of each draw among all draws, itself included; ties count against
    own = np.stack(
        [(B - np.searchsorted(ordered[:, c], null[:, c], side="left")) for c in range(null.shape[1])], axis=1
    )
    shares = np.ones(null.shape[1]) if weights is None else weights / weights.max()
    least, seen = (own / B / shares).min(axis=1), (raw / shares).min()
    return raw, float((1 + (least <= seen).sum()) / (B + 1))

"""What known traffic of a window's size and shape looks like: the null distribution of every drift statistic."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

MOST_PLACES = 2_000_000
"""Pairs drawn at a time, all windows together: 16 MB of row numbers, whatever the traffic's size."""

MOST_KEPT = 50_000_000
"""Shares of known pairs kept between statistics, 200 MB; those of more draws are counted again for each."""


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
        self.draws, self._groups = draws, groups
        self._order = np.lexsort((rng.random(len(groups)), groups))  # pairs by query, shuffled within
        self._counts = np.bincount(groups)
        self._firsts = np.cumsum(sizes) - sizes
        self._slot = np.repeat(np.arange(len(sizes)), sizes)  # the window's query of each place, (n,)
        self._within = np.arange(len(self._slot)) - self._firsts[self._slot]
        self._sizes, self._seed = sizes, seed
        self._chunk = max(1, MOST_PLACES // max(len(self._slot), len(self._counts)))
        # kept as shares of the N known pairs: the rows of B windows of large traffic would not fit into memory
        self._kept = list(self._counted()) if draws * len(groups) <= MOST_KEPT else None

    def _windows(self) -> Iterator[np.ndarray]:
        """The pairs of a chunk of b windows at a time, (b, n), the same in every pass."""
        rng = np.random.default_rng([self._seed, 1])
        queries, starts = len(self._counts), np.cumsum(self._counts) - self._counts
        for first in range(0, self.draws, self._chunk):
            b = min(self._chunk, self.draws - first)
            resampled = rng.integers(0, queries, (b, queries))
            picked = np.take_along_axis(resampled, rng.integers(0, queries, (b, len(self._sizes))), axis=1)
            offset = (rng.random(picked.shape) * self._counts[picked]).astype(np.int64)
            places = (offset[:, self._slot] + self._within) % self._counts[picked][:, self._slot]
            yield self._order[starts[picked][:, self._slot] + places]

    def _counted(self) -> Iterator[np.ndarray]:
        """The windows as float32 shares of each known pair, (b, N) at a time."""
        known = len(self._groups)
        most = max(1, MOST_PLACES // known)
        for chunk in self._windows():
            for first in range(0, len(chunk), most):
                rows = chunk[first : first + most]
                places = (rows + known * np.arange(len(rows))[:, None]).ravel()
                counts = np.bincount(places, minlength=len(rows) * known).reshape(len(rows), known)
                yield (counts / rows.shape[1]).astype(np.float32)

    def means(self, values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        """The mean of each column over each drawn window, (N, c) → (B, c).

        Args:
            values: (N, c). statistic: of the means of b windows, (b, c) → (b, …): returned in their place, so that
                many columns are never held for all windows.
        """
        columns, found = values.astype(np.float32), []
        for shares in self._counted() if self._kept is None else self._kept:
            drawn = shares @ columns
            found.append(drawn if statistic is None else statistic(drawn))
        return np.concatenate(found)

    def query_means(self, values: np.ndarray, power: float = 1) -> np.ndarray:
        """The mean over each drawn window's queries of (the mean of the query's drawn pairs) ^ power, (N,) → (B,).

        Which pairs of a query were drawn counts: the mean of one pair strays further than that of twenty.
        """
        found = []
        for rows in self._windows():
            sums = np.add.reduceat(values[rows], self._firsts, axis=1)
            found.append(((sums / self._sizes) ** power).mean(axis=1))
        return np.concatenate(found)


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

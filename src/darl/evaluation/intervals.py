"""Intervals and p-values by the query-level bootstrap (Efron 1979; clusters: Davison and Hinkley 1997, §3.8).

Pairs of one query resemble each other, so whole queries are drawn with replacement. Figures on Q queries are a
sample of the traffic's queries; the interval says how far another sample of Q might lie.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from darl.errors import DataError
from darl.evaluation.checks import checked_groups
from darl.evaluation.query_statistics import QueryStatistics

LEVEL = 0.95
CENTRED = ("ece", "ece_adaptive", "ece_classwise")


@dataclass(frozen=True)
class Interval:
    """An estimate with its percentile interval; the other three are NaN where nothing can be resampled."""

    estimate: float
    low: float = math.nan
    high: float = math.nan
    standard_error: float = math.nan

    def to_dict(self) -> dict:
        """Plain values, NaN as None."""
        return {name: None if math.isnan(x) else float(x) for name, x in vars(self).items()}

    @classmethod
    def from_dict(cls, data: dict) -> Interval:
        return cls(**{name: math.nan if x is None else float(x) for name, x in data.items()})


@dataclass(frozen=True)
class Difference:
    """b − a on the same pairs: both figures, the interval of the difference, and its two-sided p."""

    a: float
    b: float
    difference: Interval
    p: float

    def to_dict(self) -> dict:
        """Plain values, NaN as None."""
        plain = {name: None if math.isnan(x) else float(x) for name, x in (("a", self.a), ("b", self.b), ("p", self.p))}
        return {**plain, "difference": self.difference.to_dict()}

    @classmethod
    def from_dict(cls, data: dict) -> Difference:
        a, b, p = (math.nan if data[name] is None else float(data[name]) for name in ("a", "b", "p"))
        return cls(a, b, Interval.from_dict(data["difference"]), p)


def resamples(queries: int, count: int, seed: int = 0, *, width: int | None = None) -> Iterator[np.ndarray]:
    """Draws of Q queries with replacement, as counts: chunks (b, Q) float64, `count` rows in all.

    A chunk is as tall as 400,000 numbers of `width` (default Q) allow. Fewer than two queries: no draw.

    >>> [chunk.sum(axis=1).tolist() for chunk in resamples(4, 3)]
    [[4.0, 4.0, 4.0]]
    """
    rng = np.random.default_rng(seed)
    height = max(1, 400_000 // max(width or queries, 1))
    for start in range(0, count if queries > 1 else 0, height):
        rows = min(height, count - start)
        drawn = rng.integers(0, queries, size=(rows, queries)) + queries * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * queries).reshape(rows, queries).astype(np.float64)


def interval_of(estimate: float, draws: np.ndarray, level: float = LEVEL) -> Interval:
    """Percentile interval of draws (B,); draws in which the metric is not defined (NaN) are left out."""
    draws = draws[np.isfinite(draws)]
    if len(draws) == 0 or not math.isfinite(estimate):
        return Interval(float(estimate))
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), float(draws.std()))


def difference_of(a: float, b: float, draws: np.ndarray, level: float = LEVEL) -> Difference:
    """From draws of b − a (B,): interval, and p = 2·min(#{d ≤ 0} + 1, #{d ≥ 0} + 1) / (B + 1), at most 1."""
    known = draws[np.isfinite(draws)]
    tail = min((known <= 0).sum(), (known >= 0).sum()) + 1
    p = math.nan if len(known) == 0 else min(1.0, float(2 * tail / (len(known) + 1)))
    return Difference(float(a), float(b), interval_of(b - a, draws, level), p)


def statistics_draws(statistics: Sequence[QueryStatistics], count: int, seed: int = 0) -> list[dict[str, np.ndarray]]:
    """The same resamples for each of the given statistics (of the same queries): {metric: (count,)} each.

    A binned calibration error comes out larger on a resample than on the sample, by its own bias; so its draws
    are shifted to have the estimate as their mean, and cut at 0.
    """
    first = statistics[0]
    parts: list[list[dict[str, np.ndarray]]] = [[] for _ in statistics]
    for weights in resamples(first.queries, count, seed, width=first.pairs):
        for part, one in zip(parts, statistics, strict=True):
            part.append(one.values(weights))
    found = []
    for part, one in zip(parts, statistics, strict=True):
        draws = {}
        for name, value in one.values().items():
            draws[name] = np.concatenate([chunk[name] for chunk in part]) if part else np.empty(0)
            if name in CENTRED and part:
                draws[name] = np.maximum(draws[name] - draws[name].mean() + value[0], 0)
        found.append(draws)
    return found


def bootstrap_interval(
    metric: Callable[..., float],
    *arrays: np.ndarray,
    groups: Sequence | np.ndarray | None = None,
    count: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Percentile interval of any metric(*arrays), each array (n, …); one call a resample, so slower than a report.

    Raises:
        DataError: groups that are not n.

    >>> x = np.arange(100.0)
    >>> found = bootstrap_interval(np.mean, x)
    >>> found.estimate, found.low < 49.5 < found.high, round(found.standard_error, 1)
    (49.5, True, 2.9)
    """
    query = checked_groups(groups, len(arrays[0]))
    draws = [float(metric(*drawn)) for (drawn,) in _redrawn([arrays], query, count, seed)]
    return interval_of(float(metric(*arrays)), np.array(draws), level)


def paired_bootstrap(
    metric: Callable[..., float],
    a: Sequence[np.ndarray],
    b: Sequence[np.ndarray],
    *,
    groups: Sequence | np.ndarray | None = None,
    count: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> Difference:
    """metric(*b) − metric(*a) with the same queries drawn for both; a and b are the arrays of two models.

    Raises:
        DataError: arrays of different lengths, groups that are not n.

    >>> truth, guess = np.array([1, 0, 1, 1]), np.array([1, 0, 0, 1])
    >>> found = paired_bootstrap(lambda g, p: (g == p).mean(), (truth, guess), (truth, truth))
    >>> found.a, found.b, found.difference.estimate
    (0.75, 1.0, 0.25)
    """
    query = checked_groups(groups, len(a[0]))
    if any(len(array) != len(query) for array in (*a, *b)):
        raise DataError("the arrays of two compared models must hold the same pairs")
    draws = [float(metric(*two)) - float(metric(*one)) for one, two in _redrawn([a, b], query, count, seed)]
    return difference_of(float(metric(*a)), float(metric(*b)), np.array(draws), level)


def _redrawn(models: Sequence[Sequence[np.ndarray]], query: np.ndarray, count: int, seed: int) -> Iterator[list]:
    """The arrays of each model with their rows redrawn, the same rows for every model."""
    models = [[np.asarray(array) for array in arrays] for arrays in models]
    for weights in resamples(int(query.max()) + 1, count, seed, width=len(query)):
        for row in weights:
            rows = np.repeat(np.arange(len(query)), row[query].astype(np.int64))
            yield [[array[rows] for array in arrays] for arrays in models]

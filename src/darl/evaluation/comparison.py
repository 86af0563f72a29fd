"""Comparison of two models on the same pairs: per metric the difference, its interval, and a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from darl.evaluation.catalogue import HEADLINE, metric_info
from darl.evaluation.intervals import LEVEL, Difference, difference_of, statistics_draws
from darl.evaluation.query_statistics import QueryStatistics
from darl.grades import GradeScale


@dataclass(frozen=True)
class Predictions:
    """What one model says: probabilities (n, K), predicted grades (n,), optionally the score nDCG ranks by (n,)."""

    probabilities: np.ndarray
    predicted: Sequence[int] | np.ndarray
    relevance: Sequence[float] | np.ndarray | None = None
    name: str = ""


@dataclass(frozen=True)
class MetricComparison:
    """One metric of a comparison; `better` is "a", "b" or None where the queries cannot show it."""

    difference: Difference
    better: str | None
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two models, a and b, on the same pairs: metric → difference b − a. Intervals hold for each metric alone."""

    a: str
    b: str
    pairs: int
    queries: int
    level: float
    metrics: dict[str, MetricComparison]

    def to_dict(self) -> dict:
        """Plain JSON values, NaN as None."""
        rows = {
            name: {**row.difference.to_dict(), "better": row.better, "verdict": row.verdict}
            for name, row in self.metrics.items()
        }
        return {**vars(self), "metrics": rows}

    @classmethod
    def from_dict(cls, data: dict) -> Comparison:
        rows = {
            name: MetricComparison(Difference.from_dict(row), row["better"], row["verdict"])
            for name, row in data["metrics"].items()
        }
        return cls(**{**data, "metrics": rows})


def compare_predictions(
    a: Predictions,
    b: Predictions,
    *,
    grades: Sequence[int] | np.ndarray,
    scale: GradeScale,
    groups: Sequence | np.ndarray | None,
    metrics: Sequence[str] = HEADLINE,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
) -> Comparison:
    """Paired query-level bootstrap of b − a: the same queries are drawn for both models (Efron and Tibshirani 1993).

    A model is called better on a metric where the percentile interval of the difference leaves out 0, in the
    direction the metric counts as good. Metrics that cannot be computed here (nDCG without lists) are left out.
    No correction is made for looking at several metrics: name the deciding one beforehand.

    Args:
        a, b: the two models' predictions for the same n pairs. grades: true grades (n,).
        scale, groups, bootstrap, seed, level: as for `evaluate_predictions`.

    Raises:
        DataError, GradeError, EmptySplitError: arrays that cannot be evaluated.

    >>> rng, scale = np.random.default_rng(0), GradeScale(("no", "yes"))
    >>> truth = rng.integers(0, 2, 200)
    >>> sure, blind = np.eye(2)[truth] * 0.8 + 0.1, np.full((200, 2), 0.5)
    >>> a, b = Predictions(blind, blind.argmax(1), name="blind"), Predictions(sure, sure.argmax(1), name="sure")
    >>> found = compare_predictions(a, b, grades=truth, scale=scale, groups=None, bootstrap=200)
    >>> found.metrics["nll"].verdict, found.metrics["nll"].difference.difference.estimate < 0
    ('sure is better', True)
    """
    names = (a.name or "A", b.name or "B")
    both = [
        QueryStatistics(grades, one.probabilities, one.predicted, scale, groups=groups, relevance=one.relevance)
        for one in (a, b)
    ]
    values = [one.values() for one in both]
    draws = statistics_draws(both, bootstrap, seed)
    queries = both[0].queries
    rows = {}
    for name in metrics:
        info = metric_info(name)
        if name not in values[0] or name not in values[1]:
            continue
        found = difference_of(values[0][name][0], values[1][name][0], draws[1][name] - draws[0][name], level)
        better = _better(found, info.higher_is_better)
        verdict = f"{names['ab'.index(better)]} is better" if better else _undecided(found, queries)
        rows[name] = MetricComparison(found, better, verdict)
    return Comparison(*names, both[0].pairs, queries, level, rows)


def _better(found: Difference, higher_is_better: bool) -> str | None:
    if not (found.difference.low > 0 or found.difference.high < 0):  # NaN: undecided
        return None
    return "b" if (found.difference.low > 0) == higher_is_better else "a"


def _undecided(found: Difference, queries: int) -> str:
    if queries < 2:
        return "one query cannot show a difference"
    if not np.isfinite(found.difference.estimate):
        return "not defined on these pairs"
    return f"no difference that these {queries} queries can show"

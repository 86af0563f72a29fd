"""Evaluation: the figures of each split with intervals, of its slices, and the ID–OOD gap."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np

from darl.errors import DataError
from darl.evaluation.calibration import ReliabilityBin, reliability
from darl.evaluation.catalogue import HEADLINE, METRICS
from darl.evaluation.checks import checked_grades, checked_probabilities
from darl.evaluation.intervals import LEVEL, Interval, interval_of, statistics_draws
from darl.evaluation.metrics import per_grade
from darl.evaluation.query_statistics import QueryStatistics
from darl.grades import GradeScale


@dataclass(frozen=True)
class SliceEvaluation:
    """The pairs of a split that share one value of one column."""

    column: str
    value: str
    pairs: int
    queries: int
    metrics: dict[str, Interval]


@dataclass(frozen=True)
class SplitEvaluation:
    """Everything measured on one split.

    `metrics` holds each metric's interval by name (nDCG only where a query can rank). `per_grade` holds precision,
    recall, F1 and support, one number a grade. `slices_left_out` counts, by column, the values with too few pairs.
    `draws` are the bootstrap draws: they feed the gap and are not saved.
    """

    pairs: int
    queries: int
    level: float
    grades: tuple[str, ...]
    metrics: dict[str, Interval]
    confusion: tuple[tuple[int, ...], ...]
    per_grade: dict[str, tuple[float, ...]]
    reliability: tuple[ReliabilityBin, ...]
    slices: tuple[SliceEvaluation, ...] = ()
    slices_left_out: dict[str, int] = field(default_factory=dict)
    draws: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    def to_dict(self) -> dict:
        """Plain JSON values, NaN as None, without the draws."""
        return {
            "pairs": self.pairs,
            "queries": self.queries,
            "level": self.level,
            "grades": list(self.grades),
            "metrics": _plain(self.metrics),
            "confusion": [list(row) for row in self.confusion],
            "per_grade": {name: [_none(x) for x in values] for name, values in self.per_grade.items()},
            "reliability": [{key: _none(x) for key, x in asdict(row).items()} for row in self.reliability],
            "slices": [{**vars(one), "metrics": _plain(one.metrics)} for one in self.slices],
            "slices_left_out": dict(self.slices_left_out),
        }

    @classmethod
    def from_dict(cls, data: dict) -> SplitEvaluation:
        """What `to_dict` wrote, without draws."""
        return cls(
            pairs=data["pairs"],
            queries=data["queries"],
            level=data["level"],
            grades=tuple(data["grades"]),
            metrics=_intervals(data["metrics"]),
            confusion=tuple(tuple(row) for row in data["confusion"]),
            per_grade={name: tuple(_nan(x) for x in values) for name, values in data["per_grade"].items()},
            reliability=tuple(ReliabilityBin(**{k: _nan(x) for k, x in row.items()}) for row in data["reliability"]),
            slices=tuple(SliceEvaluation(**{**one, "metrics": _intervals(one["metrics"])}) for one in data["slices"]),
            slices_left_out=dict(data["slices_left_out"]),
        )


@dataclass(frozen=True)
class Evaluation:
    """Split name → figures, and for each OOD split the **ID–OOD gap** of every headline metric with its interval.

    The gap is the ID figure minus the OOD figure. Where larger is better, a positive gap is quality lost out of the
    distribution; where smaller is better (NLL, Brier, ECE, ordinal MAE), a negative one is.
    """

    splits: dict[str, SplitEvaluation]
    id_split: str | None = None
    gap: dict[str, dict[str, Interval]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        splits: Mapping[str, SplitEvaluation],
        *,
        id_split: str | None = None,
        ood_splits: Sequence[str] | None = None,
    ) -> Evaluation:
        """Put splits together and measure the gap of `id_split` to each of `ood_splits` (default: all others).

        The splits are independent samples of queries, so the draws of one are set against those of the other;
        for splits loaded from a file, which have no draws, the interval is the normal one with the standard errors
        added in squares.

        Raises:
            DataError: a named split is not there.
        """
        oods = [name for name in splits if name != id_split] if ood_splits is None else list(ood_splits)
        missing = [name for name in ([id_split] if id_split else []) + oods if name not in splits]
        if missing:
            raise DataError(f"no split named {missing[0]!r}", mend=f"use one of {', '.join(splits)}")
        gap = {name: _gap(splits[id_split], splits[name]) for name in oods} if id_split else {}
        return cls(dict(splits), id_split, gap)

    def to_dict(self) -> dict:
        """Plain JSON values, NaN as None."""
        splits = {name: split.to_dict() for name, split in self.splits.items()}
        return {"splits": splits, "id_split": self.id_split, "gap": {k: _plain(v) for k, v in self.gap.items()}}

    @classmethod
    def from_dict(cls, data: dict) -> Evaluation:
        splits = {name: SplitEvaluation.from_dict(split) for name, split in data["splits"].items()}
        return cls(splits, data["id_split"], {name: _intervals(gap) for name, gap in data["gap"].items()})


def evaluate_predictions(
    grades: Sequence[int] | np.ndarray,
    probabilities: np.ndarray,
    predicted: Sequence[int] | np.ndarray,
    *,
    scale: GradeScale,
    groups: Sequence | np.ndarray | None,
    relevance: Sequence[float] | np.ndarray | None = None,
    slices: Mapping[str, Sequence] | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = LEVEL,
    min_pairs: int = 50,
) -> SplitEvaluation:
    """Every metric of one split, with query-level bootstrap intervals, overall and by slice.

    Args:
        grades: true grades (n,). probabilities: (n, K). predicted: grades (n,) by the model's decision rule.
        scale: the grades and their gains. groups: (n,) the query of each pair (None: each pair its own).
        relevance: (n,) the score nDCG ranks by; default the relevance score of the probabilities.
        slices: column → (n,) values; a value with fewer than `min_pairs` pairs is left out and counted.
            A missing value (None, NaN, empty) belongs to no slice.
        bootstrap: resamples; 0 gives figures without intervals. level: of the intervals.

    Raises:
        DataError, GradeError, EmptySplitError: arrays that cannot be evaluated.

    >>> scale, p = GradeScale(("no", "yes")), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
    >>> found = evaluate_predictions([0, 1, 1, 1], p, [0, 1, 0, 1], scale=scale, groups=[7, 7, 8, 9], bootstrap=100)
    >>> found.metrics["accuracy"].estimate, found.per_grade["recall"], found.queries
    (0.75, (1.0, 0.666...), 3)
    """
    truth, guess = checked_grades(grades, scale.size), checked_grades(predicted, scale.size, what="predicted grades")
    p = checked_probabilities(probabilities, len(truth), scale.size)
    rows = np.arange(len(truth)) if groups is None else np.asarray(groups)
    score = None if relevance is None else np.asarray(relevance, dtype=np.float64)
    statistics = QueryStatistics(truth, p, guess, scale, groups=rows, relevance=score)
    metrics, draws = _measure(statistics, bootstrap, seed, level)
    found: list[SliceEvaluation] = []
    left_out: dict[str, int] = {}
    for column, values in (slices or {}).items():
        if len(values) != len(truth):
            raise DataError(f"the slice column {column!r} has {len(values)} values for {len(truth)} pairs")
        labels = np.array([_label(value) for value in values])
        names, counts = np.unique(labels, return_counts=True)
        for name, count in zip(names.tolist(), counts.tolist(), strict=True):
            if name == "":
                continue
            if count < min_pairs:
                left_out[column] = left_out.get(column, 0) + 1
                continue
            at = labels == name
            part = QueryStatistics(
                truth[at], p[at], guess[at], scale, groups=rows[at], relevance=None if score is None else score[at]
            )
            figures, _ = _measure(part, bootstrap, seed, level)
            found.append(SliceEvaluation(column, name, part.pairs, part.queries, figures))
    table = statistics.confusion()
    return SplitEvaluation(
        pairs=statistics.pairs,
        queries=statistics.queries,
        level=level,
        grades=scale.names,
        metrics=metrics,
        confusion=tuple(tuple(row) for row in table.tolist()),
        per_grade={name: tuple(values.tolist()) for name, values in per_grade(table).items()},
        reliability=tuple(reliability(truth, p)),
        slices=tuple(found),
        slices_left_out=left_out,
        draws=draws,
    )


def _measure(
    statistics: QueryStatistics, bootstrap: int, seed: int, level: float
) -> tuple[dict[str, Interval], dict[str, np.ndarray]]:
    draws = statistics_draws([statistics], bootstrap, seed)[0]
    values = statistics.values()
    names = [name for name in METRICS if name in values] + [name for name in values if name not in METRICS]
    return {name: interval_of(values[name][0], draws[name], level) for name in names}, draws


def _gap(one: SplitEvaluation, two: SplitEvaluation) -> dict[str, Interval]:
    """ID minus OOD of the headline metrics that both splits have."""
    found = {}
    for name in HEADLINE:
        if name not in one.metrics or name not in two.metrics:
            continue
        a, b = one.metrics[name], two.metrics[name]
        estimate = a.estimate - b.estimate
        x, y = one.draws.get(name, np.empty(0)), two.draws.get(name, np.empty(0))
        if len(x) and len(y):  # the second in reverse, so that a shared seed ties nothing together
            n = min(len(x), len(y))
            found[name] = interval_of(estimate, x[:n] - y[::-1][:n], one.level)
            continue
        error = math.hypot(a.standard_error, b.standard_error)
        reach = error * normal_quantile(one.level)
        found[name] = Interval(estimate, estimate - reach, estimate + reach, error)
    return found


def normal_quantile(level: float) -> float:
    """The z of a two-sided normal interval.

    >>> round(normal_quantile(0.95), 2)
    1.96
    """
    return NormalDist().inv_cdf((1 + level) / 2)


def _label(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()


def _none(value: float) -> float | None:
    return None if isinstance(value, float) and math.isnan(value) else value


def _nan(value: float | None) -> Any:
    return math.nan if value is None else value


def _plain(intervals: Mapping[str, Interval]) -> dict:
    return {name: interval.to_dict() for name, interval in intervals.items()}


def _intervals(data: Mapping[str, dict]) -> dict[str, Interval]:
    return {name: Interval.from_dict(interval) for name, interval in data.items()}

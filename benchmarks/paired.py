"""Figures of predictions under resamples of whole queries, and paired differences between two ways of making them.

A prediction is what `darl fit` leaves for a test set: a dictionary of `grades` (n,), `probabilities` (n, K),
`predicted` (n,) and `groups` (n,). Its figures are arrays (1 + B,): the figure itself, then the figure on each of B
draws of queries. Draws depend on the number of queries alone, so two models on one test set see the same queries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from darl.evaluation.intervals import resamples, statistics_draws
from darl.evaluation.query_statistics import QueryStatistics
from darl.grades import GradeScale

DRAWS = 1000
LEVEL = 0.95
Prediction = Mapping[str, np.ndarray]
Figures = dict[str, np.ndarray]  # metric → (1 + B,)
BySeed = Mapping[int, Figures]


def statistics_of(prediction: Prediction, scale: GradeScale) -> QueryStatistics:
    """The sums per query of one prediction."""
    return QueryStatistics(
        prediction["grades"],
        prediction["probabilities"],
        prediction["predicted"],
        scale,
        groups=prediction["groups"],
    )


def figures_of(prediction: Prediction, scale: GradeScale, metrics: Sequence[str], draws: int = DRAWS) -> Figures:
    """The named metrics of one prediction, each with its draws."""
    statistics = statistics_of(prediction, scale)
    drawn, now = statistics_draws([statistics], draws)[0], statistics.values()
    return {name: np.concatenate([now[name][:1], drawn[name]]) for name in metrics}


def middle_recall(prediction: Prediction, size: int, draws: int = DRAWS) -> np.ndarray:
    """Mean recall of the grades between the lowest and the highest, (1 + B,); NaN where none of them occurs."""
    truth, hit = prediction["grades"], prediction["grades"] == prediction["predicted"]
    _, query = np.unique(prediction["groups"], return_inverse=True)
    queries = int(query.max()) + 1
    cells = np.bincount(query * size + truth, minlength=queries * size).reshape(queries, size)
    hits = np.bincount(query * size + truth, weights=hit, minlength=queries * size).reshape(queries, size)
    weights = np.concatenate([np.ones((1, queries)), *resamples(queries, draws, width=len(truth))])
    support, right = (weights @ cells)[:, 1:-1], (weights @ hits)[:, 1:-1]
    there = support > 0
    count = there.sum(axis=1)
    total = np.where(there, right / np.where(there, support, 1), 0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def over_seeds(runs: BySeed, metric: str) -> tuple[float, float]:
    """Mean and deviation over seeds of one figure."""
    values = [figures[metric][0] for figures in runs.values()]
    return float(np.mean(values)), float(np.std(values))


def difference(
    base: BySeed, ours: BySeed, metric: str, *, seeds_too: bool = False, ratio: bool = False
) -> list[float | None]:
    """[ours − base, low, high]: the mean over the seeds that both have, queries resampled.

    Args:
        seeds_too: seeds are resampled besides queries, so the interval covers both. With two or three seeds that is a
            rough estimate of what another seed would do.
        ratio: of the two means over seeds in place of their difference.
    """
    seeds = sorted(set(base) & set(ours))
    if not seeds:
        return [None, None, None]
    a, b = (np.stack([runs[seed][metric] for seed in seeds]) for runs in (base, ours))  # (S, 1 + B)
    one, two = (_mean(values, seeds_too) for values in (a, b))
    if ratio:
        with np.errstate(divide="ignore", invalid="ignore"):
            return _interval(two / one)
    return _interval(two - one)


def level_of(runs: BySeed, metric: str) -> list[float | None]:
    """[mean over seeds, low, high] of one figure, queries and seeds resampled."""
    return _interval(_mean(np.stack([figures[metric] for figures in runs.values()]), seeds_too=True))


def _mean(values: np.ndarray, seeds_too: bool) -> np.ndarray:
    """(S, 1 + B) → (1 + B,): over all seeds, or in each draw over seeds drawn with replacement (the same for all)."""
    if not seeds_too:
        return values.mean(axis=0)
    count, draws = values.shape
    picked = np.random.default_rng(1).integers(count, size=(count, draws - 1))
    return np.concatenate([values[:, :1].mean(axis=0), np.take_along_axis(values[:, 1:], picked, 0).mean(axis=0)])


def _interval(values: np.ndarray) -> list[float | None]:
    """(1 + B,) → [figure, low, high]; None for what is not defined."""
    known = values[1:][np.isfinite(values[1:])]
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(known) else (np.nan, np.nan)
    return [float(x) if np.isfinite(x) else None for x in (values[0], low, high)]

"""Fitting the thresholds of a `thresholds` rule: by coordinate ascent, and averaged over resamples of the queries."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from darl.decisions.rule import DecisionRule

RESAMPLES = 10


def bagged_thresholds(
    p: np.ndarray, g: np.ndarray, judge: Callable, groups: np.ndarray, weights: np.ndarray | None = None, seed: int = 0
) -> DecisionRule | None:
    """The mean of the thresholds that ``RESAMPLES`` resamples of whole queries give; None where none gives any.

    The best cut of one dev set jumps with a handful of its pairs; its mean over resamples moves little (bagging,
    Breiman 1996), and what it decides on other pairs is better (experiment 29).

    Args:
        p: (n, K). g: (n,). groups: the query of each pair, (n,). weights: (n,), what each pair counts for; default 1.
    """
    query = np.unique(groups, return_inverse=True)[1]
    queries, rng = int(query.max()) + 1, np.random.default_rng(seed)
    weights = np.ones(len(g)) if weights is None else weights
    found = []
    for _ in range(RESAMPLES):
        counts = weights * rng.multinomial(queries, np.full(queries, 1 / queries))[query]
        rows = counts > 0
        rule = fit_thresholds(p[rows], g[rows], judge, weights=counts[rows])
        if rule is not None:
            found.append(rule.thresholds)
    return DecisionRule("thresholds", thresholds=tuple(np.mean(found, axis=0).tolist())) if found else None


def fit_thresholds(
    p: np.ndarray,
    g: np.ndarray,
    judge: Callable,
    grid: int = 128,
    sweeps: int = 10,
    weights: np.ndarray | None = None,
) -> DecisionRule | None:
    """Coordinate ascent on K − 1 cuts of the expected grade; None where it takes fewer than K values.

    With pairs sorted by expected grade, a cut is a position r and the confusion column between two cuts is a
    difference of running counts, so all grid positions of one cut are judged in one vectorised call.

    Args:
        weights: (n,), what each pair counts for in the confusion; default 1.
    """
    n, K = p.shape
    w = np.ones(n) if weights is None else weights
    expected = p @ np.arange(K, dtype=np.float64)
    order = np.argsort(expected, kind="stable")
    sorted_, counts = expected[order], np.zeros((n + 1, K))
    np.cumsum(np.eye(K)[g[order]] * w[order, None], axis=0, out=counts[1:])  # (n+1, K) grades before position r
    steps = np.flatnonzero(np.diff(sorted_) > 1e-9) + 1  # positions where a cut separates two values
    if len(steps) < K - 1:
        return None
    steps = steps[np.unique(np.linspace(0, len(steps) - 1, max(grid, K - 1)).round().astype(int))]
    shares = np.cumsum(counts[-1])[:-1]
    starts = [
        np.searchsorted(sorted_, np.arange(K - 1) + 0.5),
        np.searchsorted(np.cumsum(w[order]), shares),
    ]  # midpoints; cuts that keep the shares
    best, best_figure = None, -np.inf
    for start in starts:
        at = np.clip(np.searchsorted(steps, start), np.arange(K - 1), len(steps) - K + 1 + np.arange(K - 1))
        for j in range(1, K - 1):
            at[j] = max(at[j], at[j - 1] + 1)
        figure = -np.inf
        for _ in range(sweeps):
            before = figure
            for j in range(K - 1):
                options = np.arange(at[j - 1] + 1 if j else 0, at[j + 1] if j < K - 2 else len(steps))
                cuts = np.broadcast_to(at, (len(options), K - 1)).copy()
                cuts[:, j] = options
                edges = np.pad(steps[cuts], ((0, 0), (1, 1)))  # (c, K+1): 0, cuts, n
                edges[:, -1] = n
                figures = np.nan_to_num(judge(np.diff(counts[edges], axis=1).swapaxes(1, 2)), nan=-np.inf)
                if figures.max() > figure:
                    at[j], figure = options[figures.argmax()], figures.max()
            if figure <= before:
                break
        if figure > best_figure:
            best, best_figure = steps[at], figure
    if best is None:
        return None
    return DecisionRule("thresholds", thresholds=tuple(((sorted_[best - 1] + sorted_[best]) / 2).tolist()))

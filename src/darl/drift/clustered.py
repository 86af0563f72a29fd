"""Means with intervals that know that pairs of a query resemble each other."""

from __future__ import annotations

import numpy as np

from darl.evaluation.intervals import Interval, interval_of, resamples


def clustered_interval(values: np.ndarray, groups: np.ndarray, *, count: int = 1000, seed: int = 0) -> Interval:
    """The mean of (n,) values with its 95 % percentile interval over resamples of whole queries.

    >>> found = clustered_interval(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))
    >>> found.low, found.estimate, found.high
    (0.0, 0.5, 1.0)
    """
    _, dense = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(dense, values), np.bincount(dense)
    draws = [(weights @ sums) / (weights @ sizes) for weights in resamples(len(sizes), count, seed)]
    return interval_of(float(np.mean(values)), np.concatenate(draws) if draws else np.empty(0))

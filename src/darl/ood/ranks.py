"""Ranks of scores among held-out in-distribution scores."""

from __future__ import annotations

import numpy as np


def percentile_ranks(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """100 · (#{h < s} + ½ · #{h = s}) / N: (m,) scores, (N,) **sorted** held-out scores → (m,) in [0, 100].

    The mid-rank shares out ties: N distinct held-out scores have the percentiles 100 · (i − ½) / N, whose
    mean is 50.

    >>> percentile_ranks(np.array([0.0, 2.0, 3.0, 9.0]), np.array([1.0, 2.0, 2.0, 3.0])).tolist()
    [0.0, 50.0, 87.5, 100.0]
    """
    below = np.searchsorted(held_out, scores, side="left")
    not_above = np.searchsorted(held_out, scores, side="right")
    return 50.0 * (below + not_above) / len(held_out)


def smooth_ranks(scores: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """:func:`percentile_ranks` without steps: equal to it at held-out scores, linear between them.

    Beyond the largest held-out score the rank goes on from its percentile towards 100, as e / (1 + e) with e
    the excess in units of the held-out scores' range; it keeps far rows in order and never counts more than
    that last half step. The other end mirrors it.

    >>> smooth_ranks(np.array([1.0, 1.5, 2.0, 3.0, 1e9]), np.array([1.0, 2.0])).round(2).tolist()
    [25.0, 50.0, 75.0, 87.5, 100.0]
    """
    values = np.unique(held_out)
    ranks = percentile_ranks(values, held_out)
    spread = values[-1] - values[0] if len(values) > 1 else max(abs(values[0]), 1.0)
    above, below = np.maximum(scores - values[-1], 0) / spread, np.maximum(values[0] - scores, 0) / spread
    inner = np.interp(scores, values, ranks)
    return inner + (100 - ranks[-1]) * above / (1 + above) - ranks[0] * below / (1 + below)

"""Ranking: nDCG@k of the items of each query, by ir-measures (trec_eval underneath)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import ir_measures
import numpy as np

from darl.errors import DataError
from darl.evaluation.checks import checked_grades, checked_groups
from darl.grades import GradeScale

CUTOFFS = (5, 10)


def whole_gains(scale: GradeScale) -> tuple[int, ...]:
    """The scale's gains above the lowest as whole numbers in the same proportions.

    ir-measures hands gains to trec_eval, which knows only whole ones and counts 0 as not relevant. nDCG does not
    change when all gains are multiplied, so gain_k − gain_0 is written over a common denominator; proportions
    that need a number above 10,000 are rounded to ten-thousandths of the largest.

    >>> whole_gains(GradeScale(("I", "C", "S", "E"), (0.0, 0.01, 0.1, 1.0)))
    (0, 1, 10, 100)
    >>> whole_gains(GradeScale(("no", "yes"), (0.0, 0.00004)))
    (0, 10000)
    """
    steps = [Fraction(gain - scale.gains[0]).limit_denominator(10_000) for gain in scale.gains]
    unit = math.lcm(*(step.denominator for step in steps))
    whole = [int(step * unit) for step in steps]
    whole = [gain // (math.gcd(*whole) or 1) for gain in whole]
    if whole[-1] > 10_000 or len(set(whole)) < len(whole):
        top = scale.gains[-1] - scale.gains[0]
        whole = [round((gain - scale.gains[0]) / top * 10_000) for gain in scale.gains]
    return tuple(whole)


def query_ndcg(
    grades: Sequence[int] | np.ndarray,
    relevance: Sequence[float] | np.ndarray,
    groups: Sequence | np.ndarray,
    scale: GradeScale,
    cutoffs: Sequence[int] = CUTOFFS,
) -> dict[int, np.ndarray]:
    """nDCG@k of each query, {k: (Q,)}, in the order of the sorted distinct `groups`.

    nDCG@k = DCG@k / ideal DCG@k with DCG@k = Σ_{r ≤ k} gain_r / log2(r + 1) (Järvelin and Kekäläinen 2002; the gain
    is linear: for exponential gains give the scale 2^k − 1). Gains are those of the scale above its lowest.
    NaN for a query that cannot rank: fewer than two items, or all of one grade. Items of equal score are put in an
    order drawn once with a fixed seed, so that the order of the table cannot flatter a model.

    Raises:
        DataError: scores that are not n finite numbers. GradeError, EmptySplitError: grades not usable.
    """
    truth = checked_grades(grades, scale.size)
    query = checked_groups(groups, len(truth))
    score = np.asarray(relevance, dtype=np.float64)
    if score.shape != truth.shape or not np.isfinite(score).all():
        raise DataError(f"relevance must be {len(truth)} finite scores, got shape {score.shape}")
    queries = int(query.max()) + 1
    lowest, highest = np.full(queries, scale.size), np.full(queries, -1)
    np.minimum.at(lowest, query, truth)
    np.maximum.at(highest, query, truth)
    rows = np.flatnonzero((lowest < highest)[query])
    values = {k: np.full(queries, np.nan) for k in cutoffs}
    if len(rows) == 0:
        return values
    ties = np.random.default_rng(0).permutation(len(truth))
    place = np.empty(len(truth))
    place[np.lexsort((ties, score))] = np.arange(len(truth))  # a score without ties, in the same order
    gains = whole_gains(scale)
    truth_run: dict[str, dict[str, int]] = {}
    score_run: dict[str, dict[str, float]] = {}
    for row in rows.tolist():
        name = str(query[row])
        truth_run.setdefault(name, {})[str(row)] = gains[truth[row]]
        score_run.setdefault(name, {})[str(row)] = float(place[row])
    measures = {ir_measures.nDCG @ k: k for k in cutoffs}
    for found in ir_measures.iter_calc(list(measures), truth_run, score_run):
        values[measures[found.measure]][int(found.query_id)] = found.value
    return values


def ndcg(
    grades: Sequence[int] | np.ndarray,
    relevance: Sequence[float] | np.ndarray,
    groups: Sequence | np.ndarray,
    scale: GradeScale,
    k: int = 10,
) -> float | None:
    """Mean nDCG@k over the queries with at least two items of differing grades; None when there is no such query.

    >>> scale = GradeScale(("no", "partly", "yes"))
    >>> round(ndcg([0, 2, 1, 1], [0.9, 0.5, 0.1, 0.3], ["q", "q", "q", "lonely"], scale), 4)
    0.6697
    >>> ndcg([1, 1], [0.9, 0.5], ["q", "q"], scale) is None
    True
    """
    values = query_ndcg(grades, relevance, groups, scale, (k,))[k]
    return None if np.isnan(values).all() else float(np.nanmean(values))

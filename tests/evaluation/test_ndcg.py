"""nDCG against scikit-learn, which is another implementation, and by hand."""

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from darl.errors import DataError
from darl.evaluation import ndcg, query_ndcg
from darl.evaluation.ranking import whole_gains
from darl.grades import GradeScale

ESCI = GradeScale(("I", "C", "S", "E"), (0.0, 0.01, 0.1, 1.0))


@pytest.mark.parametrize("scale", [ESCI, GradeScale(("a", "b", "c", "d")), GradeScale(tuple("abcd"), (-1, 0, 3, 7.5))])
@pytest.mark.parametrize("k", [5, 10])
def test_agrees_with_sklearn_on_every_query(scale, k):
    rng = np.random.default_rng(0)
    groups, grades, score = rng.integers(0, 30, 300), rng.integers(0, 4, 300), rng.random(300)
    found = query_ndcg(grades, score, groups, scale, (k,))[k]
    gains = np.asarray(scale.gains) - scale.gains[0]
    for at, query in enumerate(np.unique(groups)):
        rows = groups == query
        if len(set(grades[rows].tolist())) < 2:
            assert np.isnan(found[at])
        else:
            assert found[at] == pytest.approx(ndcg_score(gains[grades[rows]][None], score[rows][None], k=k), abs=1e-6)


def test_only_queries_that_can_rank_count():
    scale = GradeScale(("no", "yes"))
    assert ndcg([0, 1], [0.1, 0.2], ["a", "b"], scale) is None
    assert ndcg([1, 1, 0], [0.1, 0.2, 0.3], ["a", "a", "b"], scale) is None
    # one perfect query, one upside down: the mean of 1 and 1/log2(3); the all-"yes" query is no part of it
    found = ndcg([1, 0, 1, 0, 1, 1], [2, 1, 1, 2, 5, 6], [0, 0, 1, 1, 2, 2], scale)
    assert found == pytest.approx((1 + 1 / np.log2(3)) / 2)


def test_tiny_score_differences_count():
    """trec_eval keeps single precision; the order must come through all the same."""
    close = np.array([1.0, 1.0 + 1e-12])
    assert ndcg([0, 1], close, [0, 0], GradeScale(("no", "yes"))) == pytest.approx(1.0)
    assert ndcg([1, 0], close, [0, 0], GradeScale(("no", "yes"))) == pytest.approx(1 / np.log2(3))


def test_equal_scores_neither_flatter_nor_punish():
    grades, groups = np.tile([1, 0], 2000), np.repeat(np.arange(2000), 2)  # the relevant item always listed first
    found = ndcg(grades, np.zeros(4000), groups, GradeScale(("no", "yes")))
    assert found == pytest.approx((1 + 1 / np.log2(3)) / 2, abs=0.02)


@pytest.mark.parametrize(
    ("gains", "whole"),
    [
        ((0, 1, 2), (0, 1, 2)),
        ((0, 1 / 3, 1), (0, 1, 3)),
        ((-2, 0, 4), (0, 1, 3)),
        ((0, 1, 1_000_000), (0, 0, 10_000)),
    ],
)
def test_whole_gains(gains, whole):
    assert whole_gains(GradeScale(("a", "b", "c"), gains)) == whole


@pytest.mark.parametrize("gains", [(0, np.pi, 10), (0.1, 0.37, 0.4), (-5, np.e, 1000 / 7)])
def test_whole_gains_keep_the_proportions(gains):
    whole = whole_gains(GradeScale(("a", "b", "c"), gains))
    assert whole[2] <= 10_000
    assert whole[1] / whole[2] == pytest.approx((gains[1] - gains[0]) / (gains[2] - gains[0]), abs=1e-4)


def test_scores_that_are_no_numbers_are_named():
    with pytest.raises(DataError):
        ndcg([0, 1], [np.nan, 1.0], [0, 0], GradeScale(("no", "yes")))

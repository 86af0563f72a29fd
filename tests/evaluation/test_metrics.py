"""Metrics against scikit-learn, closed forms, and properties."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from darl.errors import DataError, EmptySplitError, GradeError
from darl.evaluation import accuracy, auc_thresholds, brier, confusion, macro_f1, nll, ordinal_mae, per_grade, qwk
from darl.evaluation.query_statistics import QueryStatistics
from darl.grades import GradeScale


def scale_of(K):
    return GradeScale(tuple(f"g{k}" for k in range(K)))


def sample(K, n, seed):
    rng = np.random.default_rng(seed)
    return rng.integers(0, K, n), rng.dirichlet(np.ones(K), n), rng.integers(0, K, n)


@settings(max_examples=60, deadline=None)
@given(K=st.integers(2, 7), n=st.integers(1, 80), seed=st.integers(0, 99_999))
def test_label_metrics_agree_with_sklearn(K, n, seed):
    truth, _, guess = sample(K, n, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert accuracy(truth, guess, K) == pytest.approx(sk.accuracy_score(truth, guess))
        assert macro_f1(truth, guess, K) == pytest.approx(sk.f1_score(truth, guess, average="macro", zero_division=0))
        assert ordinal_mae(truth, guess, K) == pytest.approx(sk.mean_absolute_error(truth, guess))
        assert (confusion(truth, guess, K) == sk.confusion_matrix(truth, guess, labels=range(K))).all()
        if len({*truth.tolist(), *guess.tolist()}) > 1:
            kappa = sk.cohen_kappa_score(truth, guess, labels=range(K), weights="quadratic")
            assert qwk(truth, guess, K) == pytest.approx(kappa)
        p, r, f, s = sk.precision_recall_fscore_support(truth, guess, labels=range(K), zero_division=np.nan)
    mine = per_grade(confusion(truth, guess, K))
    assert np.allclose(mine["precision"], p, equal_nan=True)
    assert np.allclose(mine["recall"], r, equal_nan=True)
    assert (mine["support"] == s).all()
    known = ~np.isnan(mine["f1"])
    assert np.allclose(mine["f1"][known], np.asarray(f)[known])


@settings(max_examples=60, deadline=None)
@given(K=st.integers(2, 7), n=st.integers(2, 80), seed=st.integers(0, 99_999), decimals=st.sampled_from([1, 15]))
def test_probability_metrics_agree_with_sklearn(K, n, seed, decimals):
    truth, p, _ = sample(K, n, seed)
    p = np.round(p, decimals) + 0.01  # one decimal makes many ties
    p /= p.sum(1, keepdims=True)
    assert nll(truth, p) == pytest.approx(sk.log_loss(truth, p, labels=range(K)))
    one_hot = np.eye(K)[truth]
    assert brier(truth, p) == pytest.approx(((p - one_hot) ** 2).sum(1).mean())
    if K == 2 and len(set(truth.tolist())) == 2:
        assert brier(truth, p) == pytest.approx(2 * sk.brier_score_loss(truth, p[:, 1]))
    for k, found in enumerate(auc_thresholds(truth, p), start=1):
        side = truth >= k
        if side.all() or not side.any():
            assert np.isnan(found)
        else:
            assert found == pytest.approx(sk.roc_auc_score(side, p[:, k:].sum(1)))


@pytest.mark.parametrize("K", [2, 3, 7])
def test_perfect_predictions(K):
    truth = np.arange(4 * K) % K
    p = np.eye(K)[truth]
    assert accuracy(truth, truth, K) == macro_f1(truth, truth, K) == qwk(truth, truth, K) == 1.0
    assert ordinal_mae(truth, truth, K) == brier(truth, p) == nll(truth, p) == 0.0
    assert (auc_thresholds(truth, p) == 1).all()


def test_grades_that_do_not_occur():
    # grade 2 in neither: left out; grade 1 only in the prediction: counts as 0
    assert macro_f1([0, 0, 0, 0], [0, 0, 0, 0], 3) == 1.0
    assert macro_f1([0, 0], [0, 1], 3) == pytest.approx((2 / 3 + 0) / 2)
    assert np.isnan(qwk([1, 1], [1, 1], 3))  # one grade throughout: chance agrees too
    assert qwk([1, 1], [1, 0], 3) == 0.0


def test_certain_and_wrong_costs_a_bounded_nll():
    assert nll([1], np.array([[1.0, 0.0]])) == pytest.approx(-np.log(1e-12))


@settings(max_examples=30, deadline=None)
@given(K=st.integers(2, 7), seed=st.integers(0, 99_999))
def test_the_order_of_pairs_does_not_matter_and_sums_agree_with_functions(K, seed):
    truth, p, guess = sample(K, 60, seed)
    groups = np.random.default_rng(seed).integers(0, 12, 60)
    move = np.random.default_rng(seed + 1).permutation(60)
    one = QueryStatistics(truth, p, guess, scale_of(K), groups=groups).values()
    two = QueryStatistics(truth[move], p[move], guess[move], scale_of(K), groups=groups[move]).values()
    assert one.keys() == two.keys()
    for name in one:
        assert np.allclose(one[name], two[name], equal_nan=True), name
    assert one["macro_f1"][0] == pytest.approx(macro_f1(truth, guess, K))
    assert one["nll"][0] == pytest.approx(nll(truth, p))
    assert one["brier"][0] == pytest.approx(brier(truth, p))
    aucs = auc_thresholds(truth, p)
    assert one["auc"][0] == pytest.approx(np.nanmean(aucs))


@settings(max_examples=30, deadline=None)
@given(K=st.integers(2, 5), seed=st.integers(0, 99_999))
def test_a_weight_is_a_repeated_query(K, seed):
    """The heart of the bootstrap: sums under counts equal the metrics of the table with rows repeated."""
    truth, p, guess = sample(K, 40, seed)
    rng = np.random.default_rng(seed)
    p = np.round(p, 2) + 0.01
    p /= p.sum(1, keepdims=True)
    groups = np.unique(rng.integers(0, 9, 40), return_inverse=True)[1]
    weights = rng.multinomial(groups.max() + 1, np.full(groups.max() + 1, 1 / (groups.max() + 1)))
    rows = np.repeat(np.arange(40), weights[groups])
    found = QueryStatistics(truth, p, guess, scale_of(K), groups=groups).values(weights[None])
    again = QueryStatistics(truth[rows], p[rows], guess[rows], scale_of(K)).values()
    for name in again:
        if name != "ece_adaptive":  # its bins are those of the full sample
            assert np.allclose(found[name], again[name], equal_nan=True), name


def test_wrong_arrays_are_named():
    p = np.full((2, 2), 0.5)
    with pytest.raises(EmptySplitError):
        nll([], np.empty((0, 2)))
    with pytest.raises(GradeError):
        nll([0, 2], p)
    with pytest.raises(GradeError):
        confusion([0, 0.5], [0, 1], 2)
    with pytest.raises(GradeError):
        confusion(["yes", "no"], [0, 1], 2)
    with pytest.raises(DataError):
        accuracy([0, 1], [0], 2)
    with pytest.raises(DataError, match="row 1"):
        brier([0, 1], np.array([[0.5, 0.5], [2.0, -1.0]]))
    with pytest.raises(DataError):
        QueryStatistics([0, 1], p, [0, 1], scale_of(2), groups=[1])
    with pytest.raises(DataError):
        QueryStatistics([0, 1], p, [0], scale_of(2))

"""Bootstrap intervals: closed forms, coverage, antisymmetry, and the one-query case."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.errors import DataError
from darl.evaluation import bootstrap_interval, paired_bootstrap
from darl.evaluation.intervals import Difference, Interval, difference_of, interval_of, resamples, statistics_draws
from darl.evaluation.query_statistics import QueryStatistics
from darl.grades import GradeScale


def share(truth, guess):
    return (truth == guess).mean()


def test_resamples_draw_whole_samples_and_are_seeded():
    drawn = np.concatenate(list(resamples(50, 300, seed=3, width=100_000)))
    assert drawn.shape == (300, 50)
    assert (drawn.sum(1) == 50).all()
    assert drawn.mean() == 1
    assert drawn.var() == pytest.approx(1, abs=0.05)  # a binomial(Q, 1/Q)
    assert (drawn == np.concatenate(list(resamples(50, 300, seed=3, width=100_000)))).all()
    assert list(resamples(1, 300)) == []


def test_standard_error_of_a_mean_is_the_textbook_one():
    x = np.random.default_rng(0).normal(size=400)
    found = bootstrap_interval(np.mean, x, count=4000)
    assert found.standard_error == pytest.approx(x.std() / 20, rel=0.05)
    assert found.high - found.low == pytest.approx(2 * 1.96 * x.std() / 20, rel=0.07)


def test_pairs_of_one_query_do_not_count_as_many():
    x = np.repeat(np.random.default_rng(0).normal(size=40), 10)
    alone = bootstrap_interval(np.mean, x, count=1000)
    together = bootstrap_interval(np.mean, x, groups=np.repeat(np.arange(40), 10), count=1000)
    assert together.standard_error / alone.standard_error == pytest.approx(np.sqrt(10), rel=0.15)


def test_coverage_is_near_the_level():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(300):
        found = bootstrap_interval(np.mean, rng.random(80), count=200)
        covered += found.low <= 0.5 <= found.high
    assert 0.9 <= covered / 300 <= 0.985


def test_one_query_has_no_interval():
    found = bootstrap_interval(np.mean, np.arange(5.0), groups=["q"] * 5)
    assert found.estimate == 2
    assert np.isnan([found.low, found.high, found.standard_error]).all()
    assert Interval.from_dict(found.to_dict()).to_dict() == found.to_dict()


def test_undefined_draws_are_left_out():
    assert interval_of(1.0, np.array([np.nan, 1.0, 1.0])).low == 1.0
    assert np.isnan(interval_of(np.nan, np.ones(3)).low)
    assert np.isnan(difference_of(0, 1, np.empty(0)).p)


def test_a_model_against_itself_differs_by_exactly_nothing():
    rng = np.random.default_rng(0)
    truth, guess = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    found = paired_bootstrap(share, (truth, guess), (truth, guess), groups=np.arange(200) // 4)
    assert found.difference == Interval(0.0, 0.0, 0.0, 0.0)
    assert found.p == 1.0


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 99_999))
def test_exchanging_the_models_turns_the_sign(seed):
    rng = np.random.default_rng(seed)
    truth, a, b = rng.integers(0, 3, (3, 60))
    one = paired_bootstrap(share, (truth, a), (truth, b), count=200, seed=seed)
    two = paired_bootstrap(share, (truth, b), (truth, a), count=200, seed=seed)
    assert one.difference.estimate == -two.difference.estimate
    assert one.difference.low == pytest.approx(-two.difference.high)
    assert one.p == two.p
    assert Difference.from_dict(one.to_dict()) == one


def test_p_is_uniform_enough_without_a_difference_and_small_with_one():
    rng = np.random.default_rng(1)
    p = [paired_bootstrap(np.mean, (rng.random(60),), (rng.random(60),), count=200, seed=seed).p for seed in range(200)]
    assert np.mean(np.array(p) < 0.05) < 0.12
    sure = paired_bootstrap(np.mean, (rng.random(60),), (rng.random(60) + 1,), count=999)
    assert sure.p == pytest.approx(2 / 1000)


def test_arrays_of_different_pairs_are_named():
    with pytest.raises(DataError):
        paired_bootstrap(np.mean, (np.ones(3),), (np.ones(4),))


def test_the_fast_draws_are_those_of_the_plain_loop():
    rng = np.random.default_rng(0)
    truth, p, groups = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90), rng.integers(0, 20, 90)
    found = QueryStatistics(truth, p, p.argmax(1), GradeScale(("a", "b", "c")), groups=groups)
    draws = statistics_draws([found], 300, seed=4)[0]["accuracy"]
    fast = interval_of(share(truth, p.argmax(1)), draws)
    slow = bootstrap_interval(share, truth, p.argmax(1), groups=groups, count=300, seed=4)
    assert vars(fast) == pytest.approx(vars(slow))


def test_two_thousand_resamples_of_six_thousand_pairs_are_fast():
    rng = np.random.default_rng(0)
    truth, p, groups = rng.integers(0, 5, 6000), rng.dirichlet(np.ones(5), 6000), rng.integers(0, 1500, 6000)
    found = QueryStatistics(truth, p, p.argmax(1), GradeScale(tuple("abcde")), groups=groups)
    start = time.process_time()
    draws = statistics_draws([found], 2000)[0]
    assert time.process_time() - start < 12  # about 2 s on one idle core
    assert all(len(values) == 2000 for values in draws.values())

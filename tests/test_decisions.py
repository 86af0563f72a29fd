"""Decision rules: closed forms, brute force, and a choice that does not overfit."""

import json
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.decisions import DecisionRule, choose_rule
from darl.decisions.agreement import OBJECTIVES
from darl.decisions.thresholds import bagged_thresholds, fit_thresholds
from darl.errors import DataError, EmptySplitError, GradeError, MissingGradeError, ModelError
from darl.grades import GradeScale

RULES = [
    DecisionRule(),
    DecisionRule("prior_corrected", prior=(0.5, 0.3, 0.2), tau=0.5),
    DecisionRule("least_cost", power=1),
    DecisionRule("least_cost", power=2),
    DecisionRule("thresholds", thresholds=(0.4, 1.3)),
]


def scale_of(K):
    return GradeScale(tuple(f"g{k}" for k in range(K)))


def normal_task(n=2500, K=5, seed=0, queries=600, noise=1.0, shares=(0.55, 0.2, 0.12, 0.08, 0.05)):
    """Grades with the exact posterior of a noisy reading of them."""
    rng = np.random.default_rng(seed)
    shares = np.resize(shares, K) / np.resize(shares, K).sum()
    grades = rng.choice(K, size=n, p=shares)
    reading = grades + noise * rng.normal(size=n)
    logits = -((reading[:, None] - np.arange(K)) ** 2) / (2 * noise**2) + np.log(shares)
    p = np.exp(logits - logits.max(1, keepdims=True))
    return grades, p / p.sum(1, keepdims=True), rng.integers(0, queries, n)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rule_survives_json_and_decides_the_same(rule):
    p = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    again = DecisionRule.from_dict(json.loads(json.dumps(rule.to_dict())))
    assert again == rule
    decided = again.decide(p)
    assert decided.dtype == np.int64
    assert decided.shape == (200,)
    assert set(decided.tolist()) <= {0, 1, 2}
    assert rule.decide(np.empty((0, 3))).shape == (0,)
    assert (rule.decide(np.eye(3)) == [0, 1, 2]).all()  # certainty is obeyed by every rule


@pytest.mark.parametrize("K", [2, 5, 7])
@pytest.mark.parametrize("power", [1, 2])
def test_least_cost_is_brute_force_minimum(K, power):
    p = np.random.default_rng(K).dirichlet(np.ones(K), 300)
    cost = np.array([[sum(row[i] * abs(i - j) ** power for i in range(K)) for j in range(K)] for row in p])
    decided = DecisionRule("least_cost", power=power).decide(p)
    assert np.allclose(cost[np.arange(300), decided], cost.min(1))


def test_least_cost_is_median_and_rounded_mean():
    p = np.random.default_rng(3).dirichlet(np.ones(6), 500)
    median = (np.cumsum(p, 1) < 0.5).sum(1)
    mean = np.rint(p @ np.arange(6))
    assert (DecisionRule("least_cost", power=1).decide(p) == median).all()
    assert (DecisionRule("least_cost", power=2).decide(p) == mean).all()


def test_prior_correction_closed_form():
    p, prior = np.random.default_rng(1).dirichlet(np.ones(4), 300), (0.7, 0.15, 0.1, 0.05)
    assert (DecisionRule("prior_corrected", prior=prior, tau=0).decide(p) == p.argmax(1)).all()
    expected = (np.log(p) - 0.6 * np.log(prior)).argmax(1)
    assert (DecisionRule("prior_corrected", prior=prior, tau=0.6).decide(p) == expected).all()


def test_a_threshold_itself_belongs_to_the_higher_grade():
    assert DecisionRule("thresholds", thresholds=(0.5,)).decide(np.array([[0.5, 0.5], [0.51, 0.49]])).tolist() == [1, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "guess"},
        {"kind": "prior_corrected"},
        {"kind": "prior_corrected", "prior": [0.5, 0.0, 0.5]},
        {"kind": "prior_corrected", "prior": [0.5, 0.5], "tau": -1},
        {"kind": "least_cost", "power": 3},
        {"kind": "thresholds"},
        {"kind": "thresholds", "thresholds": [1.0, 1.0]},
        {"kind": "thresholds", "thresholds": [float("nan")]},
        {"kind": "argmax", "colour": "red"},
        {"kind": "thresholds", "thresholds": ["a"]},
    ],
)
def test_a_wrong_rule_is_named(wrong):
    with pytest.raises(ModelError):
        DecisionRule.from_dict(wrong)


@pytest.mark.parametrize("p", [np.ones(3), np.ones((2, 1)), np.array([[np.nan, 1.0, 0.0]]), np.ones((2, 4)) / 4])
def test_wrong_probabilities_are_named(p):
    with pytest.raises(DataError):
        RULES[1].decide(p)


@pytest.mark.parametrize("objective", list(OBJECTIVES))
def test_fitted_thresholds_match_exhaustive_search(objective):
    grades, p, _ = normal_task(n=60, K=3, seed=4)
    judge, expected = OBJECTIVES[objective], p @ np.arange(3)
    cells = np.sort(expected)
    cuts = (cells[1:] + cells[:-1]) / 2

    def figure(low, high):
        decided = (expected >= low).astype(int) + (expected >= high)
        return float(judge(np.bincount(grades * 3 + decided, minlength=9).reshape(3, 3)))

    best = max(figure(low, high) for at, low in enumerate(cuts) for high in cuts[at + 1 :])
    rule = fit_thresholds(p, grades, judge)
    assert rule is not None
    assert figure(*rule.thresholds) >= best - 0.02  # coordinate ascent may stop at a local best, not far below


def test_thresholds_need_enough_different_values():
    assert fit_thresholds(np.tile([0.2, 0.3, 0.5], (20, 1)), np.arange(20) % 3, OBJECTIVES["accuracy"]) is None


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(0, 10_000), st.integers(2, 80))
def test_any_dev_gives_a_rule_or_a_named_error(K, seed, n):
    rng = np.random.default_rng(seed)
    p, grades = rng.dirichlet(np.ones(K), n), rng.integers(0, K, n)
    try:
        choice = choose_rule(p, grades, scale_of(K), groups=rng.integers(0, 10, n), seed=seed)
    except MissingGradeError:
        assert len(set(grades.tolist())) == 1
        return
    decided = choice.rule.decide(p)
    assert decided.min() >= 0
    assert decided.max() < K
    json.dumps(choice.to_dict(), allow_nan=False)
    if choice.rule.kind == "thresholds":
        assert all(a < b for a, b in pairwise(choice.rule.thresholds))


def test_calibrated_probabilities_mostly_keep_argmax_for_accuracy():
    """On the true posterior nothing beats argmax in accuracy: one standard error lets a switch through now and then."""
    kept = 0
    for seed in range(10):
        grades, p, groups = normal_task(seed=seed, n=1500)
        kept += choose_rule(p, grades, scale_of(5), objective="accuracy", groups=groups).rule.kind == "argmax"
    assert kept >= 7


def test_a_needed_correction_is_found_and_holds_on_fresh_pairs():
    grades, p, groups = normal_task(n=2500, seed=1)
    choice = choose_rule(p, grades, scale_of(5), groups=groups)
    assert choice.rule.kind != "argmax"
    assert choice.rule.name in choice.reason
    assert next(row for row in choice.table if row.rule == choice.rule.name).note == "beats argmax"
    fresh, q, _ = normal_task(n=20_000, seed=99)
    judge = OBJECTIVES["macro_f1_qwk"]
    figures = [
        float(judge(np.bincount(fresh * 5 + decided, minlength=25).reshape(5, 5)))
        for decided in (q.argmax(1), choice.rule.decide(q))
    ]
    assert figures[1] > figures[0]


def test_a_rule_that_harms_shifted_traffic_is_not_taken():
    grades, p, groups = normal_task(n=2500, seed=1)
    free = choose_rule(p, grades, scale_of(5), groups=groups)
    best = p.argmax(1)  # traffic on which argmax is always right
    elsewhere = (p, best, groups)
    kept = choose_rule(p, grades, scale_of(5), groups=groups, shifted=elsewhere, shift_share=0.0)
    assert free.rule.kind != "argmax"
    assert kept.rule.kind == "argmax"
    assert free.rule.name in kept.reason
    assert "gives up" in next(row for row in kept.table if row.rule == free.rule.name).note
    allowed = {"shift_share": 0.0, "max_shifted_loss": 1.0}
    loose = choose_rule(p, grades, scale_of(5), groups=groups, shifted=elsewhere, **allowed)
    assert loose.rule == free.rule
    weighed = choose_rule(p, grades, scale_of(5), groups=groups, shifted=elsewhere, max_shifted_loss=1.0)
    assert weighed.rule.kind == "argmax", "what it gains on dev does not make up for what it loses elsewhere"


def test_weighted_pairs_count_as_often_as_repeated_ones():
    grades, p, _ = normal_task(n=200, K=3, seed=2)
    judge, weights = OBJECTIVES["macro_f1"], np.random.default_rng(0).integers(1, 4, 200)
    rows = np.repeat(np.arange(200), weights)
    assert fit_thresholds(p, grades, judge, weights=weights.astype(float)) == fit_thresholds(
        p[rows], grades[rows], judge
    )


def test_averaged_thresholds_move_less_than_those_of_one_dev_set():
    judge, once, averaged = OBJECTIVES["macro_f1_qwk"], [], []
    for seed in range(20):
        grades, p, groups = normal_task(n=200, K=3, seed=seed, noise=1.5)
        once.append(fit_thresholds(p, grades, judge).thresholds)
        averaged.append(bagged_thresholds(p, grades, judge, groups).thresholds)
    assert np.std(averaged, axis=0).mean() < np.std(once, axis=0).mean()


def test_the_rule_bends_to_shifted_traffic_in_its_share():
    """Traffic on which the same probabilities mean a grade less: the more it counts for, the higher the cuts."""
    grades, p, groups = normal_task(n=1500, K=3, seed=1)
    p = 0.3 * p + 0.7 * np.array([1.0, 0.0, 0.0])  # ordered as before, but 0 is always the likeliest grade by far
    lower, cuts = (p, np.maximum(grades - 1, 0), groups), []
    for share in (0.0, 0.3, 0.9):
        told = {"shifted": lower, "shift_share": share, "max_shifted_loss": 1.0, "objective": "accuracy"}
        rule = choose_rule(p, grades, scale_of(3), groups=groups, **told).rule
        assert rule.kind == "thresholds"
        cuts.append(np.mean(rule.thresholds))
    assert cuts[0] < cuts[1] < cuts[2]


def test_another_rule_than_argmax_may_be_the_one_to_beat():
    grades, p, groups = normal_task(n=2500, seed=1)
    plain = DecisionRule("prior_corrected", prior=(1e-6, 1.0, 1.0, 1.0, 1.0), tau=1.0)  # says 0 for everything
    choice = choose_rule(p, grades, scale_of(5), groups=groups, plain=plain)
    assert choice.table[0].rule == "argmax before calibration"
    assert {row.rule for row in choice.table} > {"argmax", "thresholds"}
    one = choose_rule(p[:3], grades[:3], scale_of(5), groups=np.zeros(3), plain=plain)
    assert one.rule == plain


def test_labels_without_signal_do_not_make_thresholds_win():
    kept = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        p, grades = rng.dirichlet(np.ones(3) * 5, 300), rng.integers(0, 3, 300)
        table = {row.rule: row for row in choose_rule(p, grades, scale_of(3), objective="accuracy").table}
        kept += table["thresholds"].gain < 0.06
    assert kept >= 7


def test_a_grade_absent_from_dev_is_said_and_skips_fitted_rules():
    grades, p, groups = normal_task(K=4, seed=2)
    seen = grades != 3
    choice = choose_rule(p[seen], grades[seen], scale_of(4), groups=groups[seen])
    notes = {row.rule: row.note for row in choice.table}
    assert "dev lacks g3" in choice.reason
    assert notes["thresholds"] == notes["prior_corrected τ=1"] == "left out: dev lacks a grade"
    given_prior = choose_rule(p[seen], grades[seen], scale_of(4), groups=groups[seen], prior=(0.4, 0.3, 0.2, 0.1))
    assert np.isfinite(next(row for row in given_prior.table if row.rule == "prior_corrected τ=1").figure)


def test_one_query_keeps_argmax():
    grades, p, _ = normal_task(n=50, K=3)
    choice = choose_rule(p, grades, scale_of(3), groups=np.zeros(50))
    assert choice.rule == DecisionRule()
    assert "one query" in choice.reason


def test_named_errors_of_the_choice():
    p = np.full((4, 2), 0.5)
    with pytest.raises(EmptySplitError):
        choose_rule(np.empty((0, 2)), [], scale_of(2))
    with pytest.raises(MissingGradeError, match="g1"):
        choose_rule(p, [1, 1, 1, 1], scale_of(2))
    with pytest.raises(GradeError):
        choose_rule(p, [0, 1, 2, 1], scale_of(2))
    with pytest.raises(DataError):
        choose_rule(p[:3], [0, 1, 0, 1], scale_of(2))
    with pytest.raises(DataError, match="objective"):
        choose_rule(p, [0, 1, 0, 1], scale_of(2), objective="beauty")


def test_the_choice_is_seeded_and_fast():
    grades, p, groups = normal_task()
    names = np.array([f"query {code}" for code in groups])
    start = time.process_time()
    one = choose_rule(p, grades, scale_of(5), groups=names)
    assert time.process_time() - start < 6
    assert one == choose_rule(p, grades, scale_of(5), groups=names)

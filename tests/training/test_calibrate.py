"""The temperature: a known one is found again, dev never gets worse, and odd logits do no harm."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import log_softmax, softmax

from darl.errors import DataError, EmptySplitError
from darl.training.calibrate import (
    HIGHEST,
    LOWEST,
    DevLogits,
    Scaling,
    calibrate,
    evidence_of,
    fit_shifts,
    fit_temperature,
)


def nll(logits: np.ndarray, grades: np.ndarray, temperature: float) -> float:
    return float(-log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(len(grades)), grades].mean())


def honest(n: int, K: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and grades drawn from their very softmax."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, K)) * 1.5
    grades = (softmax(logits, axis=1).cumsum(1) < rng.random((n, 1))).sum(1)
    return logits, grades.clip(0, K - 1)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    logits, grades = honest(20_000)
    assert fit_temperature(logits * temperature, grades) == pytest.approx(temperature, rel=0.03)


LOGITS = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=st.floats(-50, 50, width=32))


@given(LOGITS, st.integers(0, 10**6), st.sampled_from([1.0, 20.0, np.inf]))
def test_dev_never_gets_worse(logits: np.ndarray, seed: int, evidence: float) -> None:
    grades = np.random.default_rng(seed).integers(0, 3, len(logits))
    temperature = fit_temperature(logits, grades, evidence=evidence)
    assert nll(logits, grades, temperature) <= nll(logits, grades, 1.0) + 1e-12
    assert LOWEST <= temperature <= HIGHEST


def test_weights_are_repetition() -> None:
    logits, grades = honest(300)
    counts = np.random.default_rng(1).integers(1, 4, len(grades))
    repeated = fit_temperature(np.repeat(logits, counts, axis=0), np.repeat(grades, counts))
    assert fit_temperature(logits, grades, counts) == pytest.approx(repeated, abs=1e-4)


def test_a_pair_of_weight_0_does_not_count() -> None:
    logits, grades = honest(300)
    more, wrong = np.vstack([logits, [[900.0, 0, 0, 0]]]), np.append(grades, 3)
    weights = np.append(np.ones(300), 0.0)
    assert fit_temperature(more, wrong, weights) == pytest.approx(fit_temperature(logits, grades), abs=1e-4)


def test_logits_that_say_nothing_keep_their_size() -> None:
    assert fit_temperature(np.zeros((5, 3)), np.array([0, 1, 2, 0, 1])) == 1.0


def test_a_perfect_model_gets_the_sharpest_temperature_allowed() -> None:
    assert fit_temperature(np.eye(3), np.arange(3)) == pytest.approx(LOWEST, rel=1e-3)


def test_huge_wrong_logits_are_calmed_as_far_as_allowed() -> None:
    assert fit_temperature(np.eye(3) * 1e30, np.array([1, 2, 0])) == pytest.approx(HIGHEST, rel=1e-3)


def test_logits_that_are_not_finite_are_named() -> None:
    with pytest.raises(DataError, match="not finite"):
        fit_temperature(np.array([[0.0, np.inf]]), np.array([0]))


def test_no_pair_is_named() -> None:
    with pytest.raises(EmptySplitError):
        fit_temperature(np.zeros((0, 3)), np.zeros(0, dtype=int))


def drawn(n: int, shifts: list[float], seed: int, temperature: float = 1.5) -> DevLogits:
    """Pairs, five to a query, whose grades follow softmax(z / T + b)."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, len(shifts))) * 2
    p = softmax(z / temperature + np.array(shifts), axis=1)
    return DevLogits(z, (p.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1), np.arange(n) // 5)


def test_temperature_and_shifts_are_found_again() -> None:
    dev = drawn(6000, [0.0, 1.5, -1.0], 0)
    found = fit_shifts(dev.logits, dev.grades)
    assert found.temperature == pytest.approx(1.5, rel=0.08)
    assert found.shifts == pytest.approx([0.0, 1.5, -1.0], abs=0.12)


@given(st.integers(0, 500))
def test_shifts_leave_each_grade_its_share(seed: int) -> None:
    """At the optimum the gradient for b is zero: the mean probability of a grade is its frequency."""
    dev = drawn(300, [0.0, 0.5, -0.5, 0.2], seed)
    if len(np.unique(dev.grades)) == 4:
        p = softmax(fit_shifts(dev.logits, dev.grades).of(dev.logits), axis=1)
        np.testing.assert_allclose(p.mean(axis=0), np.bincount(dev.grades, minlength=4) / 300, atol=2e-3)


def test_shifts_are_taken_only_where_they_pay() -> None:
    def chosen(shifts: list[float]) -> list[tuple[float, ...]]:
        devs = [drawn(1000, shifts, seed) for seed in range(12)]
        return [calibrate(dev, None, share=0.3, shifts=None, seed=0)[0].shifts for dev in devs]

    needless = chosen([0.0, 0.0, 0.0])
    assert sum(map(bool, needless)) <= 6
    assert all(abs(b) < 0.35 for shifts in needless for b in shifts)  # chance's own, and small
    assert all(chosen([0.0, 1.0, 0.0]))


def test_evidence_lies_between_queries_and_pairs() -> None:
    """Kish's effective size; weights of other sizes leave it, unequal ones lower it."""
    groups = np.repeat(np.arange(20), 5)
    assert evidence_of(np.ones(100), np.arange(100)) == pytest.approx(100)
    assert evidence_of(np.full(100, 0.01), groups) == pytest.approx(100 / (1 + 4 * 0.2))
    assert evidence_of(np.r_[np.full(50, 3.0), np.ones(50)], groups) < 100 / (1 + 4 * 0.2)
    assert evidence_of(np.r_[np.ones(50), np.zeros(50)], groups) == pytest.approx(50 / (1 + 4 * 0.2))


def test_less_evidence_leaves_more_as_it_was() -> None:
    dev = drawn(2000, [0.0, 1.0, -1.0], 4, temperature=3.0)
    found = [fit_shifts(dev.logits, dev.grades, evidence=n) for n in (np.inf, 1000, 30, 3, 0.01)]
    sizes = [abs(np.log(each.temperature)) for each in found], [np.ptp(each.shifts) for each in found]
    for size in sizes:
        assert size == sorted(size, reverse=True)
        assert size[-1] < 0.02
        assert size[1] == pytest.approx(size[0], rel=0.05)  # a thousand pairs outvote the prior
    alone = [fit_temperature(dev.logits, dev.grades, evidence=n) for n in (np.inf, 30, 3)]
    assert alone == sorted(alone, reverse=True)


def test_few_queries_do_not_spoil_a_calibrated_model() -> None:
    """Ten queries of three pairs: the least NLL on them is far from calibrated, the prior keeps most of what was."""
    far, kept = [], []
    for seed in range(40):
        dev, new = drawn(30, [0.0, 0.0, 0.0], seed, 1.0), drawn(3000, [0.0, 0.0, 0.0], 1000 + seed, 1.0)
        ways = fit_shifts(dev.logits, dev.grades), calibrate(dev, None, share=0.3, shifts=True, seed=0)[0]
        for losses, way in zip((far, kept), ways, strict=True):
            losses.append(nll(way.of(new.logits), new.grades, 1.0) - nll(new.logits, new.grades, 1.0))
    assert np.mean(kept) < 0.5 * np.mean(far)


def test_shifted_traffic_counts_by_its_share() -> None:
    known, shifted = drawn(3000, [0.0, 0.0, 0.0], 1), drawn(500, [0.0, 1.0, 0.0], 2)
    found = [calibrate(known, shifted, share=share, shifts=True, seed=0)[0].shifts[1] for share in (0.0, 0.5, 1.0)]
    assert found[0] == pytest.approx(0.0, abs=0.15)
    assert found[0] < found[1] < found[2]
    assert found[2] == pytest.approx(1.0, abs=0.3)


def test_what_leaves_a_temperature_alone() -> None:
    dev = drawn(200, [0.0, 3.0, 0.0], 3)
    assert calibrate(dev, None, share=0.3, shifts=False, seed=0)[0].shifts == ()
    one_query = DevLogits(dev.logits, dev.grades, np.zeros(200))
    assert calibrate(one_query, None, share=0.3, shifts=None, seed=0)[0].shifts == ()
    two_grades = dev.grades != 2
    lacking = DevLogits(dev.logits[two_grades], dev.grades[two_grades], dev.groups[two_grades])
    scaling, why = calibrate(lacking, None, share=0.3, shifts=True, seed=0)
    assert scaling == Scaling(scaling.temperature)
    assert "lacks a grade" in why


@pytest.mark.filterwarnings("error")
def test_what_counts_for_nothing_is_no_fold_to_fit_on() -> None:
    known, shifted = drawn(60, [0.0, 0.0, 0.0], 1), drawn(20, [0.0, 1.0, 0.0], 2)
    shifted = DevLogits(shifted.logits, shifted.grades, np.zeros(20))
    found = calibrate(known, shifted, share=1.0, shifts=None, seed=0)
    assert found == calibrate(shifted, None, share=0.3, shifts=None, seed=0)

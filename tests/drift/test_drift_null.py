"""The null windows against closed forms: cluster variance, exact levels, min-p."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.drift.null import NullWindows, p_value, smallest_p


def clustered(rng: np.random.Generator, queries: int, size: int, between: float) -> tuple[np.ndarray, np.ndarray]:
    """Query of each pair, and values with variance ``between`` among queries and 1 − between within."""
    groups = np.repeat(np.arange(queries), size)
    effect = rng.normal(0, np.sqrt(between), queries)
    return groups, effect[groups] + rng.normal(0, np.sqrt(1 - between), len(groups))


def test_a_draw_has_the_traffics_sizes_and_one_query_a_slot() -> None:
    groups = np.repeat(np.arange(10), 5)
    sizes = np.array([3, 1, 2])
    shares = NullWindows(groups, sizes, draws=50, seed=0).means(np.eye(10)[groups]) * sizes.sum()
    assert np.allclose(shares.sum(axis=1), 6)
    assert np.allclose(shares, np.round(shares))
    assert (np.count_nonzero(shares, axis=1) <= 3).all()


def test_draws_that_are_not_kept_are_the_same_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    groups, sizes = np.repeat(np.arange(40), 5), np.full(12, 5)
    values = np.random.default_rng(0).normal(size=(200, 3))
    kept = NullWindows(groups, sizes, draws=100, seed=3).means(values)
    monkeypatch.setattr("darl.drift.null.MOST_KEPT", 0)
    chunks: list[int] = []
    NullWindows(groups, sizes, draws=100, seed=3).means(values, lambda means: chunks.append(len(means)) or means)
    assert chunks == [100]
    monkeypatch.setattr("darl.drift.null.MOST_PLACES", 6000)  # room for 100 windows of 60 pairs, for 30 of 200 shares
    streamed = NullWindows(groups, sizes, draws=100, seed=3)
    chunks.clear()
    found = streamed.means(values, lambda means: chunks.append(len(means)) or means**2)
    assert chunks == [30, 30, 30, 10]
    assert np.allclose(found, kept**2, atol=1e-5)


def test_a_query_smaller_than_its_slot_is_taken_again() -> None:
    shares = NullWindows(np.array([0, 0]), np.array([4]), draws=5, seed=0).means(np.eye(2))
    assert np.allclose(shares, 0.5)


def test_the_spread_is_that_of_window_and_reference_together() -> None:
    rng = np.random.default_rng(0)
    groups, values = clustered(rng, 100, 6, between=0.5)
    by_query = np.bincount(groups, values) / 6
    null = NullWindows(groups, np.full(25, 6), draws=4000, seed=1)
    expected = by_query.var() * (1 / 25 + 1 / 100 - 1 / 2500)
    assert null.means(values[:, None])[:, 0].var() == pytest.approx(expected, rel=0.1)
    assert null.query_means(values).var() == pytest.approx(expected, rel=0.1)


def test_known_traffic_alarms_at_its_level_whatever_the_clustering() -> None:
    hits = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        groups, values = clustered(rng, 80, 5, between=0.6)
        _, window = clustered(rng, 20, 5, between=0.6)
        null = NullWindows(groups, np.full(20, 5), draws=199, seed=seed).means(values[:, None])[:, 0]
        hits.append(p_value(float(window.mean()), null) <= 0.05)
    assert np.mean(hits) < 0.09  # 0.05 and three standard errors; pairs taken as independent give over 0.2


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_min_p_lies_between_the_smallest_and_bonferroni(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    null, observed = rng.normal(size=(199, count)), rng.normal(size=count) + 1
    raw, joint = smallest_p(observed, null)
    assert raw.min() <= joint + 1e-12
    assert joint <= min(1.0, count * raw.min()) + 1e-12


def test_the_p_of_min_p_is_uniform() -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(3, 3))
    weights = np.array([0.6, 0.3, 0.1])
    found = [
        smallest_p(rng.normal(size=3) @ mixing, rng.normal(size=(199, 3)) @ mixing, weights)[1] for _ in range(600)
    ]
    assert np.mean(np.array(found) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(found) == pytest.approx(0.5, abs=0.05)

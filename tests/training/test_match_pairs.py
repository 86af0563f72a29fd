"""The pairs that matching is learnt on: how many of which kind, and that a near item is near."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.training import match_pairs
from darl.training.match_pairs import MatchPairs, make_match_pairs


def unit(rng: np.random.Generator, n: int, d: int = 8) -> np.ndarray:
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 60), st.integers(2, 200), st.integers(0, 9))
def test_pairs_are_distinct_within_the_count_and_their_cosine_is_theirs(
    q: int, m: int, seen: int, count: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, items = unit(rng, q), unit(rng, m)
    pairs = make_match_pairs((rng.integers(q, size=seen), rng.integers(m, size=seen)), queries, items, count, rng)
    both = np.stack([pairs.query, pairs.item], axis=1)
    assert 0 < len(pairs) <= count
    assert len(np.unique(both, axis=0)) == len(pairs)
    assert np.allclose(pairs.cosine, (queries[pairs.query] * items[pairs.item]).sum(axis=1), atol=1e-6)


def test_half_are_seen_a_quarter_near_and_the_rest_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(match_pairs, "NEAREST", 5)
    rng = np.random.default_rng(0)
    queries, items = unit(rng, 400), unit(rng, 2000)
    seen = (np.arange(400), np.arange(400))
    pairs = make_match_pairs(seen, queries, items, 400, rng)
    own = pairs.query == pairs.item
    rank = ((queries[pairs.query] @ items.T) > pairs.cosine[:, None] + 1e-6).sum(axis=1)
    assert abs(own.sum() - 200) <= 2
    assert abs((~own & (rank < 5)).sum() - 100) <= 8  # two draws can be the same pair
    assert len(pairs) > 385


def test_the_same_generator_gives_the_same_pairs() -> None:
    def draw(seed: int) -> MatchPairs:
        rng = np.random.default_rng(0)
        queries, items = unit(rng, 30), unit(rng, 30)
        return make_match_pairs((np.arange(30), np.arange(30)), queries, items, 50, np.random.default_rng(seed))

    assert (draw(1).item == draw(1).item).all()
    assert len(draw(1)) != len(draw(2)) or (draw(1).item != draw(2).item).any()


def test_targets_are_standardised_and_a_constant_cosine_does_no_harm() -> None:
    targets = MatchPairs(np.zeros(3), np.arange(3), np.array([0.1, 0.2, 0.6], dtype=np.float32)).targets()
    assert abs(targets.mean()) < 1e-6
    assert abs(targets.std() - 1) < 1e-6
    assert (MatchPairs(np.zeros(2), np.arange(2), np.full(2, 0.3, dtype=np.float32)).targets() == 0).all()

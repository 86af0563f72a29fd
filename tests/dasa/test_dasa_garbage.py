"""Garbage planted in a pool, all of it further out than any traffic: it must not reach the annotators."""

from __future__ import annotations

from functools import cache
from zlib import crc32

import numpy as np
import pytest
from dasa_worlds import FakeModel
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.dasa import select
from darl.dasa.language_guards import GibberishGuard, ScriptGuard, main_script, spelled
from darl.demo.world import make_world
from darl.pairs import PairTable

# the distinct words of the demo's world: enough to show a language
WORLD = make_world(0).train
TEXTS = [text for pair in WORLD for text in (pair["query"], pair["item"])]
WORDS = sorted({word for text in TEXTS for word in spelled(text).split()})


def sentence(rng: np.random.Generator, n: int) -> str:
    return " ".join(rng.choice(WORDS, n))


@cache
def traffic(n: int, seed: int) -> PairTable:
    rng = np.random.default_rng(seed)
    return PairTable.from_pairs([sentence(rng, 3) for _ in range(n)], [sentence(rng, 6) for _ in range(n)])


TRAIN = traffic(400, 0)
DIRECTIONS = np.random.default_rng(7).normal(size=(1009, 8))
LETTERS = "abcdefghijklmnopqrstuvwxyz"


class Planted(FakeModel):
    """Scores traffic at random, and every planted pair further out than all of it."""

    def __init__(self, planted: set[str]) -> None:
        super().__init__()
        self.planted = planted

    def score(self, pairs: PairTable, *, ood: bool = True):
        scores = super().score(pairs)
        rng = np.random.default_rng(1)
        out = rng.uniform(0, 9, len(pairs))
        out[[item in self.planted for item in pairs.items]] = 50.0
        scores.ood_scores, scores.ood_percentiles = out, np.clip(out * 10, 0, 100)
        return scores

    def ood_features(self, encoded: PairTable) -> np.ndarray:
        """A direction by the words of the item; garbage has directions of its own."""
        return DIRECTIONS[[crc32(item.encode()) % len(DIRECTIONS) for item in encoded.items]]


def plant(kind: str, rng: np.random.Generator) -> PairTable:
    if kind == "characters":
        items = ["".join(rng.choice(list(LETTERS + "     "), 40)) for _ in range(150)]
    elif kind == "symbols":
        items = ["".join(rng.choice(list(LETTERS + LETTERS.upper() + "0123456789#$%&*"), 30)) for _ in range(150)]
    elif kind == "script":
        items = ["".join(rng.choice(list("абвгдежзиклмнопрст   "), 30)) for _ in range(100)]
    elif kind == "empty":
        items = [" ", "?", "—", "\t", "…"] * 20
    else:
        return PairTable.from_pairs(
            [sentence(rng, 3) for _ in range(1000)], ["please read the policy and the plan of your family cover"] * 1000
        )
    return PairTable.from_pairs([sentence(rng, 3) for _ in items], items)


KINDS = ("characters", "symbols", "script", "empty", "boilerplate")


def shares(strategy: str, kinds: tuple[str, ...]) -> dict[str, float]:
    """The share of each kind of garbage among the picks from a pool that all of them are planted in."""
    rng = np.random.default_rng(5)
    planted = {kind: plant(kind, rng) for kind in kinds}
    pool = traffic(3000, 2).concat(*planted.values())
    items = {kind: set(pairs.items) for kind, pairs in planted.items()}
    selection = select(Planted(set().union(*items.values())), pool, budget=200, train=TRAIN, strategy=strategy)
    assert len(selection) == 200
    return {kind: float(np.mean([item in items[kind] for item in selection.pairs.items])) for kind in kinds}


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_of_one_kind_is_under_two_percent_of_the_picks(kind):
    assert shares("dasa", (kind,))[kind] < 0.02


@pytest.mark.parametrize("strategy", ["dasa", "coverage", "k-center", "typiclust", "badge", "balanced"])
def test_garbage_of_every_kind_together_is_under_two_percent_of_the_picks(strategy):
    found = shares(strategy, KINDS)
    assert sum(found.values()) < 0.02, found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["dasa", "k-center", "badge", "typiclust", "margin", "uncertainty"]))
def test_no_evaluation_query_and_no_pair_twice_whatever_the_strategy(seed, strategy):
    pool = traffic(150, seed)
    pool = pool.concat(pool.take(np.arange(0, 150, 2)))
    held = pool.take(np.arange(10))
    selection = select(
        Planted(set(pool.items[:40])), pool, budget=60, train=TRAIN, evaluations={"test": held}, strategy=strategy,
        seed=seed,
    )  # fmt: skip
    pairs = list(zip(selection.pairs.queries, selection.pairs.items, strict=True))
    assert len(set(pairs)) == len(pairs) == 60
    assert not set(selection.pairs.queries) & set(held.queries)


def test_the_guards_leave_traffic_alone():
    pool = traffic(2000, 9)
    assert not GibberishGuard(TRAIN).check(pool).mask.any()
    assert not ScriptGuard(TRAIN).check(pool).mask.any()
    for guard in (GibberishGuard(None), ScriptGuard(None)):
        assert not guard.check(plant("characters", np.random.default_rng(0))).mask.any()


def test_a_foreign_script_that_much_of_the_pool_has_is_traffic():
    few = traffic(200, 3).concat(PairTable.from_pairs(["boat plan"] * 4, [f"план {i} страхование" for i in range(4)]))
    many = traffic(40, 3).concat(PairTable.from_pairs(["boat plan"] * 9, [f"план {i} страхование" for i in range(9)]))
    assert ScriptGuard(TRAIN).check(few).mask.sum() == 4
    assert ScriptGuard(TRAIN).check(many).mask.sum() == 0


GUARD = GibberishGuard(TRAIN)


@given(st.text(st.characters(exclude_categories=()), max_size=60))
def test_the_language_guards_take_any_text(text):
    spelled(text)
    main_script(text)
    pool = PairTable.from_pairs([text, "boat plan"], ["family cover", text])
    assert GUARD.check(pool).mask.shape == (2,)
    assert ScriptGuard(TRAIN).check(pool).mask.shape == (2,)


def test_a_small_world_does_not_make_a_new_subject_gibberish():
    """Few distinct words show a subject and not a language: what is new must reach the annotators."""
    small = PairTable.from_pairs(["travel insurance"] * 60, [f"pet cover for an old dog {i}" for i in range(60)])
    new = PairTable.from_pairs(["running shoes"], ["round wooden garden table for four people"])
    assert not GibberishGuard(small).check(new).mask.any()

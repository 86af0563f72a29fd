"""Each strategy's ranking by itself: closed forms, and scikit-activeml as an independent oracle."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from dasa_worlds import SCALE

from darl.dasa.candidates import Candidates
from darl.dasa.strategies import Balanced, Context, KCenter, Margin, Uncertainty, make_strategy, strategy_names
from darl.pairs import PairTable


def context_of(
    n: int = 60, *, budget: int = 12, known: int = 5, seed: int = 0, shares: tuple[float, ...] | None = None
) -> tuple[Context, np.ndarray, np.ndarray]:
    """A pool of distinct pairs with random scores, grades and features; the features of pool and training pairs."""
    rng = np.random.default_rng(seed)
    features, train = rng.normal(size=(n, 6)), rng.normal(size=(known, 6))
    chances = rng.dirichlet(np.ones(3), n)
    scores = rng.permutation(n).astype(float)
    candidates = Candidates(
        SCALE, scores, 100 * scores / n, chances.argmax(1), SCALE.relevance(chances), chances.astype(np.float32)
    )
    pool = PairTable.from_pairs([f"query {i}" for i in range(n)], [f"item {i}" for i in range(n)])
    context = Context(
        pool, candidates, np.arange(n), budget, seed, lambda rows: features[rows], lambda: train,
        known_shares=None if shares is None else np.array(shares),
    )  # fmt: skip
    return context, features, train


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_k_center_picks_what_scikit_activemls_core_set_picks(seed: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skactiveml.pool import CoreSet
    context, features, train = context_of(seed=seed)  # 60 pairs: all of them within the shortlist of 5 · 12
    X = unit(np.concatenate([train, features]))  # on unit rows the Euclidean distance orders as the cosine does
    labels = np.concatenate([np.zeros(len(train)), np.full(len(features), np.nan)])
    theirs = CoreSet(random_state=0).query(X, labels, batch_size=context.budget) - len(train)
    assert KCenter().order(context)[: context.budget].tolist() == theirs.tolist()


@pytest.mark.parametrize(("ours", "method"), [(Uncertainty(), "entropy"), (Margin(), "margin_sampling")])
def test_doubt_is_ordered_as_scikit_activeml_orders_it(ours, method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from skactiveml.pool import uncertainty_scores
    context, _, _ = context_of(seed=3)
    theirs = np.argsort(-uncertainty_scores(context.candidates.probabilities, method=method), kind="stable")
    assert ours.order(context).tolist() == theirs.tolist()


def test_balanced_deals_out_the_budget_by_the_roots_of_the_training_shares() -> None:
    context, _, _ = context_of(n=3000, budget=300, shares=(0.01, 0.09, 0.81))
    picks = Balanced().order(context)[:300]
    roots = np.sqrt([0.01, 0.09, 0.81])
    wanted = 300 * roots / roots.sum()
    counts = np.bincount(context.candidates.grades[picks], minlength=3)
    assert np.abs(counts - wanted).max() <= 1
    for beginning in (30, 90):  # every beginning keeps the shares
        counts = np.bincount(context.candidates.grades[picks[:beginning]], minlength=3)
        assert np.abs(counts - wanted * beginning / 300).max() <= 1
    for grade in range(3):  # of each grade the furthest first
        mine = [row for row in context.furthest if context.candidates.grades[row] == grade]
        taken = [row for row in picks if context.candidates.grades[row] == grade]
        assert taken == mine[: len(taken)]


def test_balanced_gives_the_places_of_a_grade_with_too_few_pairs_to_the_others() -> None:
    context, _, _ = context_of(n=30, budget=30, shares=(0.98, 0.01, 0.01))
    assert sorted(Balanced().order(context).tolist()) == list(range(30))


@pytest.mark.parametrize("name", strategy_names())
def test_every_strategy_ranks_the_open_rows_alone_and_gives_a_reason(name: str) -> None:
    context, features, train = context_of(seed=1)
    some = Context(
        context.pool, context.candidates, np.arange(0, 60, 2), 8, 1, lambda rows: features[rows], lambda: train
    )
    order = make_strategy(name).order(some)
    assert len(order) >= 8
    strategy = make_strategy(name)
    picked = strategy.order(some)[0]
    assert strategy.why(some, int(picked))


@pytest.mark.parametrize(("budget", "uncovered"), [(2, 2), (4, 30), (12, 60)])
def test_mixed_passes_over_nobody_where_all_have_equal_company(budget: int, uncovered: int) -> None:
    context, features, _ = context_of(budget=budget)
    if uncovered != 2:  # two alone are equally far from one another; else all pairs are alike
        features[:] = 1.0
    percentiles = context.candidates.ood_percentiles
    percentiles[:] = 50.0
    percentiles[context.furthest[:uncovered]] = 95.0
    strategy = make_strategy("dasa")
    picks = strategy.order(context)[:budget]
    assert len(set(picks.tolist())) == budget
    assert sum(strategy.why(context, int(row)).startswith("typical") for row in picks) == budget / 2

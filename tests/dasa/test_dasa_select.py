"""select on a fake model: what is picked, in which order, and what is said about it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from dasa_worlds import FakeModel, far, pool_of, table
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.dasa import Context, Strategy, select
from darl.errors import DataError, EmptySplitError, ModelError, RecipeError
from darl.pairs import PairTable, normalise_query


def keys(pairs: PairTable) -> list[tuple[str, str]]:
    return [(normalise_query(q), normalise_query(i)) for q, i in zip(pairs.queries, pairs.items, strict=True)]


# ------------------------------------------------------------------------------------------ properties

WORDS = ["lamp", "Lamp ", "garden hose", "garden  HOSE", "宠物保险", "dog", "red shoes"]
ITEMS = st.builds(lambda word, score: f"{word} far {score}", st.sampled_from(WORDS), st.integers(0, 12))
PAIRS = st.lists(st.tuples(st.sampled_from(WORDS), ITEMS), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(
    pool=PAIRS,
    held=st.lists(st.sampled_from(WORDS), max_size=2),
    known=PAIRS,
    budget=st.integers(1, 50),
    per_query=st.none() | st.integers(1, 4),
    strategy=st.sampled_from(["coverage", "random"]),
    seed=st.integers(0, 3),
)
def test_whatever_the_pool_the_picks_are_allowed(pool, held, known, budget, per_query, strategy, seed):
    evaluations = {f"test {i}": table((f" {query.upper()} ", "x")) for i, query in enumerate(held)}
    train, already = table(*known[::2]), table(*known[1::2]) if known[1::2] else None

    def run():
        return select(
            FakeModel(),
            table(*pool),
            budget=budget,
            train=train,
            already=already,
            evaluations=evaluations,
            per_query=per_query,
            per_item=None,
            strategy=strategy,
            seed=seed,
        )

    barred = {normalise_query(query) for query in held}
    labelled = set(keys(table(*known)))
    allowed = {key for key in keys(table(*pool)) if key[0] not in barred and key not in labelled}
    if not allowed:
        with pytest.raises(EmptySplitError):
            run()
        return
    selection = run()
    picked = keys(selection.pairs)
    assert len(set(picked)) == len(picked) <= budget
    assert set(picked) <= allowed
    counts: dict[str, int] = {}
    for query, _ in picked:
        counts[query] = counts.get(query, 0) + 1
    assert max(counts.values()) <= (per_query or len(picked))
    possible = sum(min(per_query or 99, sum(q == query for q, _ in allowed)) for query in {q for q, _ in allowed})
    assert len(picked) == min(budget, possible)
    assert selection.pairs.column("rank") == list(range(1, len(picked) + 1))
    if strategy == "coverage":
        scores = selection.pairs.column("ood_score")
        assert scores == sorted(scores, reverse=True)
    dropped = sum(entry["dropped"] for entry in selection.report["guards"].values())
    assert dropped + selection.report["pool"]["within_cap"] == len(pool)
    again = run()
    assert again.pairs.arrow.equals(selection.pairs.arrow)
    assert again.report == selection.report


def test_coverage_takes_exactly_the_furthest_with_ties_in_the_pools_order():
    pool = table(("aa", "tie one far 2"), ("bb", "best far 9"), ("cc", "tie two far 2"), ("dd", "low far 1"))
    selection = select(FakeModel(), pool, budget=3)
    assert selection.pairs.items == ["best far 9", "tie one far 2", "tie two far 2"]
    assert selection.pairs.column("row") == [2, 1, 3]


def test_the_cap_keeps_the_furthest_of_a_query():
    pool = table(*[("Lamp", f"lamp {i} far {i}") for i in range(1, 8)], ("hose", "hose far 0.5"))
    selection = select(FakeModel(), pool, budget=10, per_query=2)
    assert [far(item) for item in selection.pairs.items] == [7, 6, 0.5]
    assert selection.report["guards"]["per_query"]["dropped"] == 5


def test_random_is_seeded_and_does_not_follow_the_score():
    pool = pool_of(300, 100)
    first, same, other = (
        select(FakeModel(), pool, budget=50, strategy="random", seed=seed).pairs.items for seed in (1, 1, 2)
    )
    assert first == same != other
    furthest = select(FakeModel(), pool, budget=50).pairs
    mean = np.mean([far(item) for item in first])
    assert abs(mean - 5) < 1.5 < 3 < np.mean(furthest.column("ood_score")) - mean


# ---------------------------------------------------------------------------------------------- grades


def test_grades_in_the_pool_change_nothing(tmp_path):
    pool, rng = pool_of(200, 60), np.random.default_rng(0)
    bare = select(FakeModel(), pool, budget=40)
    model = FakeModel()
    for _ in range(2):
        graded = pool.with_column("grade", rng.integers(0, 3, 200).tolist())
        selection = select(model, graded, budget=40)
        assert selection.pairs.arrow.equals(bare.pairs.arrow)
        assert selection.report == bare.report
    assert not any(pairs.has("grade") for pairs in model.scored)


@pytest.mark.parametrize("column", ["grade", "label", "relevance"])
def test_grades_in_a_pool_file_are_not_even_parsed(tmp_path, column):
    pool = pool_of(60, 20)
    rows = [{"query": q, "item": i} for q, i in zip(pool.queries, pool.items, strict=True)]
    rows.append(rows[0])  # a pair with two labels, which a graded table may not have
    plain, graded = tmp_path / "plain.jsonl", tmp_path / "graded.jsonl"
    plain.write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = ["strong", 1, None, "no such grade", 0.3]
    graded.write_text("".join(json.dumps({**row, column: labels[i % 5]}) + "\n" for i, row in enumerate(rows)))
    first, second = (select(FakeModel(), path, budget=20) for path in (plain, graded))
    assert first.pairs.items == second.pairs.items
    assert first.report == second.report
    assert not second.pairs.has(column)


# ------------------------------------------------------------------------------------- what is refused


def test_errors_are_named():
    pool = pool_of(5, 5)
    without = FakeModel()
    without.ood = None
    with pytest.raises(ModelError, match="no OOD reference"):
        select(without, pool, budget=1)
    with pytest.raises(RecipeError, match="did you mean 'coverage'"):
        select(FakeModel(), pool, budget=1, strategy="covrage")
    for wrong in (0, -1, 1.5, True, None):
        with pytest.raises(RecipeError, match="budget"):
            select(FakeModel(), pool, budget=wrong)  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="per_query"):
        select(FakeModel(), pool, budget=1, per_query=0)
    with pytest.raises(EmptySplitError, match="holds no pair"):
        select(FakeModel(), pool.take([]), budget=1)
    with pytest.raises(EmptySplitError, match=r"none of the 5 pool pairs \(labelled 5\)"):
        select(FakeModel(), pool, budget=1, already=pool)
    with pytest.raises(DataError):
        select(FakeModel(), 17, budget=1)


def test_scores_that_are_no_numbers_are_refused():
    model = FakeModel()
    score = model.score
    model.score = lambda pairs, *, ood=True: _spoilt(score(pairs))  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="1 of 5 pool pairs have no finite OOD score"):
        select(model, pool_of(5, 5), budget=1)


def _spoilt(scores):
    scores.ood_scores[2] = np.nan
    return scores


def test_unreadable_and_empty_rows_of_a_file_are_counted_not_fatal(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text('{"query": "lamp", "item": "desk lamp far 3"}\n{broken\n{"query": null, "item": "no query"}\n')
    selection = select(FakeModel(), path, budget=5)
    assert selection.pairs.items == ["desk lamp far 3"]
    assert selection.report["pool"]["unreadable"] == 1
    assert selection.report["guards"]["empty"]["dropped"] == 1
    assert any("could not be parsed" in warning for warning in selection.report["warnings"])
    assert selection.pairs.place(0) == f"{path}:1"


# --------------------------------------------------------------------------------- reasons and columns


def test_each_pick_says_why():
    train = table(("old query", "known far 0.3"), ("old query", "nearer known far 0.9"))
    selection = select(FakeModel(), table(("new", "thing far 1.0"), ("new", "other far 20")), budget=2, train=train)
    far_out, near = selection.pairs.arrow.to_pylist()
    assert far_out["reason"].startswith("further out than every held-out known pair")
    assert near["nearest_train_item"] == "nearer known far 0.9"
    assert near["nearest_train_query"] == "old query"
    assert near["nearest_distance"] == pytest.approx(1 - np.cos(0.1), abs=1e-6)
    assert near["reason"] == (
        "further out than 10.0 % of held-out known pairs; "
        "nearest known pair: “old query” / “nearer known far 0.9” at distance 0.005"
    )
    assert (near["predicted_grade"], near["p_max"]) == ("weak", pytest.approx(0.8))


def test_the_nearest_pair_is_exact_across_chunks():
    from darl.dasa.nearest import chunked_features, nearest_known

    model, pool, train = FakeModel(), pool_of(23, 9, seed=1), pool_of(31, 9, seed=2)
    features = chunked_features(model, pool, np.arange(23), chunk=4)
    nearest = nearest_known(model, features, train, chunk=5)
    assert nearest is not None
    cosine = model.ood_features(pool) @ model.ood_features(train).T
    np.testing.assert_allclose(nearest.distances, 1 - cosine.max(axis=1), atol=1e-6)
    np.testing.assert_allclose(cosine[np.arange(23), nearest.rows], cosine.max(axis=1), atol=1e-6)


def test_no_nearest_pair_without_features_to_compare():
    pool = pool_of(5, 5)
    for selection in (
        select(FakeModel(), pool, budget=2),
        select(FakeModel(source="logits"), pool, budget=2, train=pool_of(3, 3, seed=9)),
    ):
        assert not selection.pairs.has("nearest_train_query")
        assert "nearest" not in selection.pairs.column("reason")[0]


def test_a_strategy_of_ones_own_and_its_guard():
    class Shortest(Strategy):
        name = "shortest"

        def rank(self, context: Context) -> np.ndarray:
            assert context.features(context.open_rows[:2]).shape == (2, 2)
            return np.array(sorted(context.open_rows, key=lambda row: len(context.pool.items[row])))

        def why(self, context: Context, row: int) -> str:
            return "short"

    class Stubborn(Shortest):
        name = "stubborn"

        def rank(self, context: Context) -> np.ndarray:
            return np.arange(len(context.pool))

    pool = table(("aa", "a longer item"), ("bb", "item"), ("cc", "held out"))
    evaluations = {"test": table(("CC", "x"))}
    selection = select(FakeModel(), pool, budget=2, strategy=Shortest(), evaluations=evaluations)
    assert (selection.pairs.items, selection.pairs.column("reason")[0]) == (["item", "a longer item"], "short")
    with pytest.raises(ValueError, match="one that a guard refused"):
        select(FakeModel(), pool, budget=2, strategy=Stubborn(), evaluations=evaluations)


def test_the_pool_is_scored_in_chunks_with_progress(monkeypatch):
    from darl.dasa.candidates import score_pool

    model, done = FakeModel(), []
    candidates = score_pool(model, pool_of(10, 4), chunk=4, progress=done.append)
    assert done == [4, 4, 2] == [len(pairs) for pairs in model.scored]
    whole = score_pool(FakeModel(), pool_of(10, 4))
    assert candidates.ood_scores.tolist() == whole.ood_scores.tolist()


# ---------------------------------------------------------------------------------------------- report


def test_the_report_counts_and_warns():
    train = table(("known", "known item far 1"))
    pool = table(
        *[("lamp", f"lamp {chr(97 + i)} far 9.{i}") for i in range(6)],
        ("known", "KNOWN item  far 1"),
        ("Held Out", "anything far 9"),
        ("held out", "more far 9"),
        ("lamp", "LAMP a far 9.0"),
        ("x", "thing far 9"),
        ("qu\ufffd\ufffd\ufffd", "garbage far 9"),
    )
    evaluations = {"id": table(("held out", "y")), "ood": table(("nothing", "y"))}
    selection = select(FakeModel(), pool, budget=100, train=train, evaluations=evaluations, per_query=4)
    guards = selection.report["guards"]
    assert {name: entry["dropped"] for name, entry in guards.items()} == {
        "leak": 2,
        "labelled": 1,
        "duplicate": 1,
        "empty": 1,
        "garbage": 1,
        "script": 0,
        "gibberish": 0,
        "per_item": 0,
        "per_query": 2,
    }
    assert guards["leak"]["details"] == {"id": 2, "ood": 0}
    assert selection.report["ood"]["pool"] == pytest.approx(0 / 12)
    assert sum(selection.report["predicted_grades"]["picks"].values()) == pytest.approx(1)
    text = selection.to_text()
    assert "the budget of 100 exceeds the 4 pairs that are left; the cap of 4 a query holds 2 more back" in text
    assert "hardly out of distribution: 0.0%" in text
    assert "further out than 95.0 % of held-out known pairs" in text
    json.dumps(selection.to_dict(), default=str)
    assert len(selection.to_dict()["pairs"]) == len(selection) == 4


def test_warnings_name_what_is_missing_and_one_sided_picks():
    pool = table(*[(f"query {i:02d}", f"item {i:02d} far 11.") for i in range(40)])
    found = " | ".join(select(FakeModel(), pool, budget=30).report["warnings"])
    assert "the picks are one-sided: 100% are predicted 'irrelevant' (pool: 100%)" in found
    assert "no evaluation table" in found
    assert "no training table" in found
    assert "hardly" not in found


def test_the_picks_survive_a_file(tmp_path):
    pool = pool_of(30, 10)
    selection = select(FakeModel(), pool, budget=7, train=pool_of(4, 4, seed=5))
    for kind in ("jsonl", "csv", "parquet"):
        getattr(selection.pairs, f"to_{kind}")(tmp_path / f"picks.{kind}")
        assert (tmp_path / f"picks.{kind}").stat().st_size

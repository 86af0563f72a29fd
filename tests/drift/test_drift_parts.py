"""Signals, slices, clusters, accuracy, windows: each against a hand-made case or closed form."""

from __future__ import annotations

import dataclasses
import shlex

import numpy as np
import pytest
from scipy.stats import betabinom, kstest

from darl.cli.arguments import filters, mapping
from darl.drift.accuracy import estimate_accuracy
from darl.drift.check import holm, judged, next_command
from darl.drift.clustered import clustered_interval
from darl.drift.clusters import query_surprise, standing_out
from darl.drift.figures import Figures
from darl.drift.judge import judge_window
from darl.drift.null import NullWindows
from darl.drift.signals import KnownSide, leading, psi, surprise
from darl.drift.slices import new_value_p
from darl.drift.windows import windows_by_pairs, windows_by_time
from darl.errors import DataError, RecipeError
from darl.ood.known import KnownPairs, chosen_rows, count_by_query
from darl.ood.novelty import WordingNovelty


def known_pairs(queries: int = 80, size: int = 5, seed: int = 0, **more: object) -> KnownPairs:
    figures = world(queries, size, seed)
    assert figures.ood_scores is not None
    return KnownPairs(
        groups=figures.groups,
        ood_scores=figures.ood_scores,
        probabilities=figures.probabilities,  # type: ignore[arg-type]
        decided=figures.decided,  # type: ignore[arg-type]
        grades=np.random.default_rng(seed).integers(0, 2, len(figures)),
        features=figures.features,  # type: ignore[arg-type]
        novelty=figures.novelty,
        wording=WordingNovelty.fit(["a"]),
        columns={"shop": {"a": 50, "b": 50}},
        queries=100,
        **more,  # type: ignore[arg-type]
    )


def world(queries: int, size: int, seed: int, far: int = 0, tilt: float = 0.0) -> Figures:
    """Known-like traffic; the first ``far`` queries are far out; ``tilt`` turns the grade mix."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(queries), size)
    out = groups < far
    features = rng.normal(0, 1, (queries, 8))[groups] + rng.normal(0, 1, (len(groups), 8)) + 4 * out[:, None]
    p = 1 / (1 + np.exp(-(rng.normal(0, 1, queries)[groups] + tilt)))
    probabilities = np.stack([1 - p, p], axis=1)
    return Figures(
        groups=groups,
        ood_scores=rng.normal(0, 1, queries)[groups] + rng.normal(0, 1, len(groups)) + 5 * out,
        probabilities=probabilities,
        decided=probabilities.argmax(axis=1),
        features=(features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32),
        novelty=rng.normal(0, 1, queries)[groups] + 5 * out,
        columns={"shop": ["new" if o else "a" for o in out]},
        queries=[f"{'strange engine' if o else 'known lamp'} {g}" for g, o in zip(groups, out, strict=True)],
        items=[f"item {i}" for i in range(len(groups))],
    )


def test_surprise_of_known_pairs_is_exponential() -> None:
    known = np.sort(np.random.default_rng(0).normal(size=2000))
    found = surprise(np.random.default_rng(1).normal(size=2000), known)
    assert kstest(found[found < 5], "expon").statistic < 0.05
    assert surprise(known, known).mean() == pytest.approx(1, abs=0.02)


def test_psi_is_the_symmetric_divergence() -> None:
    p, q = np.array([0.2, 0.3, 0.5]), np.array([0.4, 0.4, 0.2])
    expected = (p * np.log(p / q)).sum() + (q * np.log(q / p)).sum()
    assert psi(p, q) == pytest.approx(expected)


def test_a_calm_window_is_calm_and_a_shift_is_named() -> None:
    side = KnownSide(known_pairs())
    calm = judge_window(side, world(60, 5, 7), draws=299)
    assert calm.state == "calm"
    moved = judge_window(side, world(60, 5, 7, far=8), draws=299)
    assert moved.state == "alarm"
    assert (moved.slices[0].value, moved.slices[0].new) == ("new", True)
    assert "engine" in moved.clusters[0].name
    assert all("engine" in query for query, _ in moved.clusters[0].examples)
    assert moved.far_share is not None
    assert moved.far_share.estimate > 0.12
    assert moved.far_share.low < moved.far_share.estimate < moved.far_share.high


def test_a_turned_grade_mix_alarms_though_nothing_is_far_out() -> None:
    moved = judge_window(KnownSide(known_pairs()), world(60, 5, 7, tilt=1.5), draws=1999)
    assert moved.state == "alarm"
    assert min(moved.signals, key=lambda one: one.p).name == "grades"


def test_what_the_figures_lack_is_not_tested() -> None:
    side, figures = KnownSide(known_pairs()), world(60, 5, 7)
    bare = Figures(figures.groups, probabilities=figures.probabilities, decided=figures.decided)
    found = judge_window(side, bare, draws=299)
    assert [one.name for one in found.signals] == ["grades"]
    assert found.far_share is None
    assert (found.slices, found.clusters) == ([], [])


def test_little_traffic_is_not_judged_and_impossible_levels_are_refused() -> None:
    side = KnownSide(known_pairs())
    assert judge_window(side, world(4, 5, 1, far=4), draws=299).state == "too little"
    with pytest.raises(RecipeError, match="draws"):
        judge_window(side, world(20, 5, 1), alpha=0.01, draws=100)


def test_new_items_alarm_though_their_queries_are_known() -> None:
    rng = np.random.default_rng(0)
    known = known_pairs(item_novelty=rng.random(400), item_wording=WordingNovelty.fit(["a"]))
    window = world(60, 5, 7)
    for far, state in ((0, "calm"), (30, "alarm")):
        novelty = np.where(np.arange(300) < far, 0.97 + 0.03 * rng.random(300), rng.random(300))
        found = judge_window(KnownSide(known), dataclasses.replace(window, item_novelty=novelty), draws=999)
        assert found.state == state
        if far:
            assert leading(found.signals) == "items"
            assert np.isin(found.clusters[0].rows, np.arange(far)).mean() > 0.5


def test_a_few_pairs_of_a_known_query_stray_further_than_many() -> None:
    rng = np.random.default_rng(0)
    known_groups = np.repeat(np.arange(200), 20)
    known = rng.normal(0, 0.2, 200)[known_groups] + rng.normal(size=4000)
    groups = np.repeat([0, 1, 2], [1, 5, 20])
    found = query_surprise(groups, np.full(26, 1.0), known_groups, known)
    assert found[0] < 2 < found[1] < found[2]


def test_null_windows_of_any_chunk_are_the_same_and_follow_their_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    groups, sizes = np.repeat(np.arange(30), rng.integers(1, 9, 30)), rng.integers(1, 12, 10)
    values = rng.random(len(groups))
    null = NullWindows(groups, sizes, draws=300, seed=3)
    means = np.bincount(groups, values) / np.bincount(groups)
    # the mean over pairs is the size-weighted mean over queries
    by_pairs = null.means(values[:, None])[:, 0]
    assert by_pairs.mean() == pytest.approx(means.mean(), abs=0.02)
    assert null.query_means(np.full(len(groups), 3.0), 2) == pytest.approx(9.0)
    assert null.query_means(values, 1).mean() == pytest.approx(means.mean(), abs=0.02)
    assert (null.query_means(values, 2) >= null.query_means(values, 1) ** 2 - 1e-12).all()
    one_size = NullWindows(groups, np.full(10, 4), draws=300, seed=3)
    assert one_size.query_means(values) == pytest.approx(one_size.means(values[:, None])[:, 0], abs=1e-6)
    monkeypatch.setattr("darl.drift.null.MOST_PLACES", 1)
    slowly = NullWindows(groups, sizes, draws=300, seed=3)
    assert slowly.means(values[:, None]).mean() == pytest.approx(by_pairs.mean(), abs=0.03)
    assert len(slowly.query_means(values)) == 300


def test_new_values_follow_good_turing() -> None:
    known = known_pairs()
    assert known.columns["shop"] == {"a": 50, "b": 50}
    groups = np.arange(40)
    values = ["c" if g < 3 else "a" for g in groups]
    assert new_value_p(known, groups, {"shop": values})["shop"] == pytest.approx(betabinom.sf(2, 40, 0.5, 100.5))
    assert new_value_p(known, groups, {"shop": [None] * 40}) == {"shop": 1.0}
    open_ended = KnownPairs(**{**vars(known), "columns": {"shop": {f"v{i}": 1 for i in range(50)} | {"a": 50}}})
    assert new_value_p(open_ended, groups, {"shop": values})["shop"] > 0.5


def test_columns_that_say_the_same_count_once_and_two_weak_witnesses_agree() -> None:
    side, window = KnownSide(known_pairs()), world(60, 5, 7, far=1)
    once = judge_window(side, window, draws=999)
    twice = dataclasses.replace(window, columns={**window.columns, "copy": window.columns["shop"]})
    known = KnownPairs(**{**vars(side.known), "columns": {name: {"a": 50, "b": 50} for name in ("shop", "copy")}})
    assert judge_window(KnownSide(known), twice, draws=999).p == once.p
    low, high = sorted((once.signals_p, once.new_values["shop"]))
    assert once.p == min(2 * low, high)


def test_a_clustered_interval_is_wider_than_one_of_pairs() -> None:
    groups = np.repeat(np.arange(30), 10)
    values = (groups % 3 == 0).astype(float)
    found = clustered_interval(values, groups)
    assert found.standard_error == pytest.approx(np.sqrt((1 / 3) * (2 / 3) / 30), rel=0.1)


def test_estimates_of_accuracy_agree_where_nothing_moved_and_fall_where_confidence_falls() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 4000)
    p = np.stack([top, 1 - top], axis=1)
    truth = (rng.random(4000) > top).astype(int)
    groups = np.arange(4000)
    known = KnownPairs(groups, np.ones(4000), p, np.zeros(4000, int), truth, np.ones((4000, 2)))
    same = estimate_accuracy(known, p, np.zeros(4000, int), groups)
    assert same.others == pytest.approx(dict.fromkeys(("DoC", "ATC", "mean confidence"), 0.75), abs=0.02)
    lower = np.stack([top - 0.2 * (top - 0.5), 1 - top + 0.2 * (top - 0.5)], axis=1)
    assert estimate_accuracy(known, lower, np.zeros(4000, int), groups).others["DoC"] == pytest.approx(0.70, abs=0.02)


def test_clusters_need_texts_and_something_that_stands_out() -> None:
    figures = world(20, 5, 3)
    calm = np.zeros(len(figures))
    assert standing_out(figures, calm, figures.groups, calm + 1) == []
    assert standing_out(Figures(figures.groups), calm + 9, figures.groups, calm) == []


def test_holm() -> None:
    side, figures = KnownSide(known_pairs()), world(60, 5, 7)
    base = judge_window(side, figures, draws=299)
    named = [type(base)(**{**vars(base), "name": n, "p": p}) for n, p in (("a", 0.02), ("b", 0.001), ("c", 0.03))]
    assert holm(named, 0.05) == ["a", "b", "c"]
    assert holm(named[:1] * 3, 0.05) == []


def test_many_windows_get_many_draws_only_where_they_stand_out() -> None:
    side = KnownSide(known_pairs())
    days = [world(30, 5, day, far=20 * (day == 1)) for day in range(13)]
    few = [world(3, 5, day) for day in range(50)]  # not judged, so not counted
    ends = np.cumsum([len(one) for one in [*days, *few]])
    parts = {str(i): np.arange(start, end) for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False))}
    figures = Figures(
        groups=np.concatenate([one.groups for one in [*days, *few]]),
        ood_scores=np.concatenate([one.ood_scores for one in [*days, *few] if one.ood_scores is not None]),
    )
    found = judged(side, figures, parts, alpha=0.1, draws=99, seed=0)
    assert [one.name for one in found] == list(parts)
    assert found[1].p == pytest.approx(1 / 261)  # of the 260 draws that 13 windows need
    assert "1" in holm(found, 0.1)  # p ≤ 0.1 / 13, which 99 draws cannot show
    assert found[0].p == judge_window(side, figures.take(parts["0"]), alpha=0.1, draws=99).p
    assert {one.state for one in found[13:]} == {"too little"}


def test_the_next_command_reads_the_traffic_as_it_was_read() -> None:
    window = judge_window(KnownSide(known_pairs()), world(60, 5, 7, far=8), "day", draws=299)

    def command(**reading: dict) -> list[str]:
        return shlex.split(next_command("shop", "log.csv", [window], ["day"], 9, **reading))[7:]

    assert command() == ["to_label.jsonl", "--where", "shop=new"]
    columns = {"query": "search term", "shop": "market"}
    found = command(columns=columns, where={"lang": ["en", None], "live": True})
    assert mapping([found[2]], "") == columns
    assert filters(found[4::2]) == {"lang": ["en", None], "live": "true", "shop": "new"}
    assert command(where={"shop": ["a", "new"]}) == command()
    assert next_command("shop", "log.csv", [window], [], 9) == ""


def test_windows() -> None:
    assert [len(rows) for rows in windows_by_pairs(10, 4).values()] == [4, 4, 2]
    times = np.array(["2026-05-03T23:00", "NaT", "2026-05-04T00:00"], dtype="datetime64[us]")  # Sunday, Monday
    assert {n: r.tolist() for n, r in windows_by_time(times, "1w").items()} == {"2026-04-27": [0], "2026-05-04": [2]}
    assert list(windows_by_time(times, "6h")) == ["2026-05-03T18:00", "2026-05-04T00:00"]
    with pytest.raises(RecipeError, match="length of time"):
        windows_by_time(times, "soon")
    with pytest.raises(DataError, match="no time"):
        windows_by_time(None, "1d")


def test_known_pairs_are_kept_by_whole_queries_and_identifiers_are_no_slices() -> None:
    groups = np.repeat(np.arange(100), 7)
    kept = chosen_rows(groups, most=50)
    assert len(kept) == 49
    assert (np.bincount(groups[kept])[np.unique(groups[kept])] == 7).all()
    assert count_by_query(np.arange(300), {"id": [str(i) for i in range(300)]}) == {}


def test_novelty_survives_saving_and_keeps_no_text() -> None:
    novelty = WordingNovelty.fit(["desk lamp", "floor lamp", "猫粮 便宜"])
    arrays = novelty.arrays()
    assert all(array.dtype.kind in "iu" for array in arrays.values())
    again = WordingNovelty.from_arrays(arrays)
    queries = ["desk lamps", "winter tyres", "猫粮", "", "desk lamp"]
    assert again.score(queries).tolist() == novelty.score(queries).tolist()
    assert novelty.score(["desk lamp"])[0] == pytest.approx(0, abs=1e-9)

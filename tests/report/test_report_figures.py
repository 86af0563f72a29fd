"""The data behind the figures, against closed forms and other libraries."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_world import EXTRA
from scipy.special import softmax
from scipy.stats import percentileofscore
from sklearn.neighbors import NearestNeighbors

from darl.evaluation import ReliabilityBin, ordinal_mae
from darl.ood import KNN, OODReference, fit_reference
from darl.report.confusion import cells, far_share
from darl.report.coverage import PlacedSet, _train_of, measure_coverage
from darl.report.headline import compare_runs
from darl.report.map import project
from darl.report.mistakes import worst
from darl.report.ood import histogram, right_share
from darl.report.reliability import bin_rows, uncalibrated
from darl.report.rounds import round_rows
from darl.report.runs import TestPredictions, open_run
from darl.report.slices import by_harm
from darl.report.stages import steps_of
from darl.report.sweep import sweep_rows
from darl.report.texts import read_texts
from darl.report.words import figure, share, signed


@given(st.integers(0, 1000), st.floats(0.3, 4.0))
def test_probabilities_before_calibration_follow_from_those_after_it(seed: int, temperature: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 3, size=(20, 4))
    before, after = softmax(logits, axis=1), softmax(logits / temperature, axis=1)
    np.testing.assert_allclose(uncalibrated(after, temperature), before, atol=1e-9)
    shifts = [0.0, 1.0, -0.5, 0.25]
    shifted = softmax(logits / temperature + shifts, axis=1)
    np.testing.assert_allclose(uncalibrated(shifted, temperature, shifts), before, atol=1e-9)


def test_a_probability_of_zero_stays_zero() -> None:
    assert uncalibrated(np.array([[1.0, 0.0]]), 2.0).tolist() == [[1.0, 0.0]]


def test_a_reliability_mark_is_a_bin_that_holds_pairs() -> None:
    bins = [ReliabilityBin(0, 0.5, 0, np.nan, np.nan), ReliabilityBin(0.5, 1, 8, 0.75, 0.5)]
    assert bin_rows(bins, "after") == [{"when": "after", "confidence": 0.75, "share right": 0.5, "pairs": 8}]


def test_the_rows_of_a_confusion_sum_to_one() -> None:
    counts = np.random.default_rng(0).integers(1, 50, size=(4, 4))
    marks = cells(counts, list("abcd"))
    for grade in "abcd":
        assert sum(mark["share"] for mark in marks if mark["true"] == grade) == pytest.approx(1, abs=3e-4)
    assert sum(mark["pairs"] for mark in marks) == counts.sum()


def test_the_far_share_counts_pairs_two_or_more_grades_off() -> None:
    truth, guess = np.array([0, 0, 1, 2, 3]), np.array([2, 1, 1, 0, 0])
    counts = np.zeros((4, 4), dtype=int)
    np.add.at(counts, (truth, guess), 1)
    assert far_share(counts) == pytest.approx((np.abs(truth - guess) >= 2).mean())


def test_harms_of_whole_slices_add_up_to_the_excess_error_of_a_set(run: Path) -> None:
    opened = open_run(run)
    ranked = by_harm(opened)
    assert [one.harm for one in ranked] == sorted((one.harm for one in ranked), reverse=True)
    assert {one.found.column for one in ranked} == set(EXTRA)
    errors = {
        name: ordinal_mae(found.grades, found.predicted, opened.scale.size)
        for name, found in opened.predictions.items()
    }
    for name in opened.splits:
        assert sum(one.part for one in ranked if one.set == name) == pytest.approx(1)
        total = sum(one.harm for one in ranked if one.set == name)
        assert total == pytest.approx(errors[name] - errors["id"], abs=1e-12)


def test_the_worst_mistakes_are_the_furthest_then_the_surest() -> None:
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(4), size=300)
    says = TestPredictions(rng.integers(0, 4, 300), p, p.argmax(1), np.arange(300))
    rows = worst(says, 40)
    keys = [
        (
            -abs(int(says.predicted[i]) - int(says.grades[i])),
            -(p[i, says.predicted[i]] - p[i, says.grades[i]]),
        )
        for i in range(300)
        if says.predicted[i] != says.grades[i]
    ]
    found = [
        (-abs(int(says.predicted[i]) - int(says.grades[i])), -(p[i, says.predicted[i]] - p[i, says.grades[i]]))
        for i in rows
    ]
    assert found == sorted(keys)[:40]


def test_no_query_fills_the_list_of_mistakes() -> None:
    p = np.tile([0.1, 0.9], (10, 1))
    says = TestPredictions(np.zeros(10, dtype=int), p, p.argmax(1), np.array([0] * 8 + [1] * 2))
    assert len(worst(says, 10)) == 4


def test_a_run_without_mistakes_has_none() -> None:
    says = TestPredictions(np.zeros(3, dtype=int), np.eye(2)[[0, 0, 0]], np.zeros(3, dtype=int), np.arange(3))
    assert worst(says, 5).tolist() == []


@given(st.lists(st.floats(-2, 3), min_size=1, max_size=50))
def test_a_histogram_of_shares_sums_to_one(values: list[float]) -> None:
    assert sum(histogram(np.array(values), np.linspace(0, 1, 6))) == pytest.approx(1)


def test_a_histogram_agrees_with_numpy_inside_its_edges() -> None:
    values, edges = np.random.default_rng(0).random(500), np.linspace(0, 1, 11)
    assert histogram(values, edges) == pytest.approx((np.histogram(values, edges)[0] / 500).tolist())


def test_the_sweep_holds_every_candidate_once_a_dev_set_and_one_choice(run: Path) -> None:
    opened = open_run(run)
    found = opened.choice("interpolate")
    rows = sweep_rows(found["candidates"], found["start"], found["alpha"])
    assert len(rows) == 2 * len(found["candidates"])
    chosen = [row for row in rows if row["chosen"]]
    assert [(row["start"], row["α"]) for row in chosen] == [(found["start"], found["alpha"])] * 2


def test_the_steps_name_every_stage_with_its_figure(run: Path) -> None:
    opened = open_run(run)
    steps = {step.stage: step for step in steps_of(opened)}
    assert list(steps) == ["probe", "tune random", "tune probe", "interpolate", "calibrate", "decide"]
    assert steps["probe"].id_value == opened.choice("probe")["dev_objective"]
    rules = {row["rule"]: row["figure"] for row in opened.choice("finish")["rules"]}
    kept = next(name for name in sorted(rules, key=len, reverse=True) if steps["decide"].what.startswith(name))
    assert steps["decide"].id_value == rules[kept]


def test_a_candidate_that_nothing_judged_has_no_figure(bare_run: Path) -> None:
    steps = {step.stage: step for step in steps_of(open_run(bare_run))}
    assert steps["tune random"].id_value is None  # the run writes 0.0 there, as a filler


def test_the_map_is_the_plane_of_the_two_largest_singular_values() -> None:
    rng = np.random.default_rng(0)

    def placed(n: int, far: float) -> PlacedSet:
        rows = rng.normal(size=(n, 6)) * [4, 3, 1, 1, 1, 1] + far
        return PlacedSet("a", n, rows, np.zeros(n), np.zeros(n), np.arange(n))

    sets = {"a": placed(60, 0), "b": placed(20, 3)}
    places, explained = project(sets)
    unit = {name: one.features / np.linalg.norm(one.features, axis=1, keepdims=True) for name, one in sets.items()}
    every = np.concatenate([unit["a"], unit["b"], unit["b"], unit["b"]])  # each set has the same weight
    _, values, directions = np.linalg.svd(every - every.mean(0), full_matrices=False)
    assert explained == pytest.approx((values[:2] ** 2).sum() / (values**2).sum(), abs=1e-4)
    expected = (unit["b"] - every.mean(0)) @ directions[:2].T
    np.testing.assert_allclose(np.abs(places["b"]), np.abs(expected), atol=1e-4)  # a direction has no sign


def test_train_pairs_are_scored_without_themselves(run: Path) -> None:
    opened = open_run(run)
    reference = OODReference.load(opened.model / "ood")
    known = reference.detector.reference_.numpy()  # type: ignore[attr-defined]
    coverage = measure_coverage(opened, read_texts(opened), cache=run / "report", seconds=0, limit=50)
    train = coverage.sets["train"]
    k = reference.detector.k  # type: ignore[attr-defined]
    distances = NearestNeighbors(n_neighbors=k + 1, metric="cosine", algorithm="brute").fit(known)
    expected = distances.kneighbors(known[train.rows])[0][:, k]
    np.testing.assert_allclose(train.scores, expected, atol=2e-3)  # the reference is kept in half precision
    held = reference.held_out_scores
    ranks = [percentileofscore(held, score, kind="mean") for score in train.scores]
    np.testing.assert_allclose(train.percentiles, ranks, atol=1e-9)


@pytest.mark.parametrize(("rows", "most", "nth"), [(120, 40, 3), (40_000, None, 10)])
def test_train_pairs_of_a_thinned_reference_are_held_against_as_near_a_neighbour(
    rows: int, most: int | None, nth: int
) -> None:
    rng = np.random.default_rng(0)
    detector = KNN(k=10, max_reference=most)
    reference = fit_reference(rng.normal(size=(rows, 16)), rng.normal(size=(9, 16)), detector)
    known = detector.reference_.numpy()
    train = _train_of(reference, detector, None, 20, 0)
    distances = NearestNeighbors(n_neighbors=nth + 1, metric="cosine", algorithm="brute").fit(known)
    np.testing.assert_allclose(train.scores, distances.kneighbors(known[train.rows])[0][:, nth], atol=2e-3)


def test_placed_pairs_have_the_scores_that_the_model_gives(run: Path, tmp_path: Path) -> None:
    from darl.model import RelevanceModel

    opened = open_run(run)
    texts = read_texts(opened)
    coverage = measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=30)
    placed = coverage.sets["test far"]
    scores = RelevanceModel.from_pretrained(opened.model).score(texts.tests["far"].take(placed.rows))
    np.testing.assert_allclose(placed.scores, scores.ood_scores, atol=1e-5)  # type: ignore[arg-type]


def test_coverage_goes_on_where_it_stopped(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_run(run)
    texts = read_texts(opened)
    first = measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=10)
    more = measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=25)
    np.testing.assert_array_equal(more.sets["pool"].rows[:10], first.sets["pool"].rows)
    np.testing.assert_array_equal(more.sets["pool"].features[:10], first.sets["pool"].features)
    monkeypatch.setattr("darl.report.coverage.RelevanceModel", None)  # all is there: no model is loaded
    again = measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=25)
    np.testing.assert_array_equal(again.sets["pool"].scores, more.sets["pool"].scores)


def test_sets_for_which_there_was_no_time_are_named_and_leave_no_cache(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    coverage = measure_coverage(opened, read_texts(opened), cache=tmp_path, seconds=0, limit=10)
    assert coverage.late == ("test id", "test far", "pool")
    assert "no time to place test id, test far and pool" in coverage.problem
    assert list(coverage.sets) == ["train"]
    assert not list(tmp_path.iterdir())


def test_a_clock_that_runs_out_at_once_breaks_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, ticks = open_run(run), iter(range(0, 10_000, 3))
    monkeypatch.setattr("darl.report.coverage.time.monotonic", lambda: next(ticks))
    coverage = measure_coverage(opened, read_texts(opened), cache=tmp_path, seconds=4, limit=10)
    assert coverage.late == ("test far", "pool")
    assert len(coverage.sets["test id"]) == 10


def test_a_damaged_cache_is_measured_again(run: Path, tmp_path: Path) -> None:
    opened = open_run(run)
    texts = read_texts(opened)
    measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=10)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(path.read_bytes()[:100])
    assert len(measure_coverage(opened, texts, cache=tmp_path, seconds=60, limit=10).sets["pool"]) == 10


def test_the_share_right_is_split_at_the_line() -> None:
    says = TestPredictions(np.array([0, 1, 1, 0]), np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1]), np.arange(4))
    placed = PlacedSet("t", 4, np.zeros((3, 1)), np.zeros(3), np.array([10.0, 99.0, 50.0]), np.array([0, 2, 1]))
    assert right_share(says, placed) == (1.0, 0.0)


def test_a_run_against_itself_is_no_different(run: Path) -> None:
    opened = open_run(run)
    for found in compare_runs(opened, opened, bootstrap=50).values():
        assert found.metrics["macro_f1"].difference.difference.estimate == 0
        assert found.metrics["macro_f1"].better is None


def test_runs_judged_on_other_pairs_are_not_compared(run: Path) -> None:
    opened, other = open_run(run), open_run(run)
    other.predictions["id"].grades[:] = 0
    assert list(compare_runs(opened, other, bootstrap=10)) == ["far"]


def test_rounds_keep_their_order_and_sizes(run: Path) -> None:
    opened = open_run(run)
    rows = round_rows([opened, opened], ["id", "far"])
    assert [row["round"][0] for row in rows] == ["1", "1", "2", "2"]
    assert {row["training pairs"] for row in rows} == {json.loads((run / "metrics.json").read_text())["sizes"]["train"]}


@pytest.mark.parametrize(("value", "shown"), [(0.0, ".000"), (-0.0001, ".000"), (12.3456, "12.346"), (None, "–")])
def test_figures_never_show_a_minus_zero(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_signs_and_shares() -> None:
    assert signed(0.0004) == ".000"
    assert share(0) == "0 %"
    assert share(1) == "100 %"

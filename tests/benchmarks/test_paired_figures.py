"""Figures under resamples of queries, held against scikit-learn and against themselves."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from darl.evaluation.intervals import resamples
from darl.grades import GradeScale
from paired import Prediction, difference, figures_of, level_of, middle_recall, over_seeds

SCALE = GradeScale(("bad", "fair", "good", "best"))


def made_up(seed: int, n: int = 240, skill: float = 0.5) -> dict[str, np.ndarray]:
    truth = np.random.default_rng(7).integers(0, 4, n)  # every model is asked the same
    rng = np.random.default_rng(seed)
    predicted = np.where(rng.random(n) < skill, truth, rng.integers(0, 4, n))
    return {
        "grades": truth,
        "predicted": predicted,
        "probabilities": rng.dirichlet(np.ones(4), n),
        "groups": np.arange(n) // 6,
    }


def test_the_first_figure_is_the_sample_and_draws_follow() -> None:
    p = made_up(0)
    figures = figures_of(p, SCALE, ("macro_f1", "ece"), draws=50)
    assert figures["macro_f1"].shape == (51,)
    assert figures["macro_f1"][0] == pytest.approx(f1_score(p["grades"], p["predicted"], average="macro"))
    assert figures["macro_f1"][1:].std() > 0


def test_recall_of_the_middle_grades_is_that_of_scikit_learn_on_every_draw() -> None:
    p = made_up(1)
    found = middle_recall(p, 4, draws=20)
    weights = np.concatenate(list(resamples(40, 20, width=240)))
    for at, queries in enumerate([np.ones(40), *weights]):
        rows = np.repeat(np.arange(240), queries[p["groups"]].astype(int))
        per_grade = recall_score(p["grades"][rows], p["predicted"][rows], labels=[1, 2], average=None)
        assert found[at] == pytest.approx(per_grade.mean())


def test_a_scale_of_two_has_no_middle() -> None:
    p = {**made_up(0), "grades": made_up(0)["grades"] % 2, "predicted": made_up(0)["predicted"] % 2}
    assert np.isnan(middle_recall(p, 2, draws=5)).all()


def by_seed(skill: float, seeds: range = range(3)) -> dict[int, dict[str, np.ndarray]]:
    runs: dict[int, Prediction] = {seed: made_up(seed, skill=skill) for seed in seeds}
    return {seed: figures_of(p, SCALE, ("macro_f1", "accuracy"), draws=300) for seed, p in runs.items()}


def test_a_model_differs_from_itself_by_nothing() -> None:
    runs = by_seed(0.5)
    assert difference(runs, runs, "macro_f1") == [0.0, 0.0, 0.0]
    assert difference(runs, runs, "macro_f1", ratio=True) == [1.0, 1.0, 1.0]


def test_a_better_model_is_found_better() -> None:
    worse, better = by_seed(0.3), by_seed(0.8)
    gain, low, high = difference(worse, better, "accuracy")
    assert gain == pytest.approx(over_seeds(better, "accuracy")[0] - over_seeds(worse, "accuracy")[0])
    assert low is not None
    assert high is not None
    assert 0.2 < low < gain < high


def test_only_seeds_that_both_have_are_compared() -> None:
    base, ours = by_seed(0.4, range(2)), by_seed(0.4, range(1, 3))
    assert difference(base, ours, "accuracy") == [0.0, 0.0, 0.0]  # seed 1 alone, and it is the same
    assert difference(base, {5: ours[2]}, "accuracy") == [None, None, None]


def test_seeds_that_disagree_widen_the_interval() -> None:
    runs = by_seed(0.5) | {9: by_seed(0.9, range(9, 10))[9]}
    base = {seed: by_seed(0.5, range(1))[0] for seed in runs}
    narrow, wide = difference(base, runs, "accuracy"), difference(base, runs, "accuracy", seeds_too=True)
    assert narrow[0] == wide[0]
    assert wide[2] - wide[1] > 1.5 * (narrow[2] - narrow[1])  # type: ignore[operator]
    low, high = level_of(runs, "accuracy")[1:]
    assert low < over_seeds(runs, "accuracy")[0] < high  # type: ignore[operator]

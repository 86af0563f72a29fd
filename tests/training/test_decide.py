"""Candidates are judged as the finished model would decide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_world import small_recipe

from darl.decisions import choose_rule
from darl.grades import GradeScale
from darl.model.relevance_model import softmax
from darl.pairs import PairTable
from darl.training.calibrate import DevLogits, Scaling
from darl.training.decide import before_shifts, calibrate_on, decide_on, dev_logits, worth
from darl.training.dev import judging_sample
from darl.training.pipeline import fit
from darl.training.splits import load_splits
from darl.training.tune import objective_value


def test_the_chosen_candidate_is_worth_what_the_finished_model_is(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_encoder, tune={"epochs": 1, "start": "auto"})
    choices = fit(recipe, run=tmp_path, quiet=True).metrics["choices"]
    chosen = choices["interpolate"]
    (candidate,) = (
        one for one in chosen["candidates"] if (one["start"], one["alpha"]) == (chosen["start"], chosen["alpha"])
    )
    name = choices["finish"]["rule_reason"].split(":")[0].removesuffix(" stays")
    (row,) = (one for one in choices["finish"]["rules"] if one["rule"] == name)
    assert candidate["id_value"] == pytest.approx(row["figure"], abs=1e-6)


def test_a_fixed_rule_is_worth_what_it_decides(world: dict[str, str], tiny_encoder: Path) -> None:
    recipe = small_recipe(world, tiny_encoder, decide={"rule": "argmax"})
    splits = load_splits(recipe)
    known = dev_logits(splits.dev_id, np.random.default_rng(0).normal(size=(len(splits.dev_id), 3)))
    decision = decide_on(recipe, splits.train, known, None, Scaling(2.0))
    assert decision.table == []
    assert decision.figure == worth(recipe, known, decision.rule, Scaling(2.0))


def test_shifts_do_not_change_what_another_rule_has_to_beat() -> None:
    logits, scaling = np.random.default_rng(0).normal(size=(50, 3)), Scaling(1.7, (0.0, 2.0, -1.0))
    decided = before_shifts(scaling).decide(softmax(scaling.of(logits)))
    assert (decided == logits.argmax(1)).all()
    assert before_shifts(Scaling(1.7)).kind == "argmax"


def test_a_chosen_rule_is_worth_its_crossfitted_figure() -> None:
    rng = np.random.default_rng(1)
    grades = rng.integers(0, 3, 200)
    p = rng.dirichlet(np.ones(3), 200)
    choice = choose_rule(p, grades, GradeScale(("no", "partly", "yes")))
    assert choice.figure in [row.figure for row in choice.table]
    one = choose_rule(p, grades, GradeScale(("no", "partly", "yes")), groups=np.zeros(200))
    assert one.figure is None, "with one query nothing is held out"


def test_a_sample_of_dev_loses_no_grade() -> None:
    table = PairTable.from_pairs([f"q{i}" for i in range(500)], ["a"] * 500, grades=[int(i < 3) for i in range(500)])
    sampled = judging_sample(table, 100)
    assert (sampled.grades == 1).sum() == 3
    assert 100 <= len(sampled) <= 103
    assert judging_sample(table, 500) is table
    even = PairTable.from_pairs([f"q{i}" for i in range(500)], ["a"] * 500, grades=[i % 2 for i in range(500)])
    assert judging_sample(even, 100).fingerprint() == even.sample(100, 0).fingerprint()


def test_one_grade_on_dev_and_every_pair_right_is_best() -> None:
    right, wrong = np.zeros(100, int), np.r_[1, np.zeros(99, int)]
    zeros = np.zeros(100, int)
    assert objective_value("macro_f1_qwk", zeros, right, 3) == 1
    assert objective_value("macro_f1_qwk", zeros, wrong, 3) < 0.5


@pytest.mark.parametrize(
    ("rule", "per_grade", "shifted"), [("auto", "auto", True), ("argmax", "auto", False), ("argmax", True, True)]
)
def test_a_fixed_rule_is_not_shifted_unless_asked(
    world: dict[str, str], tiny_encoder: Path, rule: str, per_grade: bool | str, shifted: bool
) -> None:
    recipe = small_recipe(world, tiny_encoder, decide={"rule": rule}, calibrate={"per_grade": per_grade})
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(900, 3))
    likely = softmax(logits + np.array([0.0, 2.0, 0.0]))
    grades = (likely.cumsum(axis=1) < rng.random((900, 1))).sum(axis=1)
    known = DevLogits(logits, grades, np.arange(900) // 3)
    scaling, _ = calibrate_on(recipe, known, None)
    assert bool(scaling.shifts) == shifted

"""Scores: one row a pair, in order, whatever the texts and whoever shares the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import ITEMS, QUERIES, make_reference

from darl.decisions import DecisionRule
from darl.errors import ModelError
from darl.model import RelevanceModel
from darl.model.constant import constant_direction
from darl.model.relevance_model import softmax
from model_texts import ANY_PAIRS, HARD, STEADY_FEW

KINDS = pytest.mark.parametrize("kind", ["encoder", "decoder"])


def probabilities(model, pairs: list[tuple[str, str]], **options) -> np.ndarray:
    return model.score(queries=[q for q, _ in pairs], items=[i for _, i in pairs], **options).probabilities


@KINDS
@STEADY_FEW
@given(pairs=ANY_PAIRS)
def test_every_pair_gets_one_finite_row(shared_models, kind: str, pairs) -> None:
    p = probabilities(shared_models[kind], pairs)
    assert p.shape == (len(pairs), 3)
    assert np.isfinite(p).all()


@KINDS
@STEADY_FEW
@given(pairs=ANY_PAIRS, data=st.data())
def test_rows_follow_the_order_of_the_pairs(shared_models, kind: str, pairs, data) -> None:
    order = data.draw(st.permutations(range(len(pairs))))
    shuffled = probabilities(shared_models[kind], [pairs[i] for i in order])
    np.testing.assert_allclose(shuffled, probabilities(shared_models[kind], pairs)[list(order)], atol=1e-5)


@KINDS
@STEADY_FEW
@given(pairs=ANY_PAIRS, budget=st.sampled_from([1, 50, 4096]))
def test_a_pair_scores_the_same_alone_and_in_a_crowd(shared_models, kind: str, pairs, budget: int) -> None:
    crowd = probabilities(shared_models[kind], pairs, tokens_per_batch=budget)
    alone = np.concatenate([probabilities(shared_models[kind], [pair]) for pair in pairs])
    np.testing.assert_allclose(crowd, alone, atol=1e-5)


@KINDS
@STEADY_FEW
@given(pairs=ANY_PAIRS)
def test_probabilities_sum_to_one(shared_models, kind: str, pairs) -> None:
    np.testing.assert_allclose(probabilities(shared_models[kind], pairs).sum(1), 1, atol=1e-12)


def test_different_pairs_score_differently(shared_model) -> None:
    p = probabilities(shared_model, [("red shoes", "light shoes"), ("dog", "round wooden table")])
    assert abs(p[0] - p[1]).max() > 1e-3


def test_relevance_is_the_scales_expected_gain(shared_model) -> None:
    scores = shared_model.score(queries=QUERIES, items=ITEMS)
    np.testing.assert_allclose(scores.relevance, scores.probabilities @ [0, 1 / 3, 1], atol=1e-12)


def test_grades_follow_the_models_rule(model) -> None:
    model.rule = DecisionRule("thresholds", thresholds=(-2.0, -1.0))
    assert model.score(queries=QUERIES, items=ITEMS).grades.tolist() == [2] * len(QUERIES)


@pytest.mark.parametrize("text", HARD)
def test_the_decoder_is_pooled_at_the_last_token_of_the_template(shared_models, text: str) -> None:
    model = shared_models["decoder"]
    encoded = model.encode(queries=["red"], items=[text])
    ids = model.encoder.pad([encoded.row(0)])["input_ids"]
    last = model.network.model(ids).last_hidden_state[0, -1]
    np.testing.assert_allclose(model.head_features(encoded)[0], last.detach().numpy(), atol=1e-5)


def test_the_weights_and_the_training_mode_are_left_alone(model) -> None:
    model.network.train()
    model.score(queries=["red"], items=["shoes"])
    assert model.network.training
    assert all(parameter.grad is None for parameter in model.network.parameters())


def test_dropout_is_off(model) -> None:
    model.network.train()
    first, second = (probabilities(model, [("red", "shoes")]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_progress_counts_every_pair(shared_model) -> None:
    done: list[int] = []
    shared_model.score(queries=QUERIES, items=ITEMS, tokens_per_batch=40, progress=done.append)
    assert len(done) > 1
    assert sum(done) == len(QUERIES)


def test_no_pairs_give_no_rows(shared_model) -> None:
    scores = shared_model.score(queries=[], items=[])
    assert scores.probabilities.shape == (0, 3)
    assert scores.grades.shape == scores.relevance.shape == (0,)
    assert scores.to_arrow().column_names == ["grade", "grade_name", "relevance_score", "p_bad", "p_fair", "p_good"]


def test_no_pairs_have_no_ood_scores_either(model) -> None:
    model.ood = make_reference(model, "base")
    scores = model.score(queries=[], items=[])
    assert scores.ood_scores.shape == scores.ood_percentiles.shape == (0,)


def test_ood_percentiles_come_with_the_scores(model) -> None:
    model.ood = make_reference(model, "base")
    scores = model.score(queries=QUERIES, items=ITEMS)
    assert scores.ood_percentiles.shape == (len(QUERIES),)
    np.testing.assert_array_equal(scores.ood_percentiles, model.ood.percentile_of(scores.ood_scores))


def test_ood_can_be_left_out(model) -> None:
    model.ood = make_reference(model, "base")
    assert model.score(queries=["red"], items=["shoes"], ood=False).ood_scores is None


def test_a_model_without_reference_has_no_ood_features(shared_model) -> None:
    with pytest.raises(ModelError, match="no OOD reference"):
        shared_model.ood_features(shared_model.encode(queries=["red"], items=["shoes"]))


def test_rows_name_grade_and_probabilities(shared_model) -> None:
    scores = shared_model.score(queries=["red"], items=["shoes"])
    (row,) = scores.rows()
    assert row["grade_name"] == ("bad", "fair", "good")[row["grade"]]
    assert [row[f"p_{name}"] for name in ("bad", "fair", "good")] == scores.probabilities[0].tolist()


def test_a_temperature_divides_the_logits(model) -> None:
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before = model.logits(encoded)
    model.divide_logits(2.0)
    model.divide_logits(1.5)
    np.testing.assert_allclose(model.logits(encoded), before / 3, atol=1e-5)
    assert model.temperature == 3.0


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf")])
def test_a_temperature_that_is_none_is_refused(shared_models, temperature: float) -> None:
    with pytest.raises(ModelError, match="temperature"):
        shared_models["encoder"].divide_logits(temperature)


def test_a_device_that_is_not_there_is_named(shared_models) -> None:
    with pytest.raises(ModelError, match="cuda:97"):
        shared_models["encoder"].to("cuda:97")


def test_softmax_of_huge_logits_is_finite() -> None:
    np.testing.assert_allclose(softmax(np.array([[1e30, 0.0], [-1e30, -1e30]])), [[1, 0], [0.5, 0.5]])


def test_shifts_are_added_to_the_logits_and_undone(shared_models) -> None:
    model = shared_models["encoder"]
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before = model.logits(encoded)
    model.divide_logits(2.0)
    model.shift_logits([0.0, 1.0, -2.0])
    try:
        np.testing.assert_allclose(model.logits(encoded), before / 2 + [0.0, 1.0, -2.0], atol=1e-5)
        assert (model.temperature, model.shifts) == (2.0, (0.0, 1.0, -2.0))
    finally:
        model.undo_calibration()
    np.testing.assert_allclose(model.logits(encoded), before, atol=1e-5)
    assert (model.temperature, model.shifts) == (1.0, ())


@pytest.mark.parametrize("shifts", [[0.0, 1.0], [0.0, float("nan"), 1.0]])
def test_shifts_that_are_none_are_refused(shared_models, shifts: list[float]) -> None:
    with pytest.raises(ModelError, match="shifts are 3 finite numbers"):
        shared_models["encoder"].shift_logits(shifts)


def test_a_head_without_bias_is_shifted_along_its_constant_and_saved(shared_models, tmp_path: Path) -> None:
    model = shared_models["decoder"]
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before, features = model.logits(encoded), model.head_features(encoded)
    model.constant = constant_direction(features, ridge=0.0)[0].tolist()
    along = (features @ np.array(model.constant))[:, None]
    shifts = np.array([0.0, 1.0, -2.0])
    try:
        model.shift_logits(shifts.tolist())
        np.testing.assert_allclose(model.logits(encoded), before + along * shifts, atol=1e-4)
        saved = RelevanceModel.from_pretrained(model.save_pretrained(tmp_path / "model"))
        assert (saved.constant, saved.shifts) == (model.constant, (0.0, 1.0, -2.0))
        saved.undo_calibration()
        np.testing.assert_allclose(saved.logits(encoded), before, atol=1e-4)
    finally:
        model.undo_calibration()
        model.constant = None
    np.testing.assert_allclose(model.logits(encoded), before, atol=1e-4)


def test_a_head_without_bias_holds_no_shifts(shared_models) -> None:
    with pytest.raises(ModelError, match="no bias"):
        shared_models["decoder"].shift_logits([0.0, 1.0, 2.0])

"""The verbalizer: a language model that answers with a grade word is a sequence classifier with K rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_world import GRADES, small_recipe
from transformers import AutoModelForCausalLM

from darl.errors import BackboneError, RecipeError
from darl.model import RelevanceModel
from darl.model.relevance_model import softmax
from darl.recipe.settings import Recipe
from darl.training import verbalizer
from darl.training.pipeline import fit
from darl.training.splits import load_splits
from darl.training.starts import fresh_model, starts_of
from darl.training.verbalizer import IGNORED, answer_tokens, tune_verbalizer, zero_shot


@pytest.fixture(scope="module")
def recipe(world: dict[str, str], tiny_decoder: Path) -> Recipe:
    return small_recipe(world, tiny_decoder, method="verbalizer", tune={"epochs": 1, "freeze_embeddings": False})


def answers_of(language_model, model: RelevanceModel, pairs) -> np.ndarray:
    """Next-token probabilities of the grade words' first tokens after the prompt, renormalised over the grades."""
    encoded, first = model.encode(pairs), [ids[0] for ids in answer_tokens(model.tokenizer, GRADES)]
    rows = []
    with torch.no_grad():
        for i in range(len(encoded)):
            logits = language_model.eval()(torch.tensor([encoded.fields["input_ids"][i]])).logits[0, -1]
            rows.append(logits[first].numpy())
    return softmax(np.stack(rows))


def test_zero_shot_scores_are_the_language_models_answers(recipe: Recipe, tiny_decoder: Path) -> None:
    dev = load_splits(recipe).dev_id
    model = zero_shot(fresh_model(recipe), GRADES)
    language_model = AutoModelForCausalLM.from_pretrained(tiny_decoder)
    np.testing.assert_allclose(model.score(dev).probabilities, answers_of(language_model, model, dev), atol=1e-5)


Tuned = tuple[RelevanceModel, Any, list[dict[str, Any]]]


def tuned_with_its_language_model(recipe: Recipe, folder: Path) -> Tuned:
    """The converted model, the language model it came from, and the rows that it was trained on, in padded batches."""
    kept: dict[str, Any] = {}
    real_load, real_train = verbalizer.load_causal_lm, verbalizer.train

    def load(backbone):
        kept["model"] = real_load(backbone)
        return kept["model"]

    def train(network, rows, collate, *args, **options):
        kept["rows"], kept["batch"] = [dict(row) for row in rows], collate([dict(row) for row in rows[:3]])
        return real_train(network, rows, collate, *args, **options)

    model, data = fresh_model(recipe), load_splits(recipe).train
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbalizer, "load_causal_lm", load)
        patch.setattr(verbalizer, "train", train)
        patch.setattr(verbalizer, "packed_answers", lambda language_model, model: None)
        tune_verbalizer(model, model.encode(data), data.grades, recipe, folder)
    return model, kept["model"], [*kept["rows"], kept["batch"]]


@pytest.fixture(scope="module")
def tuned(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    """What the recipe's own tuning makes; not to be changed."""
    return tuned_with_its_language_model(recipe, tmp_path_factory.mktemp("tuned"))


def test_the_converted_model_answers_as_the_tuned_language_model(recipe: Recipe, tuned: Tuned) -> None:
    dev = load_splits(recipe).dev_id
    model, language_model, _ = tuned
    found = model.score(dev).probabilities
    np.testing.assert_allclose(found, answers_of(language_model, model, dev), atol=1e-5)
    assert np.abs(found - zero_shot(fresh_model(recipe), GRADES).score(dev).probabilities).max() > 1e-3


def test_lora_converts_too_and_saves_its_adapter(world: dict[str, str], tiny_decoder: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "kind": "lora", "learning_rate": 0.01}
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", tune=settings)
    dev = load_splits(recipe).dev_id
    model, language_model, _ = tuned_with_its_language_model(recipe, tmp_path)
    merged = language_model.merge_and_unload() if hasattr(language_model, "merge_and_unload") else language_model
    np.testing.assert_allclose(model.score(dev).probabilities, answers_of(merged, model, dev), atol=1e-5)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()


def test_only_the_answer_has_labels(recipe: Recipe, tuned: Tuned) -> None:
    model, _, (*rows, batch) = tuned
    data, answers = load_splits(recipe).train, answer_tokens(model.tokenizer, GRADES)
    prompts = model.encode(data).fields["input_ids"]
    for row, prompt, grade in zip(rows, prompts, data.grades, strict=True):
        answer = [*answers[grade], model.tokenizer.eos_token_id]
        assert row["input_ids"] == prompt + answer
        assert row["labels"] == [IGNORED] * len(prompt) + answer
    kept = batch["logits_to_keep"]
    assert bool((batch["labels"][batch["attention_mask"][:, -kept:] == 0] == IGNORED).all())


def test_the_loss_of_a_batch_is_the_usual_one_on_whole_sequences(tuned: Tuned) -> None:
    _, language_model, (*rows, batch) = tuned
    language_model.eval()
    with torch.no_grad():
        ours = language_model(**batch).loss
        sums, count = 0.0, 0
        for row in rows[: len(batch["input_ids"])]:
            ids, labels = torch.tensor([row["input_ids"]]), torch.tensor([row["labels"]])
            answers = int((labels != IGNORED).sum())
            sums, count = sums + float(language_model(input_ids=ids, labels=labels).loss) * answers, count + answers
    assert float(ours) == pytest.approx(sums / count, rel=1e-4)


def test_frozen_layers_stay_bit_for_bit(world: dict[str, str], tiny_decoder: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "freeze_layers": 1}
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", tune=settings)
    model, _, _ = tuned_with_its_language_model(recipe, tmp_path)
    before, after = fresh_model(recipe).network.state_dict(), model.network.state_dict()
    moved = {name for name in before if name != "score.weight" and not torch.equal(before[name], after[name])}
    assert moved
    assert not {name for name in moved if "embed_tokens" in name or "layers.0." in name}


def test_a_verbalizers_run_leaves_a_plain_model(recipe: Recipe, tmp_path: Path) -> None:
    result = fit(recipe, run=tmp_path, quiet=True)
    scores = RelevanceModel.from_pretrained(result.model_path).score(queries=["pet insurance"], items=["vet bills"])
    assert scores.probabilities.shape == (1, 3)
    assert set(result.metrics["choices"]) == {"tune-verbalizer", "interpolate", "finish"}


def refused(recipe: Recipe, run: Path, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        fit(recipe, run=run, quiet=True)
    assert list((run / "stages").iterdir()) == []


def test_words_that_begin_alike_are_named_before_any_stage(
    world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    words = ["no", "yes", "yes indeed"]
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", words=words)
    refused(recipe, tmp_path, RecipeError, "must begin with distinct tokens")


def test_an_empty_word_is_named_before_any_stage(world: dict[str, str], tiny_decoder: Path, tmp_path: Path) -> None:
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", words=["no", "", "yes"])
    refused(recipe, tmp_path, RecipeError, "must begin with distinct tokens")


def test_words_of_another_number_are_named_before_any_stage(
    world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", words=["no", "yes"])
    refused(recipe, tmp_path, RecipeError, "2 words for 3 grades")


def test_an_encoder_is_refused_before_any_stage(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = small_recipe(world, tiny_encoder, method="verbalizer")
    refused(recipe, tmp_path, BackboneError, "needs a causal language model")


@pytest.mark.parametrize("settings", [{"keep": "best"}, {"patience": 2}], ids=["best", "patience"])
def test_settings_of_the_other_method_are_refused_before_any_stage(
    settings: dict[str, Any], world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_decoder, method="verbalizer", tune=settings)
    refused(recipe, tmp_path, RecipeError, "keeps the last epoch")


def test_auto_begins_from_the_grade_words_of_an_llm(world: dict[str, str], tiny_decoder: Path, tmp_path: Path) -> None:
    recipe = small_recipe(world, tiny_decoder, tune={"start": "auto", "epochs": 1}, interpolate={"alphas": [0.5, 1.0]})
    result = fit(recipe, run=tmp_path / "run", quiet=True)
    assert {"tune-random", "tune-verbalizer"} < set(result.metrics["choices"])
    candidates = result.metrics["choices"]["interpolate"]["candidates"]
    assert {(c["start"], c["alpha"]) for c in candidates} == {("random", 1), ("verbalizer", 1), ("verbalizer", 0.5)}


def test_auto_probes_where_grade_words_cannot_be_told_apart(
    world: dict[str, str], tiny_decoder: Path, tiny_encoder: Path
) -> None:
    alike = small_recipe(world, tiny_decoder, tune={"start": "auto"}, words=["no", "yes", "yes indeed"])
    assert starts_of(alike) == ["random", "probe"]
    assert starts_of(small_recipe(world, tiny_encoder, tune={"start": "auto"})) == ["random", "probe"]


def test_a_start_that_the_backbone_has_not_is_refused_before_any_stage(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_encoder, tune={"start": "verbalizer"})
    refused(recipe, tmp_path, BackboneError, "needs a causal language model")

"""The matching stage: it learns what embeddings say, only where that tells grades, and nothing else changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rounds_world import rounds_dict, write_pool
from safetensors.torch import load_file, save_file
from small_world import recipe_dict

from darl.errors import DivergedError, RecipeError
from darl.model import RelevanceModel
from darl.model.embedding import Convention
from darl.recipe.settings import Recipe
from darl.storage import read_json
from darl.training.match import unlabelled
from darl.training.match_worth import knows_as_pair
from darl.training.pipeline import FitResult, fit
from darl.training.run import Stage
from darl.training.splits import load_splits
from darl.training.starts import WEIGHTS, fresh_model, load_matched, state_of

LEARNS = {"enabled": True, "pairs": 400, "epochs": 6.0, "learning_rate": 0.003}
STARTS = ("random", "probe")
STAGES = {"match", "probe", "tune-random", "tune-probe", "interpolate", "finish"}


def matched_recipe(world: dict[str, str], backbone: Path, /, match: dict[str, Any], **changes: Any) -> Recipe:
    """A recipe that leaves out what these tests do not look at."""
    changes = {"interpolate": {"enabled": False}, "evaluate": {"bootstrap": 2}, **changes}
    changes["tune"] = {"epochs": 1, "batch_size": 32, **changes.get("tune", {})}
    return Recipe.model_validate(recipe_dict(world, backbone, match=match, **changes))


@pytest.fixture(scope="module")
def done(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(matched_recipe(world, tiny_encoder, LEARNS), run=tmp_path_factory.mktemp("match") / "run", quiet=True)


@pytest.fixture(scope="module")
def without(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(
        matched_recipe(world, tiny_encoder, {"enabled": False}),
        run=tmp_path_factory.mktemp("match") / "without",
        quiet=True,
    )


def test_the_pair_reader_follows_the_embeddings(done: FitResult) -> None:
    choices = done.metrics["choices"]
    assert set(choices) == STAGES
    assert choices["match"]["used"]
    assert choices["match"]["correlation"] > 0.5
    assert 200 < choices["match"]["pairs"] <= 400
    assert "without labels" in choices["match"]["why"]


def test_the_probe_begins_from_it_and_plain_tuning_does_not(done: FitResult, without: FitResult) -> None:
    mine, other = (
        {start: load_file(run.folder / "stages" / f"tune-{start}" / "network.safetensors") for start in STARTS}
        for run in (done, without)
    )
    same = {start: all((mine[start][n] == other[start][n]).all() for n in mine[start]) for start in STARTS}
    assert same == {"random": True, "probe": False}


def test_how_far_out_a_pair_is_stays_with_the_frozen_base(done: FitResult, without: FitResult) -> None:
    scores = [
        RelevanceModel.from_pretrained(run.model_path).score(
            queries=["pet insurance", "red garden"], items=["vet bills", "table"]
        )
        for run in (done, without)
    ]
    assert np.allclose(scores[0].ood_percentiles, scores[1].ood_percentiles)  # type: ignore[arg-type]


def test_auto_leaves_it_out_where_embeddings_tell_no_grades(
    world: dict[str, str], tiny_encoder: Path, without: FitResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darl.training.match.LEAST", 1.01)
    settings = {**LEARNS, "enabled": "auto"}
    run = fit(matched_recipe(world, tiny_encoder, settings), run=tmp_path / "run", quiet=True)
    assert not run.metrics["choices"]["match"]["used"]
    assert "left out" in run.metrics["choices"]["match"]["why"]
    one, two = (load_file(found.model_path / "model.safetensors") for found in (run, without))
    assert all((one[name] == two[name]).all() for name in one)


def test_auto_leaves_it_out_where_the_backbone_knows_more_as_a_reader_of_pairs(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darl.training.match.agreement", lambda *_: (Convention(), 0.5))
    for known, used in ((0.6, False), (0.4, True)):
        monkeypatch.setattr("darl.training.match.knows_as_pair", lambda *_, known=known: known)
        settings = {**LEARNS, "enabled": "auto", "pairs": 200, "epochs": 1.0}
        recipe = matched_recipe(world, tiny_encoder, settings, tune={"start": "probe"}, ood={"enabled": False})
        found = fit(recipe, run=tmp_path / str(used), quiet=True).metrics["choices"]["match"]
        assert found["used"] == used
        assert used or "0.60" in found["why"]


def test_auto_leaves_out_what_was_not_learnt(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darl.training.match.agreement", lambda *_: (Convention(), 0.5))
    monkeypatch.setattr("darl.training.match.knows_as_pair", lambda *_: 0.4)
    monkeypatch.setattr("darl.training.match._learn", lambda *_: {"correlation": -0.2, "steps": 1, "train_loss": 1.0})
    settings = {**LEARNS, "enabled": "auto", "pairs": 200}
    recipe = matched_recipe(world, tiny_encoder, settings, tune={"start": "probe"}, ood={"enabled": False})
    found = fit(recipe, run=tmp_path / "run", quiet=True).metrics["choices"]["match"]
    assert not found["used"]
    assert "nothing was learnt, the correlation on held-out pairs is -0.20" in found["why"]


def test_what_a_reader_of_pairs_knows_is_asked_about_other_queries(world: dict[str, str], tiny_encoder: Path) -> None:
    recipe = matched_recipe(world, tiny_encoder, LEARNS)
    train, model = load_splits(recipe).train, fresh_model(recipe)
    assert knows_as_pair(model, train) > 0.5  # grades follow a few item texts there
    shuffled = train.with_column("grade", np.random.default_rng(0).permutation(train.grades))
    assert abs(knows_as_pair(model, shuffled)) < 0.3
    assert knows_as_pair(model, train.take([0, 1, 2])) == 0.0  # one query


def test_auto_leaves_it_out_for_a_decoder_and_for_plain_tuning(
    world: dict[str, str], tiny_decoder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    auto = {**LEARNS, "enabled": "auto"}
    for name, backbone, start in (("decoder", tiny_decoder, "probe"), ("plain", tiny_encoder, "random")):
        recipe = matched_recipe(world, backbone, auto, tune={"start": start}, ood={"enabled": False})
        assert "match" not in fit(recipe, run=tmp_path / name, quiet=True).metrics["choices"]


def test_another_backbone_can_be_the_teacher(
    world: dict[str, str], tiny_decoder: Path, tiny_encoder: Path, tmp_path: Path
) -> None:
    settings = {**LEARNS, "teacher": str(tiny_encoder), "pairs": 200}
    recipe = matched_recipe(world, tiny_decoder, settings, tune={"start": "probe"}, ood={"enabled": False})
    found = fit(recipe, run=tmp_path / "run", quiet=True).metrics["choices"]["match"]
    assert found["used"]
    assert str(tiny_encoder) in found["why"]


def test_a_run_can_take_the_matched_backbone_of_another(
    world: dict[str, str], tiny_encoder: Path, done: FitResult, tmp_path: Path
) -> None:
    recipe = matched_recipe(world, tiny_encoder, {**LEARNS, "reuse": str(done.folder)})
    run = fit(recipe, run=tmp_path / "run", quiet=True)
    one, two = (load_file(found.model_path / "model.safetensors") for found in (run, done))
    assert all((one[name] == two[name]).all() for name in one)


def test_a_run_that_is_not_there_is_named(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = matched_recipe(world, tiny_encoder, {**LEARNS, "reuse": str(tmp_path / "nowhere")})
    with pytest.raises(RecipeError, match=r"there is no run in .*nowhere"):
        fit(recipe, run=tmp_path / "run", quiet=True)


def test_weights_of_other_shapes_are_refused(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    model = fresh_model(matched_recipe(world, tiny_encoder, LEARNS))
    state = {name: tensor[:1].contiguous() for name, tensor in state_of(model).items()}
    save_file(state, tmp_path / WEIGHTS)
    with pytest.raises(RecipeError, match="of another backbone"):
        load_matched(model, Stage("match", tmp_path, "", {}, reused=False))


def test_weights_of_another_backbone_are_refused(
    world: dict[str, str], tiny_encoder: Path, tiny_decoder: Path, done: FitResult, tmp_path: Path
) -> None:
    recipe = matched_recipe(world, tiny_decoder, {**LEARNS, "reuse": str(done.folder)}, tune={"start": "probe"})
    with pytest.raises(RecipeError, match="of another backbone"):
        fit(recipe, run=tmp_path / "run", quiet=True)


def test_a_run_without_the_stage_has_none_to_give(
    world: dict[str, str], tiny_encoder: Path, without: FitResult, tmp_path: Path
) -> None:
    recipe = matched_recipe(world, tiny_encoder, {**LEARNS, "reuse": str(without.folder)})
    assert "match" not in fit(recipe, run=tmp_path / "run", quiet=True).metrics["choices"]


def test_the_pools_texts_are_read_without_its_labels_or_queries_that_judge(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    pool = write_pool(world, tmp_path)
    rows = [json.loads(line) for line in pool.read_text(encoding="utf-8").splitlines()]
    pool.write_text("".join(json.dumps({**row, "grade": "no such grade"}) + "\n" for row in rows), encoding="utf-8")
    recipe = matched_recipe(world, tiny_encoder, {**LEARNS, "pairs": 1000}, data={"pool": str(pool)})
    texts = unlabelled(recipe, load_splits(recipe))
    assert set(texts.queries) >= {f"red garden insurance {n}" for n in range(20)}
    assert not [query for query in texts.queries if query.startswith("old")]
    assert not texts.has("grade")
    assert len(texts) == 96 + 60


def test_too_few_texts_are_left_out(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    pairs = [{"query": "travel", "item": f"cover {n} {grade}", "grade": grade} for n in range(1) for grade in range(3)]
    few = tmp_path / "few.jsonl"
    few.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    done = fit(matched_recipe({**world, "train": str(few)}, tiny_encoder, LEARNS), run=tmp_path / "run", quiet=True)
    assert not done.metrics["choices"]["match"]["used"]
    assert "too few" in done.metrics["choices"]["match"]["why"]


def test_matching_that_diverges_names_its_own_rate(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    wild = {"enabled": True, "pairs": 200, "learning_rate": 1e30}
    with pytest.raises(DivergedError, match="matching diverged") as caught:
        fit(matched_recipe(world, tiny_encoder, wild), run=tmp_path / "run", quiet=True)
    assert "`match.learning_rate`" in str(caught.value.mend)


@pytest.mark.parametrize("setting", [{"weight_decay": 0.5}, {"max_grad_norm": 0.1}])
def test_settings_of_tuning_that_act_on_matching_do_it_again(
    setting: dict[str, float], world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    few = {"enabled": True, "pairs": 100}
    stage = tmp_path / "run" / "stages" / "match" / "stage.json"
    keys = []
    for tune in ({}, setting):
        recipe = matched_recipe(world, tiny_encoder, few, tune={"epochs": 0.2, "start": "probe", **tune})
        fit(recipe, run=tmp_path / "run", redo=True, quiet=True)
        keys.append(read_json(stage)["key"])
    assert keys[0] != keys[1]


def test_rounds_match_once(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    pool = write_pool(world, tmp_path)
    recipe = rounds_dict(
        world, tiny_encoder, pool, match={**LEARNS, "pairs": 100}, tune={"epochs": 1}, rounds={"count": 1}
    )
    run = fit(Recipe.model_validate(recipe), run=tmp_path / "run", quiet=True)
    weights = [run.folder / "rounds" / str(n) / "stages" / "match" / "network.safetensors" for n in range(2)]
    assert len({path.read_bytes() for path in weights}) == 1
    assert read_json(run.folder / "rounds" / "1" / "stages" / "match" / "stage.json")["result"]["used"]

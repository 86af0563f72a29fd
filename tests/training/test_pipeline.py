"""fit from end to end: what a run leaves, and that it depends on the recipe and the seed alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file
from small_world import small_recipe

from darl.errors import BackboneError, RecipeError
from darl.model import RelevanceModel
from darl.storage import read_json
from darl.training.pipeline import FitResult, fit


def what_counts(folder: Path) -> dict[str, Any]:
    """The metrics of a run without the time it took."""
    metrics = read_json(folder / "metrics.json")
    return {key: value for key, value in metrics.items() if not key.startswith("seconds")}


@pytest.fixture(scope="module")
def first(world: dict[str, str], tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    return fit(small_recipe(world, tiny_encoder), run=tmp_path_factory.mktemp("runs") / "first", quiet=True)


def test_a_run_leaves_a_model_that_scores(first: FitResult) -> None:
    scores = RelevanceModel.from_pretrained(first.model_path).score(queries=["pet insurance"], items=["vet bills"])
    assert scores.probabilities.shape == (1, 3)
    assert scores.ood_percentiles is not None


def test_the_metrics_name_every_choice_and_every_test_set(first: FitResult) -> None:
    metrics = read_json(first.folder / "metrics.json")
    assert set(metrics["choices"]) == {"probe", "tune-random", "tune-probe", "interpolate", "finish"}
    assert first.evaluation is not None
    assert "far" in first.summary


def test_the_judged_predictions_are_kept(first: FitResult) -> None:
    with np.load(first.folder / "predictions-far.npz") as arrays:
        assert arrays["probabilities"].shape == (36, 3)


def test_the_same_seed_gives_the_same_metrics_and_weights(
    first: FitResult, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    again = fit(small_recipe(world, tiny_encoder), run=tmp_path / "again", quiet=True)
    assert what_counts(again.folder) == what_counts(first.folder)
    one, two = (load_file(result.model_path / "model.safetensors") for result in (first, again))
    assert all((one[name] == two[name]).all() for name in one)


def test_another_seed_gives_other_metrics(
    first: FitResult, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    other = fit(small_recipe(world, tiny_encoder, seed=1), run=tmp_path / "other", quiet=True)
    assert what_counts(other.folder)["choices"] != what_counts(first.folder)["choices"]


def test_a_finished_run_is_found_again(first: FitResult, world: dict[str, str], tiny_encoder: Path) -> None:
    before, stages = what_counts(first.folder), sorted((first.folder / "stages").glob("*/stage.json"))
    times = [stage.stat().st_mtime_ns for stage in stages]
    took = read_json(first.folder / "metrics.json")["seconds_by_stage"]
    fit(small_recipe(world, tiny_encoder), run=first.folder, quiet=True)
    assert [stage.stat().st_mtime_ns for stage in stages] == times
    assert what_counts(first.folder) == before
    now = read_json(first.folder / "metrics.json")
    assert now["seconds_by_stage"] == took, "what was done before took the time it took"
    assert now["seconds"] >= sum(took.values()) > 0


def test_a_missing_backbone_is_named_before_any_stage(world: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="no such folder"):
        fit(small_recipe(world, tmp_path / "nowhere"), run=tmp_path / "run", quiet=True)
    assert list((tmp_path / "run" / "stages").iterdir()) == []


def test_a_hub_that_cannot_be_reached_is_named_before_any_stage(world: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="hub"):
        fit(small_recipe(world, Path("someone/some-model")), run=tmp_path / "run", quiet=True)
    assert list((tmp_path / "run" / "stages").iterdir()) == []


def test_a_template_that_cannot_be_is_named_before_any_stage(
    world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    backbone = {"name": str(tiny_decoder), "template": "{item} {query}"}
    with pytest.raises(RecipeError, match="template"):
        fit(small_recipe(world, tiny_decoder, backbone=backbone), run=tmp_path / "run", quiet=True)
    assert list((tmp_path / "run" / "stages").iterdir()) == []


def test_overrides_need_a_recipe_file(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="overrides"):
        fit(small_recipe(world, tiny_encoder), run=tmp_path, overrides=["seed=1"])


def test_braces_in_the_output_are_no_format(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    changes = {"output": "{name}-{x}", "tune": {"start": "random", "epochs": 0.2}, "ood": {"enabled": False}}
    assert fit(small_recipe(world, tiny_encoder, **changes), quiet=True).folder == Path("small-{x}")


@pytest.mark.parametrize(
    ("start", "candidates"),
    [
        ("auto", [("probe", 0.0), ("probe", 0.7), ("probe", 1.0), ("random", 1.0)]),
        ("random", [("random", 0.7), ("random", 1.0)]),  # there is no other start
    ],
)
def test_mixes_with_a_random_head_are_candidates_only_without_a_better_start(
    start: str, candidates: list[tuple[str, float]], world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    settings = {"alphas": [0.0, 0.7, 1.0], "max_id_loss": 0.05, "min_gain": 0.0}
    recipe = small_recipe(world, tiny_encoder, tune={"start": start, "epochs": 1}, interpolate=settings)
    choices = fit(recipe, run=tmp_path, quiet=True).metrics["choices"]
    assert sorted((c["start"], c["alpha"]) for c in choices["interpolate"]["candidates"]) == candidates

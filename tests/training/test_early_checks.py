"""What is wrong in a recipe is said before any stage is done."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_world import small_recipe

from darl.errors import DarlError, RecipeError
from darl.training.pipeline import fit


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"loss": {"name": "oc"}}, "unknown loss 'oc'"),
        ({"loss": {"name": "focal", "params": {"gama": 1}}}, "gama"),
        ({"loss": {"name": "occ", "class_weights": [1.0, 2.0]}}, "2 weights for 3 grades"),
        ({"ood": {"detector": "knnn"}}, "knnn"),
        ({"ood": {"detector": "knn", "params": {"neighbours": 3}}}, "neighbours"),
        ({"interpolate": {"start": "no/such/run"}}, "no/such/run"),
        ({"interpolate": {"before": "no/such/run"}}, "no/such/run"),
    ],
)
def test_settings_that_would_stop_a_later_stage(
    change: dict[str, Any], said: str, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    with pytest.raises(DarlError, match=said):
        fit(small_recipe(world, tiny_encoder, **change), run=tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run" / "stages").iterdir())


def test_a_column_to_slice_by_that_no_test_has(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = small_recipe(world, tiny_encoder, data={**data_of(world), "slices": ["itme"]})
    with pytest.raises(RecipeError, match="no test set has a column 'itme'") as caught:
        fit(recipe, run=tmp_path / "run", quiet=True)
    assert "did you mean 'item'" in str(caught.value.mend)


@pytest.mark.parametrize("weights", ["of grades", "of pairs"])
def test_a_verbalizer_refuses_weights_instead_of_ignoring_them(
    weights: str, world: dict[str, str], tiny_decoder: Path, tmp_path: Path
) -> None:
    changes: dict[str, Any] = {"method": "verbalizer"}
    if weights == "of grades":
        changes["loss"] = {"name": "cross_entropy", "class_weights": "balanced"}
    else:
        heavy = tmp_path / "heavy.jsonl"
        heavy.write_text(json.dumps({"query": "ski", "item": "ski cover", "grade": "strong"}) + "\n")
        sources = [world["train"], {"path": str(heavy), "weight": 3.0}]
        changes["data"] = {**data_of(world), "train": sources}
    with pytest.raises(RecipeError, match="verbalizer's loss"):
        fit(small_recipe(world, tiny_decoder, **changes), run=tmp_path / "run", quiet=True)


def data_of(world: dict[str, str]) -> dict[str, Any]:
    return {"train": world["train"], "dev_id": world["dev_id"], "tests": {"id": world["test_id"]}}


def test_a_finished_run_is_not_refused_for_a_slice_that_no_test_has(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {"tune": {"epochs": 0.2, "start": "random"}, "ood": {"enabled": False}}
    fit(small_recipe(world, tiny_encoder, data=data_of(world), **settings), run=tmp_path / "run", quiet=True)
    sliced = small_recipe(world, tiny_encoder, data={**data_of(world), "slices": ["shop"]}, **settings)
    again = fit(sliced, run=tmp_path / "run", redo=True, quiet=True)
    assert again.evaluation is not None

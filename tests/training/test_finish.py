"""The finishing stage: the OOD reference from the probe's own pass equals one made for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_world import small_recipe

from darl.errors import RecipeError
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import fit_reference
from darl.ood.choice import CANDIDATES, choose_detector
from darl.ood.separation import auroc
from darl.training.pipeline import fit
from darl.training.splits import load_splits


@pytest.mark.parametrize("start", ["probe", "random"])
@pytest.mark.parametrize("layer", [-1, 0])
def test_the_reference_is_that_of_the_frozen_base(
    start: str, layer: int, world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_encoder, tune={"epochs": 1, "start": start}, ood={"layer": layer})
    model = RelevanceModel.from_pretrained(fit(recipe, run=tmp_path, quiet=True).model_path)
    splits, spec = load_splits(recipe), FeatureSpec("base", layer, "mean")
    train = model.features(model.encode(splits.train), spec)
    held_out = model.features(model.encode(splits.dev_id), spec)
    assert model.ood is not None
    expected = fit_reference(train, held_out, "knn").held_out_scores
    np.testing.assert_allclose(model.ood.held_out_scores, expected, atol=2e-4)
    assert (tmp_path / "stages" / "probe" / "frozen.safetensors").exists() == (start == "probe")


def test_the_detector_that_is_chosen_on_dev_is_saved_with_its_reason(
    world: dict[str, str], tiny_encoder: Path, tmp_path: Path
) -> None:
    recipe = small_recipe(world, tiny_encoder, tune={"epochs": 0, "start": "probe"}, ood={"detector": "auto"})
    result = fit(recipe, run=tmp_path, quiet=True)
    said = result.metrics["choices"]["finish"]["ood"]
    model, splits, spec = RelevanceModel.from_pretrained(result.model_path), load_splits(recipe), FeatureSpec()
    assert splits.dev_ood is not None
    rows = {
        name: model.features(model.encode(table), spec)
        for name, table in {"train": splits.train, "id": splits.dev_id, "ood": splits.dev_ood}.items()
    }
    expected = choose_detector(rows["train"], rows["id"], rows["ood"], grades=splits.train.grades)
    assert model.ood is not None
    detector = model.ood.detector
    assert repr(detector) == repr(expected.detector) == said["detector"]
    assert said["why"].startswith(said["detector"])
    assert len(said["table"]) == len(CANDIDATES)
    best = max(row["auroc"] for row in said["table"])
    assert auroc(detector.score(rows["id"]), detector.score(rows["ood"])) == pytest.approx(best, abs=0.01)
    np.testing.assert_allclose(model.ood.held_out_scores, np.sort(detector.score(rows["id"])), rtol=1e-2)


def test_auto_takes_no_parameters(world: dict[str, str], tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = small_recipe(
        world, tiny_encoder, tune={"epochs": 0, "start": "probe"}, ood={"detector": "auto", "params": {"k": 3}}
    )
    with pytest.raises(RecipeError, match="parameters of their own"):
        fit(recipe, run=tmp_path, quiet=True)

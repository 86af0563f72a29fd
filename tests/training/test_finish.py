"""The finishing stage: the OOD reference from the probe's own pass equals one made for itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_world import small_recipe

from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import fit_reference
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

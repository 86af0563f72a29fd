"""The probed head as tuning begins: no louder under dropout than the recipe allows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.head import set_head
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.calm import calm, logits_in_training
from darl.training.probe import Probe, logit_spread

SCALE = GradeScale(["no", "some", "yes"])
PAIRS = PairTable.from_pairs([f"cat {i}" for i in range(70)], ["vet cover"] * 70, [i % 3 for i in range(70)])


@pytest.fixture
def model(tiny_encoder: Path) -> RelevanceModel:
    return RelevanceModel.from_backbone(str(tiny_encoder), SCALE, max_length=32)


def recipe(tiny_encoder: Path, dropout: float, spread: float = 0.35) -> Recipe:
    return Recipe.model_validate(
        {
            "grades": {"names": SCALE.names},
            "data": {"train": [{"path": "train.jsonl"}]},
            "backbone": {"name": str(tiny_encoder)},
            "tune": {"dropout": dropout},
            "probe": {"spread": spread},
        }
    )


def test_logits_in_training_are_shaken_and_drawn_by_the_seed(model: RelevanceModel, tiny_encoder: Path) -> None:
    shaken, again = (logits_in_training(model, PAIRS, recipe(tiny_encoder, 0.5)) for _ in range(2))
    still = model.logits(model.encode(PAIRS))
    assert shaken.shape == still.shape
    assert (shaken == again).all()
    assert np.abs(shaken - still).max() > 0
    assert not model.network.training
    np.testing.assert_allclose(logits_in_training(model, PAIRS, recipe(tiny_encoder, 0.0)), still, atol=1e-5)


@pytest.mark.parametrize("spread", [0.1, 0.35])
def test_without_dropout_the_spread_is_the_recipes(model: RelevanceModel, tiny_encoder: Path, spread: float) -> None:
    features = model.head_features(model.encode(PAIRS))
    found = calm(_probe(features), features, model, PAIRS, recipe(tiny_encoder, 0.0, spread))
    assert logit_spread(found.logits(features)) == pytest.approx(spread, rel=1e-4)


def test_under_heavy_dropout_the_head_is_smaller_and_decides_alike(model: RelevanceModel, tiny_encoder: Path) -> None:
    features, settings = model.head_features(model.encode(PAIRS)), recipe(tiny_encoder, 0.5)
    probe = _probe(features)
    found = calm(probe, features, model, PAIRS, settings)
    assert logit_spread(found.logits(features)) < 0.3
    assert (found.logits(features).argmax(1) == probe.logits(features).argmax(1)).all()
    set_head(model.network, found.weight, found.bias)
    assert logit_spread(logits_in_training(model, PAIRS, settings)) == pytest.approx(0.35, rel=1e-4)


def _probe(features: np.ndarray) -> Probe:
    """A head that reads what little the pairs differ by, as a converged probe does."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, features.shape[1])) / features.std(axis=0)
    return Probe(torch.from_numpy(weight).float(), torch.from_numpy(-weight @ features.mean(axis=0)).float(), 1.0, [])

"""Weights laid out beforehand give the same scores, and only where they may."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.inference import packed_weights
from darl.model.inference.packed_weights import pack_weights

QUERIES, ITEMS = ["red shoes", "red shoes", "dog"], ["light shoes", "", "a round wooden table for two dogs"]


@pytest.fixture(params=["tiny_encoder", "tiny_decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder: Path = request.getfixturevalue(request.param)
    return RelevanceModel.from_backbone(str(folder), GradeScale(("bad", "fair", "good")), max_length=64)


def packed(model: RelevanceModel) -> int:
    return sum("forward" in vars(module) for module in model.network.modules())


def test_the_same_scores_and_weights(model: RelevanceModel) -> None:
    fingerprint, before = model.fingerprint(), model.score(queries=QUERIES, items=ITEMS).probabilities
    layers = [module for module in model.network.modules() if isinstance(module, torch.nn.Linear)]
    assert pack_weights(model.network) == packed(model) == len(layers) > 8
    assert np.abs(model.score(queries=QUERIES, items=ITEMS).probabilities - before).max() < 1e-5
    assert model.fingerprint() == fingerprint
    assert pack_weights(model.network) == 0  # a second time there is nothing to do


def test_half_precision_stays_as_it_was(model: RelevanceModel) -> None:
    model.network.bfloat16()
    assert pack_weights(model.network) == packed(model) == 0


def test_a_large_network_is_not_held_twice(model: RelevanceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_weights, "MOST_BYTES", 1000)
    assert pack_weights(model.network) == packed(model) == 0


@pytest.mark.parametrize("wrong", ["no operator", "other numbers"])
def test_a_layer_that_cannot_be_packed_stays_as_it_was(
    model: RelevanceModel, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    def forward(layer: torch.nn.Linear, _packed: object, tokens: torch.Tensor) -> torch.Tensor:
        if wrong == "no operator":
            raise NotImplementedError
        return torch.nn.functional.linear(tokens, layer.weight, layer.bias) * 1.001

    monkeypatch.setattr(packed_weights, "_forward", forward)
    assert pack_weights(model.network) == packed(model) == 0

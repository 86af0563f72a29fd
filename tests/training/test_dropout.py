"""The recipe's dropout in place of the backbone's own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from darl.errors import RecipeError
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.training.dropout import attention_dropout, set_dropout

SCALE = GradeScale(["no", "some", "yes"])


@pytest.fixture(params=["tiny_encoder", "tiny_decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder: Path = request.getfixturevalue(request.param)
    return RelevanceModel.from_backbone(str(folder), SCALE, max_length=32)


def differs(model: RelevanceModel) -> bool:
    """Whether two passes in training give two results."""
    batch = model.encoder.pad([model.encode(queries=["cat"], items=["vet cover for cats"]).row(0)])
    model.network.train()
    with torch.no_grad():
        first, second = (model.network(**batch).logits for _ in range(2))
    return not torch.equal(first, second)


def test_zero_drops_nothing_anywhere(model: RelevanceModel) -> None:
    set_dropout(model.network, 0.5)
    assert attention_dropout(model.network) == 0.5
    assert differs(model)
    set_dropout(model.network, 0.0)
    assert attention_dropout(model.network) == 0
    assert not differs(model)


def test_the_saved_configuration_is_the_backbones(model: RelevanceModel) -> None:
    before = model.network.config.to_dict()
    set_dropout(model.network, 0.3)
    assert model.network.config.to_dict() == before


def test_evaluation_drops_nothing(model: RelevanceModel) -> None:
    set_dropout(model.network, 0.9)
    encoded = model.encode(queries=["cat"], items=["vet cover for cats"])
    assert (model.logits(encoded) == model.logits(encoded)).all()


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(RecipeError, match=r"tune\.dropout"):
        set_dropout(nn.Dropout(0.1), share)

"""Tunings of a second, and what they did to a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from darl.model import RelevanceModel
from darl.recipe.settings import Recipe
from darl.training.splits import Splits
from darl.training.starts import fresh_model, make_recipe_loss
from darl.training.tune import tune_model

State = dict[str, torch.Tensor]


def tuned(recipe: Recipe, splits: Splits, folder: Path, **options: Any) -> tuple[RelevanceModel, dict[str, Any]]:
    model, train = fresh_model(recipe), splits.train
    loss = options.pop("loss", None) or make_recipe_loss(recipe, train)
    logged = tune_model(model, model.encode(train), train.grades, loss, recipe, folder, **options)
    return model, logged


def state(model: RelevanceModel) -> State:
    return {name: tensor.detach().clone() for name, tensor in model.network.state_dict().items()}


def dev_logits(model: RelevanceModel, splits: Splits) -> np.ndarray:
    return model.logits(model.encode(splits.dev_id))


def changed(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}

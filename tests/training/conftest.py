"""The small graded world that the training tests share, and small tunings in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_world import small_recipe, write_world

from darl.recipe.settings import Recipe
from darl.training.splits import Splits, load_splits


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of graded pairs: train, dev_id, dev_ood, test_id, test_far. Do not write into them."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def tiny(request: pytest.FixtureRequest) -> Path:
    """The folder of a tiny encoder, then of a tiny decoder."""
    return request.getfixturevalue(f"tiny_{request.param}")


@pytest.fixture(scope="module")
def small(world: dict[str, str]) -> Callable[..., tuple[Recipe, Splits]]:
    """``small(backbone, epochs=1, …)`` is a recipe with these settings of ``tune``, and its splits."""

    def make(backbone: Path, **settings: Any) -> tuple[Recipe, Splits]:
        recipe = small_recipe(world, backbone, tune={"epochs": 1, "freeze_embeddings": False, **settings})
        return recipe, load_splits(recipe)

    return make

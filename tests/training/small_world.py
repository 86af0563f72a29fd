"""A graded world small enough to train on in a second, and the recipe that trains on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from darl.recipe.settings import Recipe

GRADES = ["irrelevant", "weak", "strong"]
ITEMS = {
    0: ["round wooden table for the garden", "light running shoes, red and black", "garden table seats four"],
    1: ["vet bills cover for cats", "insurance for dogs of any age", "pet cover"],
    2: ["yearly travel cover for two adults", "travel insurance for children", "family travel insurance"],
}


def write_pairs(path: Path, queries: int, *, prefix: str, seed: int, noise: float = 0.15) -> Path:
    """JSON lines with three pairs a query, one of each grade but for noise; ``prefix`` keeps splits apart."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(queries):
            for grade, texts in ITEMS.items():
                shown = int(rng.integers(3)) if rng.random() < noise else grade
                item = f"{texts[rng.integers(len(texts))]} {rng.integers(10)} {rng.integers(10)}"
                pair = {"query": f"{prefix} insurance {number}", "item": item, "grade": shown}
                file.write(json.dumps(pair) + "\n")
    return path


def write_world(folder: Path) -> dict[str, str]:
    """The files of every split, by name: 96 + 36 + 36 + 36 + 36 pairs."""
    sizes = {"train": 32, "dev_id": 12, "dev_ood": 12, "test_id": 12, "test_far": 12}
    words = {"train": "travel", "dev_id": "pet", "dev_ood": "dog", "test_id": "family", "test_far": "old"}
    return {
        name: str(write_pairs(folder / f"{name}.jsonl", size, prefix=words[name], seed=seed))
        for seed, (name, size) in enumerate(sizes.items())
    }


def recipe_dict(world: dict[str, str], backbone: Path, /, **changes: Any) -> dict[str, Any]:
    """A recipe of about a second; ``changes`` are merged in, group by group."""
    recipe: dict[str, Any] = {
        "name": "small",
        "grades": GRADES,
        "backbone": {"name": str(backbone), "max_length": 48},
        "data": {
            "train": world["train"],
            "dev_id": world["dev_id"],
            "dev_ood": world["dev_ood"],
            "tests": {"id": world["test_id"], "far": world["test_far"]},
        },
        "loss": "cross_entropy",
        "match": {"enabled": False},  # a stage of its own tests
        "probe": {"l2": [0.01, 0.1], "max_iterations": 50},
        "tune": {"epochs": 2, "batch_size": 12, "learning_rate": 0.003, "checkpoints": 4, "precision": "float32"},
        "interpolate": {"alphas": [0.5, 1.0], "max_id_loss": 0.05, "min_gain": 0.0},
        "evaluate": {"bootstrap": 20, "min_slice": 5},
    }
    for key, value in changes.items():
        recipe[key] = {**recipe[key], **value} if isinstance(recipe.get(key), dict) else value
    return recipe


def small_recipe(world: dict[str, str], backbone: Path, /, **changes: Any) -> Recipe:
    return Recipe.model_validate(recipe_dict(world, backbone, **changes))

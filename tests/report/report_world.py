"""A finished run of a tiny model, with texts that try to break a page, and the same run over many pairs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))  # where the recipe of a second lives
from small_world import ITEMS, recipe_dict

from darl.recipe.settings import Recipe
from darl.training.pipeline import fit

INJECTED = (
    "<script>window.hacked = 1</script>",
    "</script><img src=x onerror='window.hacked = 2'>",
    "\u202eright to left\u202c שלום مرحبا",
    "👩‍👩‍👧 {{ 7 * 7 }} ${window.hacked = 3} & “quotes” 保险",
    "long " + "title " * 1700,  # 10 kB
)
SETS = {"train": 36, "dev_id": 12, "dev_ood": 12, "test_id": 16, "test_far": 16, "pool": 20}
EXTRA = ["domain"]


def write_set(path: Path, queries: int, seed: int) -> str:
    """Three pairs a query, one of each grade but for noise; every fifth query and item is an injected text."""
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(queries):
            for grade, texts in ITEMS.items():
                text = texts[rng.integers(len(texts))]
                if path.stem.startswith("test") and number % 5 == 0:
                    text = INJECTED[(number // 5 + grade) % len(INJECTED)]
                query = f"{path.stem} insurance {number}"
                if number % 7 == 3:
                    query = f"{INJECTED[number % 4]} {path.stem} {number}"
                pair = {
                    "query": query,
                    "item": f"{text} {rng.integers(10)}",
                    "grade": int(rng.integers(3)) if rng.random() < 0.3 else grade,
                    "domain": ("shoes", "<b>pets</b>")[number % 2],
                }
                file.write(json.dumps(pair) + "\n")
    return str(path)


def tiny_recipe(folder: Path, backbone: Path, /, **changes: object) -> Recipe:
    """The recipe of a run of a few seconds over files that are written into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    world = {name: write_set(folder / f"{name}.jsonl", size, seed) for seed, (name, size) in enumerate(SETS.items())}
    raw = recipe_dict(world, backbone, **{"data": {"slices": EXTRA, "pool": world["pool"]}, **changes})
    return Recipe.model_validate(raw)


def make_run(folder: Path, backbone: Path, /, name: str = "<i>tiny</i>", **changes: object) -> Path:
    """Fit the tiny recipe; the run lies in ``folder / "run"``."""
    recipe = tiny_recipe(folder, backbone, name=name, **changes)
    return fit(recipe, run=folder / "run", quiet=True).folder

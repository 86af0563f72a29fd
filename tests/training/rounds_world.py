"""A recipe with rounds of labels over the small world, and its pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from small_world import recipe_dict, write_pairs

LOOSE = {"alphas": [0.5, 1.0], "max_id_loss": 1.0, "min_gain": 0.0}
ROUNDS = {"budget": 6, "count": 2, "per_query": 2, "per_item": None}


def write_pool(world: dict[str, str], folder: Path) -> Path:
    """60 graded pairs of other queries, and three of an evaluation query."""
    path = write_pairs(folder / "pool.jsonl", 20, prefix="red garden", seed=9)
    leaked = Path(world["test_far"]).read_text(encoding="utf-8").splitlines()[:3]
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(leaked) + "\n", encoding="utf-8")
    return path


def rounds_dict(world: dict[str, str], backbone: Path, pool: Path, /, **changes: Any) -> dict[str, Any]:
    """A recipe of two rounds of six labels, which the pool's own grades give; about two seconds a round."""
    rounds = {**ROUNDS, "labels": str(pool), **changes.pop("rounds", {})}
    tune = {"epochs": 1, "start": "random"}
    settings = {"data": {"pool": str(pool)}, "tune": tune, "interpolate": LOOSE, "rounds": rounds}
    return recipe_dict(world, backbone, **{**settings, **changes})

"""A run folder with a small model that was never trained, but keeps the features of the run's training pairs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import OODReference, fit_reference
from darl.pairs import PairTable, read_pairs
from darl.recipe.file import load_recipe
from darl.training.reference import reference_rows

GRADES = ("bad", "fair", "good")
WORDS = ("travel", "dog", "shoes", "garden", "table", "cover", "vet", "red", "light", "round", "family", "yearly")


def write_run(backbone: Path, folder: Path) -> Path:
    """The run: ``recipe.yaml``, its files beside it, and ``model/``, whose reference keeps 12 of 60 training pairs."""
    folder.mkdir()
    _write(folder / "train.jsonl", 60, "known", seed=1)
    _write(folder / "dev.jsonl", 24, "held out", seed=2)
    recipe_file = folder / "recipe.yaml"
    recipe = {
        "name": "shop", "grades": list(GRADES), "seed": 3,
        "backbone": {"name": str(backbone), "max_length": 64},
        "data": {"train": str(folder / "train.jsonl"), "dev_id": str(folder / "dev.jsonl")},
        "ood": {"source": "model", "max_reference": 20, "params": {"k": 2, "max_reference": 12}},
    }  # fmt: skip
    recipe_file.write_text(json.dumps(recipe), encoding="utf-8")  # JSON is YAML
    settings = load_recipe(recipe_file)
    scale = GradeScale(GRADES)
    train, dev = (read_pairs(folder / f"{name}.jsonl", scale=scale) for name in ("train", "dev"))
    model = RelevanceModel.from_backbone(str(backbone), scale, max_length=64)
    model.ood = _reference(model, train.take(reference_rows(settings, len(train))), dev)
    model.provenance = {"recipe": settings.model_dump(mode="json"), "data": {"train": train.fingerprint()}}
    model.save_pretrained(folder / "model")
    return folder


def _reference(model: RelevanceModel, train: PairTable, dev: PairTable) -> OODReference:
    spec = FeatureSpec(source="model")
    rows, held_out = (model.features(model.encode(table), spec) for table in (train, dev))
    return fit_reference(rows, held_out, "knn", k=2, max_reference=12, feature_spec=spec.to_dict())


def _write(path: Path, count: int, prefix: str, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            item = " ".join(rng.choice(WORDS, 5, replace=False)) + f" {number}"
            pair = {"query": f"{prefix} {number // 3} {rng.choice(WORDS)}", "item": item, "grade": number % 3}
            file.write(json.dumps(pair) + "\n")

"""Makers of small models on random backbones, and the pairs that tests score."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import OODReference, fit_reference

QUERIES = ["travel insurance", "dog", "red running shoes", "garden table", "", "医疗保险"]
ITEMS = ["yearly cover for two adults", "vet bills", "light shoes, size 10", "", "round wooden table", "旅行 多少钱"]


def make_model(folder: Path, **options: object) -> RelevanceModel:
    scale = GradeScale(("bad", "fair", "good"), gains=(0, 1, 3))
    return RelevanceModel.from_backbone(str(folder), scale, **({"max_length": 64} | options))  # type: ignore[arg-type]


def make_reference(model: RelevanceModel, source: str) -> OODReference:
    spec = FeatureSpec(source=source)
    rows = model.features(model.encode(queries=QUERIES, items=ITEMS), spec)
    rng = np.random.default_rng(0)
    fit, held_out = (np.tile(rows, (5, 1)) + rng.normal(0, 0.05, (30, rows.shape[1])) for _ in range(2))
    return fit_reference(fit, held_out, "knn", k=3, feature_spec=spec.to_dict())

"""A small model with an OOD reference, and graded pairs for it; the weights are random."""

from __future__ import annotations

from pathlib import Path

import numpy as np


def make_small_model(backbone: Path, folder: Path) -> Path:
    """Saves a three-grade model that knows how far out a pair is; returns its folder, ``folder / "model"``."""
    from darl.grades import GradeScale
    from darl.model import RelevanceModel
    from darl.model.features import FeatureSpec
    from darl.ood import fit_reference

    model = RelevanceModel.from_backbone(str(backbone), GradeScale(("bad", "fair", "good")), max_length=64)
    known = model.encode(queries=[f"travel {i}" for i in range(40)], items=["yearly cover for two adults"] * 40)
    spec = FeatureSpec(source="model")
    rows = model.features(known, spec)
    rows = rows + np.random.default_rng(0).normal(0, 0.05, rows.shape).astype(np.float32)
    model.ood = fit_reference(rows[:20], rows[20:], "knn", k=3, feature_spec=spec.to_dict())
    return model.save_pretrained(folder / "model")


def write_graded_csv(folder: Path) -> Path:
    """60 graded pairs of 6 queries with a column to slice by, as ``folder / "test.csv"``."""
    path = folder / "test.csv"
    rows = [f"query {i % 6},item number {i},{i % 3},{'shoes' if i % 2 else 'pets'}\n" for i in range(60)]
    path.write_text("query,title,label,domain\n" + "".join(rows), encoding="utf-8")
    return path

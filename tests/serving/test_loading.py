"""What a worker loads is what it needs for what will be asked."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from darl.errors import DarlError
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import fit_reference
from darl.serving.loading import describe, lay_out, load_served
from darl.serving.worker import BatchScorer, probe


def test_a_server_that_never_says_how_far_out_needs_no_base(tiny_encoder: Path, tmp_path: Path) -> None:
    model = RelevanceModel.from_backbone(str(tiny_encoder), GradeScale(("bad", "good")), max_length=64)
    spec = FeatureSpec(source="base")
    known = model.encode(queries=["travel"] * 20, items=["yearly cover"] * 20)
    rows = model.features(known, spec)
    rows = rows + np.random.default_rng(0).normal(0, 0.05, rows.shape).astype(np.float32)
    model.ood = fit_reference(rows[:10], rows[10:], "knn", k=3, feature_spec=spec.to_dict())
    folder = model.save_pretrained(tmp_path / "model")
    shutil.rmtree(folder / "base")

    with pytest.raises(DarlError):
        load_served(folder, device="cpu", threads=None)
    served = load_served(folder, device="cpu", threads=None, ood=False)
    lay_out(served, ood=False)
    assert probe(BatchScorer(served, 4096), ood=False) > 0
    assert describe(served, "v", None).has_ood

"""select with a real, tiny RelevanceModel, from memory and from its folder."""

from __future__ import annotations

import numpy as np
import pytest

from darl.dasa import select
from darl.errors import ModelError
from darl.grades import GradeScale
from darl.pairs import PairTable

KNOWN = ["travel insurance for a family", "pet insurance for an old dog", "vet bills cover for cats", "travel cover"]
NEW = ["red running shoes", "round wooden table", "running shoes size 10", "garden table for four people"]


def pairs_of(queries: list[str], n: int, tag: str) -> PairTable:
    return PairTable.from_pairs(
        [f"{queries[i % len(queries)]} {tag} {i}" for i in range(n)], [f"{queries[(i + 1) % 4]} {i}" for i in range(n)]
    )


@pytest.fixture(scope="module")
def model(tiny_encoder):
    from darl.model import RelevanceModel
    from darl.ood import fit_reference

    model = RelevanceModel.from_backbone(str(tiny_encoder), GradeScale(("bad", "fair", "good")), max_length=48)
    from darl.model.features import FeatureSpec

    spec = FeatureSpec("base", -1, "mean")
    train, held = (model.features(model.encode(pairs_of(KNOWN, 60, tag)), spec) for tag in ("a", "b"))
    model.ood = fit_reference(train, held, "knn", k=3, feature_spec=spec.to_dict())
    return model


def test_it_finds_the_new_traffic_and_explains_it(model):
    train, known, new = pairs_of(KNOWN, 60, "a"), pairs_of(KNOWN, 40, "c"), pairs_of(NEW, 20, "d")
    pool = known.concat(new)
    steps: list[int] = []
    selection = select(model, pool, budget=20, train=train, progress=steps.append)
    assert sum(steps) == 60
    new_items = set(new.items)
    assert sum(item in new_items for item in selection.pairs.items) >= 16
    row = selection.pairs.arrow.to_pylist()[0]
    features = model.ood_features(model.encode(selection.pairs.take([0])))
    assert row["ood_score"] == pytest.approx(float(model.ood.score(features)[0]), abs=1e-4)
    known_features = model.ood_features(model.encode(train))
    cosine = (known_features @ features[0]) / (np.linalg.norm(known_features, axis=1) * np.linalg.norm(features[0]))
    assert row["nearest_distance"] == pytest.approx(1 - cosine.max(), abs=1e-4)
    assert row["nearest_train_item"] in train.items
    assert selection.report["ood"]["picks"] > selection.report["ood"]["pool"]


def test_a_folder_gives_the_same_picks(model, tmp_path):
    folder = model.save_pretrained(tmp_path / "model")
    pool = pairs_of(KNOWN, 20, "c").concat(pairs_of(NEW, 20, "d"))
    path = tmp_path / "pool.parquet"
    pool.to_parquet(path)
    ours, theirs = select(model, pool, budget=10), select(folder, path, budget=10)
    assert ours.pairs.items == theirs.pairs.items
    with pytest.raises(ModelError):
        select(tmp_path / "nothing", pool, budget=1)

"""A model that knows travel cover, its held-out pairs, and traffic like it or not; the weights are random."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import fit_reference
from darl.ood.knn import unit_rows
from darl.ood.known import KnownPairs, count_by_query
from darl.ood.novelty import WordingNovelty
from darl.pairs import PairTable

PLACES = ("rome", "paris", "oslo", "lima", "cairo", "delhi", "perth", "quito")
COVERS = ("medical", "luggage", "delay", "ski", "cruise", "family")
STRANGE = (
    "zxq engine gasket",
    "vvk piston ring",
    "qqj rotor bolt",
    "wzz valve stem",
    "kxx brake pad",
    "jjw clutch kit",
)


def travel(queries: int, seed: int, pairs: int = 4) -> PairTable:
    """Graded pairs of travel queries, ``pairs`` a query."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(queries):
        place, cover = rng.choice(PLACES), rng.choice(COVERS)
        for item in range(pairs):
            rows.append(
                {
                    "query": f"{cover} cover {place} {seed}{number}",
                    "item": f"{rng.choice(COVERS)} cover in {rng.choice(PLACES)} number {item}",
                    "grade": int(rng.integers(3)),
                    "line": "travel",
                }
            )
    return PairTable.from_rows(rows)


def strange(queries: int, pairs: int = 4) -> PairTable:
    """Pairs of another world."""
    rows = [
        {"query": f"{STRANGE[n % len(STRANGE)]} mk{n}", "item": f"{STRANGE[i % 6]} steel {n}", "line": "engines"}
        for n in range(queries)
        for i in range(pairs)
    ]
    return PairTable.from_rows(rows)


def make_drift_model(backbone: Path, folder: Path) -> Path:
    """Saves a model that brings its known pairs; returns its folder."""
    model = RelevanceModel.from_backbone(str(backbone), GradeScale(("bad", "fair", "good")), max_length=48)
    train, dev, spec = travel(60, 1), travel(60, 2), FeatureSpec(source="model")
    rows, held_out = (model.features(model.encode(table), spec) for table in (train, dev))
    model.ood = fit_reference(rows, held_out, "knn", k=3, feature_spec=spec.to_dict())
    scores, both = model.score(dev), train.concat(dev)
    wording, item_wording = WordingNovelty.fit(train.query_names()), WordingNovelty.fit(train.items)
    model.ood.known = KnownPairs(
        groups=dev.query_groups(),
        ood_scores=model.ood.score(held_out),
        probabilities=scores.probabilities,
        decided=scores.grades,
        grades=dev.grades,
        features=unit_rows(held_out),
        novelty=wording.score(dev.queries),
        wording=wording,
        item_novelty=item_wording.score(dev.items),
        item_wording=item_wording,
        columns=count_by_query(both.query_groups(), {"line": both.column("line")}),
        queries=len(both.query_names()),
    )
    return model.save_pretrained(folder / "model")

"""What calibration and a rule make of a plain model's predictions: a loud one is calmed, a calm one left alone."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import finished_baseline
from darl.evaluation import ece
from darl.model.relevance_model import softmax
from darl.pairs import PairTable
from darl.recipe.settings import Recipe


@pytest.mark.parametrize("loudness", [1.0, 3.0])
def test_a_loud_model_is_calmed(loudness: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(3000, 3)) * 1.5
    grades = np.array([rng.choice(3, p=row) for row in softmax(true)])
    loud, dev = true * loudness, slice(0, 1500)
    table = PairTable.from_pairs([f"q{i}" for i in range(1500)], ["i"] * 1500, grades=grades[dev])
    monkeypatch.setattr(
        finished_baseline, "load_splits", lambda _: SimpleNamespace(dev_id=table, dev_ood=None, train=table)
    )
    np.savez(tmp_path / "dev-logits.npz", dev_id=loud[dev], **{"key.dev_id": np.array(table.fingerprint())})
    plain = {
        "grades": grades[1500:],
        "probabilities": softmax(loud[1500:]),
        "predicted": loud[1500:].argmax(1),
        "groups": np.arange(1500),
    }
    recipe = Recipe.model_validate({"grades": ["a", "b", "c"], "data": {"train": "x"}})
    found = finished_baseline.derived(tmp_path, recipe, {"id": plain})
    one = found["temperature"]["id"]
    np.testing.assert_array_equal(one["predicted"], plain["predicted"])
    assert ece(one["grades"], one["probabilities"]) < 0.05
    assert (ece(plain["grades"], plain["probabilities"]) > 0.1) == (loudness > 1)
    np.testing.assert_allclose(one["probabilities"], softmax(true[1500:]), atol=0.06)
    assert found["finished"]["id"]["probabilities"].shape == (1500, 3)

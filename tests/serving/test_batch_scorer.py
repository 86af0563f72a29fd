"""A worker scores slices of several requests together, and where one of them fails it fails alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import poisonable_worker
import pytest

from darl.model import RelevanceModel
from darl.serving.worker import BatchScorer


@pytest.fixture
def scorer(served_model: Path) -> BatchScorer:
    return BatchScorer(RelevanceModel.from_pretrained(served_model), 4096)


def part(*items: str) -> dict[str, Any]:
    return {"queries": ["travel"] * len(items), "items": list(items), "ood": False}


def test_what_cannot_be_read_harms_no_other(scorer: BatchScorer, monkeypatch: pytest.MonkeyPatch) -> None:
    good = [part("yearly cover", "vet bills"), part("light shoes")]
    expected = scorer.score(good)
    monkeypatch.setattr(RelevanceModel, "encode", poisonable_worker.poisoned)
    first, poisoned, second = scorer.score([good[0], part("POISON"), good[1]])
    assert poisoned == {"error": "ValueError: poison"}
    for found, alone in zip((first, second), expected, strict=True):
        assert found["grades"] == alone["grades"]
        np.testing.assert_allclose(found["probabilities"], alone["probabilities"], atol=1e-5)


def test_numbers_that_are_none_are_an_error_of_their_slice(
    scorer: BatchScorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = RelevanceModel.logits

    def broken(self: RelevanceModel, encoded: Any, **options: Any) -> np.ndarray:
        found = logits(self, encoded, **options)
        found[encoded.lengths > 20] = np.nan
        return found

    monkeypatch.setattr(RelevanceModel, "logits", broken)
    outcomes = scorer.score([part("vet bills"), part("shoes", "round wooden table " * 10), part("light shoes")])
    assert ["error" in outcome for outcome in outcomes] == [False, True, False]
    assert "finite" in outcomes[1]["error"]
    assert all(np.isfinite(outcome["probabilities"]).all() for outcome in (outcomes[0], outcomes[2]))

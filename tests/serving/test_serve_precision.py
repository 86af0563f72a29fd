"""A server computes in the numbers that it is told to, and an export in its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from darl.errors import ModelError
from darl.export.onnx_model import FACTS
from darl.model import RelevanceModel
from darl.serving.loading import describe, load_served
from darl.serving.worker import BatchScorer

ITEMS = ["vet fee cover for cats", "motor breakdown cover", ""]


@pytest.mark.parametrize("native", [True, False])
def test_a_model_is_served_in_half_precision_where_the_machine_has_it(
    served_model: Path, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda: native)
    queries = ["cat insurance"] * len(ITEMS)
    own = RelevanceModel.from_pretrained(served_model, dtype="float32").score(queries=queries, items=ITEMS, ood=False)
    model = load_served(served_model, device="cpu", threads=None, dtype="bfloat16")
    (found,) = BatchScorer(model, 4096).score([{"queries": queries, "items": ITEMS, "ood": False}])
    assert describe(model, "v", None).dtype == ("bfloat16" if native else "float32")
    np.testing.assert_allclose(found["probabilities"], own.probabilities, atol=2e-2)
    assert np.array_equal(found["probabilities"], own.probabilities) is not native


def test_an_export_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / FACTS).write_text("{}")
    with pytest.raises(ModelError, match="written in"):
        load_served(tmp_path, device=None, threads=None, dtype="bfloat16")

"""A server computes in the numbers that it is told to, and an export in its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_server import serving

from darl.errors import ModelError
from darl.export.onnx_model import FACTS
from darl.model import RelevanceModel
from darl.model.precision import native_bfloat16
from darl.serving.loading import load_served

ITEMS = ["vet fee cover for cats", "motor breakdown cover", ""]


def test_a_model_is_served_in_half_precision_where_the_machine_has_it(served_model: Path) -> None:
    model = RelevanceModel.from_pretrained(served_model, dtype="bfloat16")
    own = model.score(queries=["cat insurance"] * 3, items=ITEMS, ood=False)
    with serving(served_model, "spare=false", "workers=1", "dtype=bfloat16") as server:
        reply = server.post("/v1/relevance", {"query": "cat insurance", "items": ITEMS}).json()
        info = server.client.get("/info").json()
    assert info["model_dtype"] == ("bfloat16" if native_bfloat16() else "float32")
    assert [result["grade_probs"] for result in reply["results"]] == pytest.approx(own.probabilities, abs=2e-2)


def test_an_export_cannot_be_told(tmp_path: Path) -> None:
    (tmp_path / FACTS).write_text("{}")
    with pytest.raises(ModelError, match="written in"):
        load_served(tmp_path, device=None, threads=None, dtype="bfloat16")

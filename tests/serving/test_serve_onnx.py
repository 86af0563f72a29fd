"""An exported model is served like the one that it came from."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_server import serving

from darl.errors import ModelError
from darl.export import OnnxModel, export_onnx
from darl.model import RelevanceModel
from darl.serving.loading import load_served

ITEMS = ["vet fee cover for cats", "motor breakdown cover", "", "旅行 多少钱"]


@pytest.fixture(scope="module")
def exported(served_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "export"
    export_onnx(RelevanceModel.from_pretrained(served_model), folder, int8=True)
    return folder


def test_an_export_is_served_with_its_own_scores(exported: Path, served_model: Path) -> None:
    own = OnnxModel(exported).score(queries=["cat insurance"] * 4, items=ITEMS, ood=False)
    torchs = RelevanceModel.from_pretrained(served_model).score(queries=["cat insurance"] * 4, items=ITEMS, ood=False)
    with serving(exported, "spare=false", "nearest=true", "threads=1") as server:
        reply = server.post("/v1/relevance", {"query": "cat insurance", "items": ITEMS}).json()
        info = server.client.get("/info").json()
    served = [result["grade_probs"] for result in reply["results"]]
    assert served == pytest.approx(own.probabilities, abs=1e-5)
    assert served == pytest.approx(torchs.probabilities, abs=0.1)
    assert info["model_dtype"] == "int8"


def test_a_damaged_export_is_refused(exported: Path, tmp_path: Path) -> None:
    for path in exported.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[: 100 if path.suffix == ".onnx" else None])
    with pytest.raises(ModelError, match="cannot be read"):
        load_served(tmp_path, device=None, threads=None)

"""ONNX: the export scores like its model, decoder or encoder, in float32 exactly and in int8 nearly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from darl.cli.main import app
from darl.errors import ModelError
from darl.export import OnnxModel, export_onnx
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.pairs import PairTable
from darl.verbs.score import score_pairs

QUERIES = ["travel insurance", "dog", "red running shoes", "", "医疗保险", "dog"] * 3
ITEMS = ["yearly cover for two adults", "vet bills " * 30, "light shoes, size 10", "", "旅行 多少钱", "a"] * 3


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder = request.getfixturevalue(f"tiny_{request.param}")
    return RelevanceModel.from_backbone(str(folder), GradeScale(("bad", "fair", "good")), max_length=64)


@pytest.fixture(scope="module")
def exported(model: RelevanceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("onnx") / "export"
    pairs = PairTable.from_pairs(QUERIES[:6], ITEMS[:6], [0, 1, 2, 0, 1, 2])
    reports = export_onnx(model, folder, int8=True, pairs=pairs)
    assert [report.graph for report in reports] == ["float32", "int8"]
    assert reports[0].max_probability_difference < 1e-5
    assert reports[0].f1_loss == 0
    assert reports[1].max_probability_difference < 0.1
    return folder


def test_float32_gives_the_models_probabilities_for_any_batch(model: RelevanceModel, exported: Path) -> None:
    own = model.score(queries=QUERIES, items=ITEMS)
    for budget in (1, 100, 4096):
        found = OnnxModel(exported, int8=False).score(queries=QUERIES, items=ITEMS, tokens_per_batch=budget)
        np.testing.assert_allclose(found.probabilities, own.probabilities, atol=1e-5)
        assert found.grades.tolist() == own.grades.tolist()


def test_int8_is_near_and_another_graph(model: RelevanceModel, exported: Path) -> None:
    own = model.score(queries=QUERIES, items=ITEMS).probabilities
    found = OnnxModel(exported)
    assert found.int8
    difference = np.abs(found.score(queries=QUERIES, items=ITEMS).probabilities - own).max()
    assert 1e-7 < difference < 0.1
    assert (exported / "model.int8.onnx").stat().st_size < (exported / "model.onnx").stat().st_size


def test_int8_of_a_pair_does_not_depend_on_its_batch(exported: Path) -> None:
    found = OnnxModel(exported)
    together = found.score(queries=QUERIES, items=ITEMS, tokens_per_batch=100_000).probabilities
    apart = found.score(queries=QUERIES, items=ITEMS, tokens_per_batch=1).probabilities
    np.testing.assert_allclose(together, apart, atol=1e-5)


def test_attention_is_one_operator(exported: Path) -> None:
    onnx = pytest.importorskip("onnx")
    kinds = [node.op_type for node in onnx.load(str(exported / "model.onnx")).graph.node]
    assert kinds.count("Attention") == 2  # layers
    assert "Softmax" not in kinds


def test_the_report_stays_with_the_export(exported: Path) -> None:
    facts = json.loads((exported / "darl-onnx.json").read_text())
    assert [one["graph"] for one in facts["parity"]] == ["float32", "int8"]
    assert facts["parity"][0]["same_grade"] == 1.0


def test_score_writes_the_same_file_with_either_runtime(model: RelevanceModel, exported: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"query": query, "item": item} for query, item in zip(QUERIES, ITEMS, strict=True)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["score", str(exported), str(source), "-o", str(tmp_path / "a.jsonl"), "--runtime", "onnx", "-q"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = [json.loads(line)["relevance_score"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    own = score_pairs(model, source).table
    assert own is not None
    np.testing.assert_allclose(found, own.column("relevance_score").to_numpy(), atol=0.1)


def test_what_is_refused(model: RelevanceModel, exported: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ModelError, match="there already"):
        export_onnx(model, exported)
    with pytest.raises(ModelError, match="no exported model"):
        OnnxModel(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'darl\[onnx\]'"):
        OnnxModel(exported)

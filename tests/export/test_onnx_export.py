"""ONNX: the export scores like its model, decoder or encoder, in float32 exactly and in int8 nearly."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from typer.testing import CliRunner

from darl.cli.main import app
from darl.errors import ModelError, StorageError
from darl.export import OnnxModel, export_onnx, onnx_folder
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.pairs import PairTable
from model_texts import ANY_PAIRS, HARD, STEADY

QUERIES = ["travel insurance", "dog", "red running shoes", "", "医疗保险", "dog"] * 3
ITEMS = ["yearly cover for two adults", "vet bills " * 30, "light shoes, size 10", "", "旅行 多少钱", "a"] * 3


@pytest.fixture(scope="module", params=["encoder", "decoder"])
def model(request: pytest.FixtureRequest) -> RelevanceModel:
    folder = request.getfixturevalue(f"tiny_{request.param}")
    untrained = RelevanceModel.from_backbone(str(folder), GradeScale(("bad", "fair", "good")), max_length=64)
    untrained.divide_logits(0.1)  # else every pair's probabilities are near a third, and so is what is near them
    return untrained


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


def test_the_command_writes_what_the_export_scores(exported: Path, tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    rows = [{"query": query, "item": item} for query, item in zip(QUERIES, ITEMS, strict=True)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = ["score", str(exported), str(source), "-o", str(tmp_path / "a.jsonl"), "--runtime", "onnx", "-q"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    found = [json.loads(line)["relevance_score"] for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    np.testing.assert_allclose(found, OnnxModel(exported).score(queries=QUERIES, items=ITEMS).relevance, atol=1e-5)
    assert np.ptp(found) > 0.01  # no constant comes so near


@settings(STEADY, max_examples=15)
@given(pairs=ANY_PAIRS)
@example(pairs=[(text, text) for text in HARD])
def test_any_text_has_the_models_scores(model: RelevanceModel, exported: Path, pairs: list[tuple[str, str]]) -> None:
    queries, items = [query for query, _ in pairs], [item for _, item in pairs]
    own = model.score(queries=queries, items=items)
    found = OnnxModel(exported, int8=False).score(queries=queries, items=items)
    np.testing.assert_allclose(found.probabilities, own.probabilities, atol=1e-5)
    assert np.isfinite(OnnxModel(exported).score(queries=queries, items=items).probabilities).all()


def test_a_failure_leaves_neither_the_folder_nor_a_part_of_it(
    model: RelevanceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(graph: Path, *given: object) -> None:
        assert graph.is_file()  # the float32 graph is written by then
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(onnx_folder, "write_graph", lambda model, path: path.write_bytes(b"a graph"))
    monkeypatch.setattr(onnx_folder, "write_int8", full)
    with pytest.raises(StorageError, match="no space is left"):
        export_onnx(model, tmp_path / "made" / "export", int8=True)
    assert [path for path in tmp_path.rglob("*") if path.name != "made"] == []


def test_what_is_refused(model: RelevanceModel, exported: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ModelError, match="there already"):
        export_onnx(model, exported)
    with pytest.raises(ModelError, match="no exported model"):
        OnnxModel(tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModelError, match=r"pip install 'darl\[onnx\]'"):
        OnnxModel(exported)

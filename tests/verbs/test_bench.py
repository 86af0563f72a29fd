"""bench: figures of the right kind on a tiny model, in words and in JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from darl.cli.main import app
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.verbs.bench import BUDGETS, LIST_LENGTHS, _tokens, bench, product_weights


@pytest.fixture(scope="module")
def model(tiny_decoder: Path) -> RelevanceModel:
    return RelevanceModel.from_backbone(str(tiny_decoder), GradeScale(("bad", "good")), max_length=64)


def test_every_figure_is_measured(model: RelevanceModel) -> None:
    report = bench(model, seconds=0.1)
    assert report.packed is None
    assert tuple(report.pairs_per_second) == LIST_LENGTHS
    assert tuple(report.by_budget) == BUDGETS
    assert min(*report.pairs_per_second.values(), *report.by_budget.values()) > 0
    assert all(0 <= share < 1 for share in report.shares.values())
    assert 0 < report.reached_gflops < report.limit_gflops
    assert report.advice
    assert "GFLOP/s" in str(report)


def test_half_precision_is_tried_on_a_model_of_its_own(
    model: RelevanceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench(model, seconds=0.1).half is None  # it is the caller's
    assert model.network.dtype == torch.float32
    folder = model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda: True)
    half = bench(folder, seconds=0.1).half
    assert half is not None
    assert half > 0
    monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda: False)
    assert bench(folder, seconds=0.1).half is None


def test_weights_and_tokens_are_counted(model: RelevanceModel) -> None:
    attention, feed_forward = 32 * 32 * 2 + 32 * 16 * 2, 3 * 32 * 64
    assert product_weights(model.network) == 2 * (attention + feed_forward) + 2 * 32
    encoded = model.encode(queries=["red shoes"] * 2 + ["dog"], items=["light shoes", "round wooden table", ""])
    real, distinct, padded = _tokens(model, encoded, packed=True)
    assert real == encoded.lengths.sum()
    assert padded == 3 * encoded.lengths.max()
    assert distinct < real < padded


def test_the_command_prints_it(model: RelevanceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model.save_pretrained(tmp_path / "model")
    monkeypatch.setattr("darl.verbs.bench.bench.__kwdefaults__", {"seconds": 0.05, "quiet": True})
    result = CliRunner().invoke(app, ["doctor", "--bench", str(folder), "--output", "json"])
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["shares"]) == {"tokenising", "shared", "padding"}

"""`darl drift` as people run it, on a small random model: verdicts, exit codes, logs with hashes, old models."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from drift_world import make_drift_model, strange, travel
from typer.testing import CliRunner

from darl.cli.main import app
from darl.drift.check import check_drift
from darl.errors import RecipeError
from darl.model import RelevanceModel
from darl.pairs import PairTable


@pytest.fixture(scope="module")
def model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_drift_model(tiny_encoder, tmp_path_factory.mktemp("drift"))


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days: a calm one of 240 pairs, and one whose last quarter is of another world."""
    folder = tmp_path_factory.mktemp("traffic")
    days = [travel(60, 5), travel(45, 6).concat(strange(15))]
    table = days[0].concat(days[1]).without_grades()
    times = ["2026-05-01T10:00:00Z"] * 240 + ["2026-05-02T10:00:00Z"] * 240
    table.with_column("time", times).to_jsonl(folder / "traffic.jsonl")
    days[0].without_grades().to_jsonl(folder / "calm.jsonl")
    return folder


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + result.stderr
    return result


def test_calm_traffic_exits_with_0(model: Path, traffic: Path) -> None:
    result = run("drift", model, traffic / "calm.jsonl", "-q")
    assert result.stdout.startswith("Calm")
    assert "darl select" not in result.stdout


def test_moved_traffic_exits_with_3_names_the_slice_and_the_next_command_runs(
    model: Path, traffic: Path, tmp_path: Path
) -> None:
    page = tmp_path / "drift.html"
    result = run("drift", model, traffic / "traffic.jsonl", "--every", "1d", "--page", page, "-q", code=3)
    assert "2026-05-01: calm" in result.stdout
    assert "2026-05-02: ALARM" in result.stdout
    assert "slice line=engines" in result.stdout
    assert "gasket" in page.read_text(encoding="utf-8")
    command = shlex.split(result.stdout.strip().splitlines()[-1])
    assert command[:3] == ["darl", "select", str(model)]
    assert "line=engines" in command
    command[command.index("to_label.jsonl")] = str(tmp_path / "to_label.jsonl")
    command[command.index("--budget") + 1] = "5"
    run(*command[1:], "-q")
    picked = [json.loads(line) for line in (tmp_path / "to_label.jsonl").read_text().splitlines()]
    assert {row["line"] for row in picked} == {"engines"}


def test_the_next_command_of_foreign_columns_runs(model: Path, tmp_path: Path) -> None:
    both = travel(45, 6).concat(strange(15)).without_grades()
    rows = [
        {"q": q, "title": i, "kind": k, "day": "1"}
        for q, i, k in zip(both.queries, both.items, both.column("line"), strict=True)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    reading = ("--columns", "query=q,item=title,line=kind", "--where", "day=1")
    command = shlex.split(
        run("drift", model, tmp_path / "t.jsonl", *reading, "-q", code=3).stdout.strip().splitlines()[-1]
    )
    assert command[-6:] == [*reading, "--where", "line=engines"]
    command[command.index("to_label.jsonl")] = str(tmp_path / "to_label.jsonl")
    command[command.index("--budget") + 1] = "5"
    run(*command[1:], "-q")
    assert len((tmp_path / "to_label.jsonl").read_text().splitlines()) == 5


def test_the_answer_as_json(model: Path, traffic: Path) -> None:
    data = json.loads(
        run("drift", model, traffic / "traffic.jsonl", "--window", 240, "--output", "json", "-q", code=3).stdout
    )
    assert (data["state"], data["alarms"]) == ("alarm", ["241–480"])
    calm, moved = data["windows"]
    assert [one["name"] for one in moved["signals"]] == ["pairs", "items", "wording", "queries", "features", "grades"]
    assert moved["slices"][0]["value"] == "engines"
    assert moved["far_share"]["low"] <= moved["far_share"]["estimate"] <= moved["far_share"]["high"]
    assert calm["state"] == "calm"


def test_little_traffic_exits_with_4(model: Path, tmp_path: Path) -> None:
    travel(3, 9).to_jsonl(tmp_path / "few.jsonl")
    assert "Too little" in run("drift", model, tmp_path / "few.jsonl", "-q", code=4).stdout


def write_log(model: Path, pairs: PairTable, folder: Path) -> Path:
    """A traffic log with hashed texts, as the server writes it."""
    scores = RelevanceModel.from_pretrained(model).score(pairs)
    assert scores.ood_scores is not None
    n = len(pairs)
    columns = {
        "time": pa.array([1_770_000_000_000_000 + i for i in range(n)], pa.timestamp("us", tz="UTC")),
        "request_id": [f"r{g}" for g in pairs.query_groups()],
        "query": pa.nulls(n, pa.string()),
        "item": pa.nulls(n, pa.string()),
        "query_hash": [f"h{g}" for g in pairs.query_groups()],
        "item_hash": [f"i{i}" for i in range(n)],
        "grade": pa.array(scores.grades, pa.int8()),
        "probabilities": pa.array(scores.probabilities.tolist(), pa.list_(pa.float32())),
        "relevance_score": pa.array(scores.relevance, pa.float32()),
        "ood_score": pa.array(scores.ood_scores, pa.float32()),
        "ood_percentile": pa.array(scores.ood_percentiles, pa.float32()),
        "model_version": ["v1"] * n,
        "dialect": ["cohere"] * n,
        "latency_ms": pa.array(np.ones(n), pa.float32()),
    }
    folder.mkdir()
    for part in range(2):  # two files, as a server leaves many
        pq.write_table(pa.table(columns).slice(part * (n // 2), n - n // 2), folder / f"traffic-{part}.parquet")
    return folder


def test_a_log_of_hashes_is_tested_by_its_figures(model: Path, tmp_path: Path) -> None:
    calm = write_log(model, travel(60, 5), tmp_path / "calm")
    result = run("drift", model, calm, "-q")
    assert "only the logged figures were tested" in result.stdout
    assert "240 pairs of 60 queries" in result.stdout
    moved = write_log(model, strange(60), tmp_path / "moved")
    assert "pairs far out" in run("drift", model, moved, "-q", code=3).stdout


def test_a_model_saved_before_needs_a_reference(model: Path, traffic: Path, tmp_path: Path) -> None:
    old = RelevanceModel.from_pretrained(model)
    assert old.ood is not None
    old.ood.known = None
    folder = old.save_pretrained(tmp_path / "old")
    assert RelevanceModel.from_pretrained(folder).ood.known is None  # type: ignore[union-attr]
    assert "--reference" in run("drift", folder, traffic / "calm.jsonl", "-q", code=2).stderr
    travel(60, 2).to_jsonl(tmp_path / "dev.jsonl")
    result = run("drift", folder, traffic / "calm.jsonl", "--reference", tmp_path / "dev.jsonl", "-q")
    assert "new wording was not tested" in result.stdout


def test_mistakes_are_named(model: Path, traffic: Path, tmp_path: Path) -> None:
    calm = traffic / "calm.jsonl"
    assert "write it as 6h" in run("drift", model, traffic / "traffic.jsonl", "--every", "soon", code=2).stderr
    assert "has no time" in run("drift", model, calm, "--every", "1d", "-q", code=2).stderr
    assert "no column 'shop'" in run("drift", model, calm, "--slices", "shop", code=2).stderr
    assert "no logged figures" in run("drift", model, calm, "--logged", code=2).stderr
    (tmp_path / "empty").mkdir()
    assert "no Parquet file" in run("drift", model, tmp_path / "empty", code=2).stderr


def test_a_wrong_window_is_refused_before_the_scoring(model: Path, traffic: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("darl.drift.check.fresh_figures", lambda *_: pytest.fail("scored"))
    timed, calm = traffic / "traffic.jsonl", traffic / "calm.jsonl"
    assert "not both" in run("drift", model, timed, "--every", "1d", "--window", 9, "-q", code=2).stderr
    assert "write it as 6h" in run("drift", model, timed, "--every", "soon", "--reference", calm, code=2).stderr
    assert "has no time" in run("drift", model, calm, "--every", "1d", code=2).stderr
    with pytest.raises(RecipeError, match="level 0"):
        check_drift(model, calm, alpha=0)

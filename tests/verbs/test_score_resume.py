"""score over files larger than memory: one schema, bounded memory, and a job that survives its death."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.model import RelevanceModel
from darl.verbs.inputs import as_scorer
from darl.verbs.score import score_pairs
from small_model import make_small_model


@pytest.fixture(scope="module")
def folder(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_decoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def model(folder: Path) -> RelevanceModel:
    return RelevanceModel.from_pretrained(folder)


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    rows = [{"query": f"query {i // 7}", "item": f"item number {i}", "n": i} for i in range(400)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parts_of(out: Path) -> list[Path]:
    return sorted(out.parent.glob(f".{out.name}.parts/*.parquet"))


def test_killed_it_goes_on_and_ends_with_the_same_file(folder: Path, pairs: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "out.parquet", tmp_path / "whole.parquet"
    code = (
        "import sys, time; from darl.model import RelevanceModel; from darl.verbs import score\n"
        "real = RelevanceModel.score_encoded\n"
        "def slow(*a, **k):\n    time.sleep(0.3)\n    return real(*a, **k)\n"
        "RelevanceModel.score_encoded = slow\n"
        "score.score_pairs(*sys.argv[1:4], chunk=16)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, str(folder), str(pairs), str(out)]
    process = subprocess.Popen(command, env=environment)
    deadline = time.monotonic() + 400
    while len(parts_of(out)) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in parts_of(out)}
    assert 3 <= len(kept) < 25
    assert not out.exists()

    model = as_scorer(folder)  # as the killed call had it, to the last bit
    scored, real = [], model.score_encoded
    model.score_encoded = lambda encoded, **k: scored.append(len(encoded)) or real(encoded, **k)  # type: ignore[method-assign]
    assert score_pairs(model, pairs, out, chunk=16).pairs == 400
    assert sum(scored) == 400 - 16 * len(kept)
    assert not parts_of(out)
    score_pairs(model, pairs, whole, chunk=16)
    assert pq.read_table(out).equals(pq.read_table(whole))
    assert pq.read_table(out).column("n").to_pylist() == list(range(400))


def test_the_parts_of_another_job_are_not_taken(
    model: RelevanceModel, pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, seen, real = tmp_path / "out.jsonl", [], model.score_encoded

    def stop_at_third(encoded: object, **options: object) -> object:
        seen.append(1)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return real(encoded, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "score_encoded", stop_at_third)
    with pytest.raises(KeyboardInterrupt):
        score_pairs(model, pairs, out, chunk=100)
    assert len(parts_of(out)) == 2
    with pairs.open("a") as file:
        file.write(json.dumps({"query": "one", "item": "more", "n": 400}) + "\n")
    assert score_pairs(model, pairs, out, chunk=100).pairs == 401
    assert len(seen) == 3 + 5


def test_columns_whose_kind_changes_along_the_file_have_one_kind_in_the_result(
    model: RelevanceModel, tmp_path: Path
) -> None:
    source = tmp_path / "mixed.jsonl"
    rows = [{"query": "q", "item": "a", "x": 1}, {"query": "q", "item": "b", "x": None, "y": 1},
            {"query": "q", "item": "c", "x": 2.5}, {"query": "q", "item": "d", "y": "text"}]  # fmt: skip
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_one, at_once = (score_pairs(model, source, tmp_path / f"{n}.parquet", chunk=n) for n in (1, 4))
    one, four = pq.read_table(by_one.path), pq.read_table(at_once.path)  # type: ignore[arg-type]
    assert one.schema.equals(four.schema)
    assert one.column("x").to_pylist() == [1.0, None, 2.5, None]
    assert one.column("y").to_pylist() == four.column("y").to_pylist() == [None, "1", None, "text"]


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_shards_do_not_depend_on_how_the_source_is_cut(model: RelevanceModel, tmp_path: Path, kind: str) -> None:
    rows = pa.table(
        {
            "query": [f"q{i // 3}" for i in range(50)],
            "item": [f"i{i}" for i in range(50)],
            "keep": [i % 2 for i in range(50)],
        }
    )
    if kind == "parquet":
        pq.write_table(rows, tmp_path / "a.parquet", row_group_size=7)
    else:
        rows.to_pandas().to_csv(tmp_path / "a.csv", index=False)
    found = score_pairs(model, [tmp_path / f"a.{kind}"] * 2, where={"keep": 1}, chunk=8)
    assert found.table is not None
    assert found.table.column("item").to_pylist() == [f"i{i}" for i in range(50) if i % 2] * 2
    alone = model.score(queries=["q0"], items=["i1"], ood=False)
    np.testing.assert_allclose(found.table.column("relevance_score")[0].as_py(), alone.relevance[0], atol=1e-5)


MEMORY = """
import resource, sys, numpy as np
from darl.model import RelevanceModel
from darl.verbs.score import score_pairs
model = RelevanceModel.from_pretrained(sys.argv[1])
model.logits = lambda encoded, **options: np.zeros((len(encoded), 3), dtype=np.float32)
score_pairs(model, sys.argv[2], sys.argv[3], ood=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_ten_times_the_pairs_take_no_more_memory(folder: Path, tmp_path: Path) -> None:
    peaks = []
    for rows in (6_000, 60_000):
        source, out = tmp_path / f"{rows}.parquet", tmp_path / f"out{rows}.parquet"
        queries = [f"query {i // 30}" for i in range(rows)]
        pq.write_table(pa.table({"query": queries, "item": [f"item {'long ' * 20}{i}" for i in range(rows)]}), source)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        command = [sys.executable, "-c", MEMORY, str(folder), str(source), str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=500)
        peaks.append(int(done.stdout.split()[-1]))
        assert pq.ParquetFile(out).metadata.num_rows == rows
    assert peaks[1] <= peaks[0] * 1.05 + 10, peaks  # MiB: the pairs alone would be 10 MiB more, their tokens 60

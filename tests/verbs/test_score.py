"""score: one result a pair, in the input's order, whatever the text."""

from __future__ import annotations

import csv
import gzip
import io
import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from darl.cli.main import app
from darl.errors import DataError, EmptySplitError, ModelError, StorageError
from darl.model import RelevanceModel
from darl.pairs import PairTable, UnusableRowsError
from darl.verbs.inputs import as_scorer
from darl.verbs.score import score_pairs
from model_texts import ANY_TEXT, STEADY
from small_model import make_small_model

PAIRS = [("cat cover", "vet bills for cats"), ("", "no query"), ("cat cover", "vet bills for cats"), ("q", "")]
RESULT = ("grade", "grade_name", "relevance_score", "p_bad", "p_fair", "p_good", "ood_score", "ood_percentile")


@pytest.fixture(scope="module")
def small_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_encoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def model(small_model: Path) -> RelevanceModel:
    return RelevanceModel.from_pretrained(small_model)


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    rows = [{"query": query, "title": item, "n": i, "tags": ["a", "b"]} for i, (query, item) in enumerate(PAIRS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT), min_size=1, max_size=9), st.integers(1, 4))
@settings(STEADY, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_one_result_a_pair_in_order_for_any_text(
    model: RelevanceModel, tmp_path: Path, pairs: list[tuple[str, str]], chunk: int
) -> None:
    source, out = tmp_path / "any.jsonl", tmp_path / "any_out.jsonl"
    source.write_text("".join(json.dumps({"query": q, "item": i, "at": n}) + "\n" for n, (q, i) in enumerate(pairs)))
    result = score_pairs(model, source, out, chunk=chunk)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n")[:-1]]
    assert result.pairs == len(rows) == len(pairs)
    assert [row["at"] for row in rows] == list(range(len(pairs)))
    alone = model.score(queries=[q for q, _ in pairs], items=[i for _, i in pairs])
    np.testing.assert_allclose([row["relevance_score"] for row in rows], alone.relevance, atol=1e-5)
    np.testing.assert_allclose([row["ood_score"] for row in rows], alone.ood_scores, rtol=1e-3, atol=1e-4)
    assert all(0 <= row["relevance_score"] <= 1 for row in rows)


def test_every_format_holds_the_same(model: RelevanceModel, jsonl: Path, tmp_path: Path) -> None:
    for name in ("o.jsonl", "o.jsonl.gz", "o.parquet", "o.csv", "o.tsv.gz"):
        assert score_pairs(model, jsonl, tmp_path / name, chunk=3).columns == RESULT
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.column_names == ["query", "title", "n", "tags", *RESULT]
    assert table.column("query").to_pylist() == [query for query, _ in PAIRS]
    assert table.column("tags")[0].as_py() == ["a", "b"]
    plain = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    with gzip.open(tmp_path / "o.jsonl.gz", "rt") as file:
        assert [json.loads(line) for line in file] == plain == table.to_pylist()
    with (tmp_path / "o.csv").open() as file:
        comma = list(csv.DictReader(file))
    with gzip.open(tmp_path / "o.tsv.gz", "rt") as file:
        assert list(csv.DictReader(file, delimiter="\t")) == comma
    assert [float(row["relevance_score"]) for row in comma] == pytest.approx([row["relevance_score"] for row in plain])
    assert json.loads(comma[0]["tags"]) == ["a", "b"]


def test_in_memory_and_from_tables(model: RelevanceModel, jsonl: Path) -> None:
    from_file = score_pairs(model, jsonl).table
    from_arrow = score_pairs(model, pa.table({"q": [q for q, _ in PAIRS], "doc": [i for _, i in PAIRS]})).table
    pairs = PairTable.from_pairs([q for q, _ in PAIRS], [i for _, i in PAIRS])
    from_pairs = score_pairs(model, pairs).table
    assert from_file is not None
    assert from_arrow is not None
    assert from_pairs is not None
    assert from_pairs.column_names == ["query", "item", *RESULT]
    for table in (from_arrow, from_pairs):
        np.testing.assert_allclose(
            table["relevance_score"].to_numpy(), from_file["relevance_score"].to_numpy(), atol=1e-6
        )


def test_half_precision_where_the_machine_has_it(
    small_model: Path, jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = score_pairs(small_model, jsonl).table["p_good"].to_numpy()
    for native in (True, False):
        monkeypatch.setattr("darl.model.precision.native_bfloat16", lambda native=native: native)
        out = tmp_path / f"{native}.parquet"
        done = CliRunner().invoke(app, ["score", str(small_model), str(jsonl), "-o", str(out), "--dtype", "bfloat16"])
        assert done.exit_code == 0, done.output
        off = np.abs(pq.read_table(out)["p_good"].to_numpy() - plain).max()
        assert (0 < off < 0.02) if native else off == 0, (native, off)
    with pytest.raises(ModelError, match="written in"):
        as_scorer(small_model, runtime="onnx", dtype="bfloat16")


@pytest.mark.parametrize(("cores", "beside"), [(1, False), (2, False), (8, True)])
def test_the_next_shard_is_read_beside_the_model_where_a_core_is_to_spare(
    model: RelevanceModel, jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int, beside: bool
) -> None:
    encode, here, elsewhere = model.encode, threading.current_thread(), []

    def watched(**texts: Any) -> Any:
        elsewhere.append(threading.current_thread() is not here)
        return encode(**texts)

    monkeypatch.setattr(model, "encode", watched)
    monkeypatch.setattr("darl.verbs.score.usable_cores", lambda: cores)
    score_pairs(model, jsonl, tmp_path / "out.parquet", chunk=2)
    assert len(elsewhere) > 1
    assert set(elsewhere) == {beside}


def test_columns_that_collide_are_kept_and_the_results_renamed(model: RelevanceModel, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    source.write_text("query,item,grade,label\na,b,weird,1\n")
    found = score_pairs(model, source, ood=False)
    assert found.columns[0] == "darl_grade"
    assert "darl_ood_score" not in found.columns
    assert found.table is not None
    assert found.table.column("grade").to_pylist() == ["weird"]
    source.write_text("query,item,grade,darl_relevance_score\na,b,1,1\n")
    assert score_pairs(model, source).columns[0] == "darl__grade"
    assert score_pairs(model, source, prefix="x_").columns[0] == "x_grade"
    with pytest.raises(DataError, match="already has a column 'grade'"):
        score_pairs(model, source, prefix="")


def test_columns_filters_and_several_files(model: RelevanceModel, tmp_path: Path) -> None:
    one, two = tmp_path / "a1.csv", tmp_path / "a2.csv"
    one.write_text("ask,text,split,extra\nq1,i1,test,\nq2,i2,train,7\n")
    two.write_text("ask,text,split\nq3,i3,test\n")
    found = score_pairs(model, str(tmp_path / "a*.csv"), columns={"query": "ask"}, where={"split": "test"})
    assert found.table is not None
    assert found.table.column("ask").to_pylist() == ["q1", "q3"]
    assert found.table.column("extra").to_pylist() == [None, None]


def test_what_is_refused(model: RelevanceModel, jsonl: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    with pytest.raises(DataError, match="overwrite"):
        score_pairs(model, jsonl, jsonl)
    for source in (str(tmp_path / "*.jsonl"), [tmp_path / "none.csv", [str(tmp_path / "in.js*")]]):
        with pytest.raises(DataError, match="overwrite"):
            score_pairs(model, source, jsonl)
    with pytest.raises(DataError, match="known format"):
        score_pairs(model, jsonl, tmp_path / "out.xlsx")
    with pytest.raises(DataError, match="compressed already"):
        score_pairs(model, jsonl, tmp_path / "out.parquet.gz")
    with pytest.raises(DataError, match="no column 'nope'"):
        score_pairs(model, jsonl, out, columns={"query": "nope"})
    with pytest.raises(EmptySplitError):
        score_pairs(model, jsonl, out, where={"n": 99})
    with pytest.raises(StorageError):
        score_pairs(model, tmp_path / "none.csv", out)
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"query": "a", "item": "b"}\n{"query": \n')
    with pytest.raises(UnusableRowsError, match=r"broken\.jsonl:2"):
        score_pairs(model, broken, out)
    assert out.read_text() == "old"


@pytest.mark.parametrize("where", [None, {"query": "a"}])
def test_what_is_left_out_is_said(
    small_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, where: dict | None
) -> None:
    broken, out = tmp_path / "broken.jsonl", tmp_path / "out.jsonl"
    broken.write_text('{"query": "a", "item": "b"}\n{"query": \n[1]\n')
    for found in (score_pairs(small_model, broken, to, where=where, on_bad_rows="skip") for to in (None, out)):
        assert (found.pairs, found.left_out, found.to_dict()["left_out"]) == (1, 2, 2)
    assert "left out 2 unusable rows: 1 × malformed JSON, 1 × not a JSON object" in caplog.text
    done = CliRunner().invoke(app, ["score", str(small_model), str(broken), "-o", str(out), "--skip-bad-rows", "-q"])
    assert "1 pairs in" in done.stdout
    assert "2 unusable rows left out" in done.stdout
    assert "left out 2 unusable rows" in done.stderr
    with pytest.raises(EmptySplitError, match="2 rows were left out"):
        score_pairs(small_model, broken, where={"query": "none"}, on_bad_rows="skip")


def test_a_failure_midway_leaves_the_old_file_and_what_is_needed_to_go_on(
    model: RelevanceModel, jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "made" / "out.parquet"
    score_pairs(model, jsonl, out)
    before, calls, real = out.read_bytes(), [], model.score_encoded

    def counting(*given: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*given, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "score_encoded", counting)
    with pytest.raises(KeyboardInterrupt):
        score_pairs(model, jsonl, out, chunk=1)
    assert out.read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir()) == [".out.parquet.parts", "out.parquet"]
    score_pairs(model, jsonl, out, chunk=1)
    assert len(calls) == 5  # two shards were kept
    assert [path.name for path in out.parent.iterdir()] == ["out.parquet"]
    resumed, whole = pq.read_table(out), pq.read_table(io.BytesIO(before))
    assert resumed.column_names == whole.column_names
    for name in whole.column_names:  # pairs packed alone and together differ in their last bits
        if pa.types.is_floating(whole.schema.field(name).type):
            np.testing.assert_allclose(resumed[name].to_numpy(), whole[name].to_numpy(), atol=1e-6)
        else:
            assert resumed[name].to_pylist() == whole[name].to_pylist()

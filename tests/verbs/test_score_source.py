"""The source that score reads: its texts alone come without the columns that only the result needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.errors import DataError
from darl.verbs.score_source import ScoreSource, open_score_source

ROWS = 7


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    wide = {"q": [f"q{i}" for i in range(ROWS)], "title": [f"i{i}" for i in range(ROWS)], "price": list(range(ROWS))}
    paths = [tmp_path / "a.parquet", tmp_path / "b.csv"]
    pq.write_table(pa.table(wide | {"label": ["good", "bad"] * 3 + ["good"], "blob": [b"x" * 999] * ROWS}), paths[0])
    paths[1].write_text("query,item,label,other\nq7,i7,good,z\nq8,,bad,z\n")
    return paths


def opened(files: Any, **options: Any) -> ScoreSource:
    return open_score_source(files, **{"columns": None, "where": None, "on_bad_rows": "error", "size": 3} | options)


@pytest.mark.parametrize("where", [None, {"label": "good"}, {"grade": "good", "price": [0, 2, 6]}])
def test_texts_alone_are_those_of_the_whole_source(files: list[Path], where: dict | None) -> None:
    chosen = files if where is None or "price" not in where else files[:1]
    source = opened(chosen, where=where)
    alone = source.texts_alone()
    assert (alone.rows, alone.shards, alone.fingerprint()["where"]) == (
        source.rows,
        source.shards,
        source.fingerprint()["where"],
    )
    whole, texts = list(source), list(alone)
    assert [(one.number, one.queries, one.items) for one in texts] == [
        (one.number, one.queries, one.items) for one in whole
    ]
    assert sum(len(one.queries) for one in texts) == source.rows
    assert not {"blob", "other"} & set(alone.schema.names)
    assert {"blob", "price"} <= set(source.schema.names)


def test_of_a_parquet_file_no_other_column_is_read(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    real = pq.ParquetFile.iter_batches

    def spied(self: pq.ParquetFile, *args: Any, columns: Any = None, **options: Any) -> Any:
        asked.append(columns)
        return real(self, *args, columns=columns, **options)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spied)
    alone = opened(files[0]).texts_alone()
    asked.clear()
    list(alone)
    assert asked == [["q", "title"]]


def test_a_filter_on_no_column_names_all_there_are(files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"no column 'prise'; found: .*price.*blob"):
        opened(files[0], where={"prise": 3})

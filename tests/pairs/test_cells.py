"""Values that a format cannot hold are written as those that it can."""

from __future__ import annotations

import csv
import json

import pytest

from darl.pairs import PairTable, read_pairs, write_pairs
from darl.verbs.chunk_writer import chunk_writer

ROW = {"query": "q", "item": "i", "grade": 1}
CELLS = {"attrs": {}, "deep": [{"more": {}, "n": 1.5}], "code": b"x\xff", "price": float("nan"), "tags": ["a", None]}


def by_pairs(path):
    write_pairs(PairTable.from_rows([ROW | CELLS]), path)


def by_chunks(path):
    with chunk_writer(path) as write:
        write(PairTable.from_rows([ROW | CELLS]).arrow)


@pytest.mark.parametrize("written", [by_pairs, by_chunks])
def test_every_format_takes_every_value(tmp_path, written):
    for name in ("a.parquet", "a.jsonl", "a.csv", "a.tsv"):
        written(tmp_path / name)
    table = read_pairs(tmp_path / "a.parquet")
    assert [table.column(name)[0] for name in ("attrs", "deep")] == ["{}", '[{"more": {}, "n": 1.5}]']
    assert (table.column("code"), table.column("tags")) == ([b"x\xff"], [["a", None]])
    (line,) = (tmp_path / "a.jsonl").read_text().splitlines()
    found = json.loads(line, parse_constant=pytest.fail)
    texts = {"code": "x\\xff", "price": None}
    assert {name: found[name] for name in CELLS} == CELLS | texts
    for name, delimiter in (("a.csv", ","), ("a.tsv", "\t")):
        with (tmp_path / name).open(newline="") as file:
            (flat,) = csv.DictReader(file, delimiter=delimiter)
        assert [flat[column] for column in ("attrs", "code", "tags")] == ["{}", "x\\xff", '["a", null]']


def test_a_null_stays_one(tmp_path):
    write_pairs(PairTable.from_rows([ROW | {"attrs": {}}, ROW | {"item": "j", "attrs": None}]), tmp_path / "a.parquet")
    assert read_pairs(tmp_path / "a.parquet").column("attrs") == ["{}", None]

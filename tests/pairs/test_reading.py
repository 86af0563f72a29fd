import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from darl.errors import BadRowsError, DataError, EmptySplitError, StorageError
from darl.grades import GradeScale
from darl.pairs import PairTable, UnusableRowsError, check_leaks, read_pairs, split_pairs, write_pairs

SCALE = GradeScale(("bad", "fair", "good"))
FORMATS = ["jsonl", "csv", "tsv", "parquet", "jsonl.gz", "csv.gz", "tsv.gz", "parquet.gz"]
# Everything that may trip a format: quotes, separators, line ends of all sorts, marks, rare planes.
TRICKY = "abc\"',;\t\n\r\\ \u2028\x85\ufeff\x1aüß水\U0001f4a1\u0301"
TEXT = st.text(
    st.sampled_from(TRICKY) | st.characters(exclude_categories=("Cs",), exclude_characters="\0"),
    min_size=1,
    max_size=12,
).filter(str.strip)
ROWS = st.lists(
    st.tuples(TEXT, TEXT, st.integers(0, 2), st.floats(0, 9)), min_size=1, max_size=5, unique_by=lambda row: row[:2]
)


def write(path, *lines):
    path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
    return path


def row(query="lamp", item="desk lamp", label=1, **more):
    return json.dumps({"query": query, "item": item, "label": label, **more})


def faults(caught):
    return [(fault.row, fault.reason) for fault in caught.value.rows]


@pytest.mark.parametrize("extension", FORMATS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_round_trip(tmp_path, extension, rows):
    queries, items, grades, weights = zip(*rows, strict=True)
    table = PairTable.from_pairs(queries, items, grades, weight=weights, query_id=[str(i) for i in range(len(rows))])
    write_pairs(table, tmp_path / f"t.{extension}")
    back = read_pairs(tmp_path / f"t.{extension}", scale=SCALE)
    assert (back.queries, back.items) == (list(queries), list(items))
    assert back.fingerprint() == table.fingerprint()
    assert back.column("query_id") == table.column("query_id")


def test_provenance_can_be_kept(tmp_path):
    write_pairs(PairTable.from_pairs(["a"], ["b"]), tmp_path / "t.csv", provenance=True)
    back = read_pairs(tmp_path / "t.csv", require_grades=False)
    assert (back.column("source_row"), back.column("source_file")) == (["1"], ["<memory>"])
    assert back.place(0) == f"{tmp_path / 't.csv'}:2"


def test_aliases_names_and_other_columns(tmp_path):
    path = write(tmp_path / "a.csv", "Search_Term,title,relevance,brand", "lamp,desk lamp,GOOD,x", "hose,lamp,0.0,")
    table = read_pairs(path, scale=SCALE)
    assert table.grades.tolist() == [2, 0]
    assert table.column("brand") == ["x", None]
    assert table.column("row") == [2, 3]


def test_filter_comes_before_the_checks(tmp_path):
    path = write(
        tmp_path / "a.jsonl", row(split="train"), row(label="?", item="", split="pool"), row("b", n=3, split="dev")
    )
    assert read_pairs(path, where={"split": "train"}).queries == ["lamp"]
    assert read_pairs(path, where={"split": ["train", "dev"]}).queries == ["lamp", "b"]
    assert read_pairs(path, where={"n": 3}).queries == ["b"]
    assert read_pairs(path, where={"n": None, "split": "train"}).queries == ["lamp"]
    assert read_pairs(path, where={"label": 1, "split": "dev"}).queries == ["b"]
    with pytest.raises(EmptySplitError, match=r"no pair matches \{'split': 'test'\}"):
        read_pairs(path, where={"split": "test"})


def test_every_bad_row_of_a_jsonl_file_is_listed_at_once(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        b"\xef\xbb\xbf" + row().encode(),  # 1, good
        row(query="  \u3000"),  # 2
        row(item=None),  # 3
        row(label="great"),  # 4
        row(label=3),  # 5
        row(label=None),  # 6
        "",  # 7, an empty line is no row
        '{"query": "a", ',  # 8
        "[1]",  # 9
        b'{"query": "\xff", "item": "b", "label": 0}',  # 10
        row("w", weight=-1),  # 11
        row("w", weight=float("nan")),  # 12
        row("w", weight="heavy"),  # 13
        row("twice", label=0),  # 14
        row("twice", label=2),  # 15
        row(),  # 16, merged with 1
    )
    with pytest.raises(BadRowsError) as caught:
        read_pairs(path, scale=SCALE, limit=3)
    weight, several = "weight is not a number from 0 up", "the same pair has several grades"
    assert faults(caught) == [
        (2, "query is empty"),
        (3, "item is missing"),
        (4, "unknown grade"),
        (5, "unknown grade"),
        (6, "grade is missing"),
        (8, "malformed JSON"),
        (9, "not a JSON object"),
        (10, "not valid UTF-8"),
        (11, weight),
        (12, weight),
        (13, weight),
        (14, several),
        (15, several),
    ]
    message = str(caught.value)
    assert "13 rows cannot be used: 3 × weight" in message
    assert f"{path}:4: unknown grade ('great', expected 0 … 2 or one of bad, fair, good)" in message
    assert "… and 10 more" in message

    skipped = tmp_path / "skipped.jsonl"
    table = read_pairs(path, scale=SCALE, on_bad_rows="skip", skipped_to=skipped)
    assert table.column("row") == [1]
    left_out = [json.loads(line) for line in skipped.read_text().splitlines()]
    assert [(fault["row"], fault["reason"]) for fault in left_out] == faults(caught)
    assert "great" in left_out[2]["raw"]
    assert left_out[5]["raw"] == '{"query": "a", '


def test_every_bad_row_of_a_csv_file_is_listed_at_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(
        b"\xef\xbb\xbfquery,item,label\r\n"
        b'lamp,"desk\r\nlamp, ""big""",1\r\n'  # lines 2 and 3
        b"lamp,oil\r\n"  # 4
        b"lamp,oil,1,2\r\n"  # 5
        b"\r\n"
        b"l\xffmp,oil,1\r\n"  # 7
        b'lamp,"a"b,1\r\n'  # 8
        b"hose,garden,0\r\n"  # 9
        b'hose,"never closed,0\r\n'  # 10
        b"a,b,1\r\n"
    )
    with pytest.raises(UnusableRowsError) as caught:
        read_pairs(path)
    kinds = [(4, "ragged row"), (5, "ragged row"), (7, "not valid UTF-8"), (8, "malformed CSV"), (10, "malformed CSV")]
    assert faults(caught) == kinds
    assert "a quote is never closed" in str(caught.value)
    table = read_pairs(path, on_bad_rows="skip")
    assert table.items == ['desk\r\nlamp, "big"', "garden", "b"]
    assert table.column("row") == [2, 9, 11]


@pytest.mark.parametrize("scale", [None, SCALE])
@pytest.mark.parametrize("value", [[1], {"g": 1}, {}, [], 1e25, 2**70])
def test_what_no_grade_and_no_weight_can_be_is_a_bad_row(tmp_path, scale, value):
    path = write(tmp_path / "a.jsonl", row(label=value), row("b", label=value))
    with pytest.raises(UnusableRowsError) as caught:
        read_pairs(path, scale=scale)
    assert faults(caught) == [(1, "unknown grade"), (2, "unknown grade")]
    if isinstance(value, (list, dict)):
        with pytest.raises(UnusableRowsError, match="1 × weight is not a number") as caught:
            read_pairs(write(path, row(weight=value), row("b")), scale=scale)
        assert json.dumps(value) in str(caught.value)


def test_rows_of_several_files_are_reported_together(tmp_path):
    write(tmp_path / "b.jsonl", row(label=9))
    write(tmp_path / "a.csv", "query,item,label", "x,y,", "lamp,desk lamp,0")
    write(tmp_path / "c.jsonl", row())
    with pytest.raises(UnusableRowsError) as caught:
        read_pairs([tmp_path / "a.csv", tmp_path / "b.jsonl", str(tmp_path / "c.js*")], scale=SCALE)
    places = [(Path(fault.file).name, fault.row) for fault in caught.value.rows]
    assert places == [("a.csv", 2), ("a.csv", 3), ("b.jsonl", 1), ("c.jsonl", 1)]
    assert "3 files" in str(caught.value)


def test_equal_titles_of_different_products_do_not_conflict(tmp_path):
    path = write(tmp_path / "a.jsonl", row(item_id=1), row(item_id=2, label=0), row(item_id=2, label=0))
    assert read_pairs(path).column("item_id") == ["1", "2"]


def test_a_pair_in_two_splits_is_not_merged(tmp_path):
    path = write(tmp_path / "a.jsonl", row(split="train"), row(split="test"), row(split="test"))
    assert read_pairs(path).column("split") == ["train", "test"]


def test_unlabelled_pairs(tmp_path):
    path = write(tmp_path / "a.jsonl", row(label=None), row("b"), json.dumps({"query": "c", "item": "d"}))
    table = read_pairs(path, require_grades=False)
    assert table.column("grade") == [None, 1, None]
    assert not table.has_grades
    with pytest.raises(UnusableRowsError, match="unknown grade"):
        read_pairs(write(tmp_path / "b.jsonl", row(label="x")), require_grades=False)


def test_empty_text_can_be_allowed(tmp_path):
    path = write(tmp_path / "a.csv", "query,item,label", "lamp,,1")
    assert read_pairs(path, allow_empty_text=True).items == [""]


@pytest.mark.parametrize("extension", ["jsonl.gz", "csv.gz", "parquet.gz"])
def test_truncated_gzip_is_a_file_error(tmp_path, extension):
    rng = np.random.default_rng(0)
    table = PairTable.from_pairs(["q"] * 500, [str(x) for x in rng.random(500)], [0] * 500)
    path = tmp_path / f"a.{extension}"
    write_pairs(table, path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"cut short or damaged after line [1-9]|not a whole Parquet") as caught:
        read_pairs(path, on_bad_rows="skip")
    assert not isinstance(caught.value, BadRowsError)


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.parquet", b"PAR1 no", DataError, "not a whole Parquet file"),
        ("a.jsonl.gz", b"no gzip", DataError, "cut short or damaged after line 0"),
        ("a.xlsx", b"", DataError, "not a known format"),
        ("a", b"", DataError, "not a known format"),
        ("a.csv", b"query,query,item\na,b,c\n", DataError, "more than once"),
        ("a.csv", b"", EmptySplitError, "there is no pair"),
        ("a.jsonl", b"\n\n", EmptySplitError, "there is no pair"),
        ("a.csv", b"query,item,label\n", EmptySplitError, "there is no pair"),
        ("a.jsonl", b'{"query": ["a"], "item": "b", "label": 1}\n', DataError, "not text"),
    ],
)
def test_unreadable_files_are_named(tmp_path, name, content, error, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words) as caught:
        read_pairs(tmp_path / name)
    assert name in str(caught.value)


def test_places_that_hold_nothing(tmp_path):
    with pytest.raises(StorageError, match="no such file"):
        read_pairs(tmp_path / "a.csv")
    with pytest.raises(DataError, match="no file matches"):
        read_pairs(str(tmp_path / "*.csv"))
    with pytest.raises(DataError, match="a folder is no source"):
        read_pairs(tmp_path)
    with pytest.raises(DataError, match="no source of pairs"):
        read_pairs(3)


def test_a_file_of_bad_rows_only(tmp_path):
    path = write(tmp_path / "a.jsonl", "{", "[")
    with pytest.raises(UnusableRowsError, match="2 rows"):
        read_pairs(path)
    with pytest.raises(EmptySplitError, match="2 rows were left out"):
        read_pairs(path, on_bad_rows="skip")


def test_mixed_kinds_in_one_column(tmp_path):
    lines = [
        row("a", label="1"),
        row("b", label=2),
        row("c", label="good"),
        row(501, label=1.0),
        row("\ud800\0", label=0),
    ]
    table = read_pairs(write(tmp_path / "a.jsonl", *lines), scale=SCALE)
    assert table.grades.tolist() == [1, 2, 2, 1, 0]
    assert table.queries == ["a", "b", "c", "501", "\ufffd\ufffd"]


def test_a_key_that_no_text_has_is_cleaned(tmp_path):
    path = write(tmp_path / "a.jsonl", row(**{"bra\ud800nd": "x"}))
    assert read_pairs(path).column("bra\ufffdnd") == ["x"]


def test_objects_in_memory():
    datasets = pytest.importorskip("datasets")
    data = {"query": ["a", "b", "c"], "text": ["x", "y", "z"], "label": [0, 1, 2]}
    for source in (pa.table(data), pd.DataFrame(data), datasets.Dataset.from_dict(data)):
        assert read_pairs(source).grades.tolist() == [0, 1, 2]
    assert read_pairs(datasets.Dataset.from_dict(data).select([2, 0])).queries == ["c", "a"]
    frame = pd.DataFrame({**data, "weight": [1.0, np.nan, 2.0], "text": ["x", None, 3]})
    with pytest.raises(UnusableRowsError) as caught:
        read_pairs(frame)
    assert faults(caught) == [(2, "item is missing")]


def test_saved_datasets_and_the_hub(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    data = datasets.Dataset.from_dict({"query": ["a", "b"], "item": ["x", "y"], "label": [0, 1]})
    data.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": data, "test": data.select([1])}).save_to_disk(tmp_path / "two")
    assert len(read_pairs(tmp_path / "one")) == 2
    assert read_pairs(tmp_path / "two", where={"split": "test"}).queries == ["b"]

    def unreachable(*_, **__):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"cannot be fetched .*no route to host"):
        read_pairs("hf://owner/shop:train")
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config, split: data)
    assert read_pairs("hf://owner/shop:train").place(1) == "hf://owner/shop:train:2"


def test_parquet_with_dictionaries_and_small_integers(tmp_path):
    data = pa.table(
        {"query": pa.array(["a", "b"]).dictionary_encode(), "item": ["x", "y"], "label": pa.array([0, 1], pa.int8())}
    )
    pq.write_table(data, tmp_path / "a.parquet")
    table = read_pairs(tmp_path / "a.parquet", where={"query": "b"})
    assert (table.queries, table.grades.tolist(), table.column("row")) == (["b"], [1], [2])


def test_many_chunks_keep_their_lines(tmp_path):
    n = 120_001
    lines = [
        json.dumps({"query": f"q{i % 7}", "item": f"i{i}", "label": i % 3, "tag": i if i < 60_000 else "x"})
        for i in range(n)
    ]
    path = tmp_path / "a.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(lines))
    table = read_pairs(path)
    assert len(table) == n
    assert table.column("row")[-1] == n
    assert table.column("tag")[0] == "0"
    assert table.query_groups().max() == 6


def test_two_hundred_thousand_rows_through_everything(tmp_path):
    n = 200_000
    rng = np.random.default_rng(0)
    queries = np.char.add("Query ", rng.integers(0, n // 20, n).astype(str)).tolist()
    table = PairTable.from_pairs(queries, [f"item {i}" for i in range(n)], rng.integers(0, 3, n))
    write_pairs(table, tmp_path / "a.parquet")
    back = read_pairs(tmp_path / "a.parquet", scale=SCALE)
    assert back.fingerprint() == table.fingerprint()
    splits = split_pairs(back)
    assert check_leaks(splits["train"], {"dev": splits["dev"], "test": splits["test"]}).clean
    assert sum(map(len, splits.values())) == n


def test_a_bad_grade_of_a_numbered_scale_is_told_its_names_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("query,item,grade\nq,a,1\nq,b,0\n")
    with pytest.raises(BadRowsError, match=r"a.csv:3: unknown grade \('0', expected one of 1, 2, 3\)"):
        read_pairs(path, scale=GradeScale(("1", "2", "3")))

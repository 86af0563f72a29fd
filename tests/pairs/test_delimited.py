"""CSV and TSV: what a stray quote, a broken header or a long field costs, and what it does not."""

from __future__ import annotations

import pytest

from darl.errors import DataError
from darl.pairs import delimited
from darl.pairs.delimited import read_delimited
from darl.pairs.formats import stream_file
from darl.pairs.reading import read_pairs


def read(lines, delimiter=",", size=100):
    header, batches = read_delimited(iter(lines), delimiter, "a.csv", size)
    batches = list(batches)
    records = [record for batch in batches for record in batch.records]
    return header, records, [(bad.row, bad.reason) for batch in batches for bad in batch.bad]


@pytest.mark.parametrize("end", ["", '\nb\t"14 inch shelf\t1', '\nb\tshelf 14"\t1', '\nshelf 14"\tb\t1'])
def test_a_stray_quote_costs_its_own_line(tmp_path, caplog, end):
    rows = [f"q{i}\titem {i}\t{i % 2}" for i in range(500)]
    path = tmp_path / "a.tsv"
    path.write_text("\n".join(["query\titem\tlabel", 'a\t"12 inch shelf\t1', *rows]) + end + "\nlast\tone\t1\n")
    table = read_pairs(path, on_bad_rows="skip")
    assert table.column("row")[:500] == list(range(3, 503))
    assert table.queries[-1] == "last"
    bad = 2 if end.endswith("shelf\t1") else 1
    assert f"left out {bad} unusable rows: {bad} × malformed CSV" in caplog.text
    assert len(table) == 500 + 1 + bool(end) - (bad - 1)


def test_quoted_line_breaks_stay():
    text = "\r\n".join(f"line {i}, of a long, long text" for i in range(40))
    lines = f'query,item,label\r\na,"{text}",1\r\nb,"x\n\ny",2\r\n'.encode().splitlines(keepends=True)
    assert read(lines)[1:] == ([["a", text, "1"], ["b", "x\n\ny", "2"]], [])
    long = "a\tb\n" * 20
    assert read(f'q\titem\tl\na\t"{long}"\t1\n'.encode().splitlines(keepends=True), "\t")[1] == [["a", long, "1"]]
    poem = "\n".join(["verse"] * 40)
    assert read(f'text\n"{poem}"\n'.encode().splitlines(keepends=True), "\t")[1:] == ([[poem]], [])


def test_pieces_end_where_they_would_without_a_stray_quote(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('q,item\na,"12\n' + "".join(f"q{i},i\n" for i in range(7)))
    pieces = list(stream_file(path, rows=3))
    assert [piece.rows.tolist() for piece in pieces] == [[3, 4, 5], [6, 7, 8], [9]]
    assert [bad.raw for piece in pieces for bad in piece.bad] == ['a,"12']


@pytest.mark.parametrize(
    ("rows", "good", "most"),
    [
        ([b'a,"12 inch,1\n'] + [b"b,shelf,1\n"] * 20_000, 20_000, 21_000),
        ([b'lamp","desk lamp","1\n'] * 2_000, 0, 200_000),  # a quote left open on every line; whole rescans: 2 million
    ],
)
def test_how_far_an_open_quote_is_followed(monkeypatch, rows, good, most):
    handed, rest = [0], delimited._Lines.rest

    def counting(self):
        for line in rest(self):
            handed[0] += 1
            yield line

    monkeypatch.setattr(delimited, "LONGEST", 2**12)
    monkeypatch.setattr(delimited._Lines, "rest", counting)
    _, records, bad = read([b"q,i,l\n", *rows])
    assert (len(records), len(bad)) == (good, len(rows) - good)
    assert handed[0] < most


def test_a_long_field_is_no_fault():
    assert read([b"q,i\n", b"lamp," + b"x" * 200_000 + b"\n"])[1:] == ([["lamp", "x" * 200_000]], [])


@pytest.mark.parametrize(
    "content", ["prénom,item\na,b\n".encode("latin-1"), "query,item\na,b\n".encode("utf-16"), b"q\0,i\0\n"]
)
def test_a_header_that_is_not_utf8_is_named_with_its_mend(tmp_path, content):
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.csv:1: the header is not valid UTF-8\n  mend: save the file as UTF-8"):
        read_pairs(path, require_grades=False)


@pytest.mark.parametrize("by", [";", "\t", "|"])
@pytest.mark.parametrize("before", ["", "\ufeff", "\r\n \r\n"], ids=["plain", "a mark", "empty lines"])
def test_a_csv_that_is_separated_by_something_else_is_read(tmp_path, by, before):
    lines = [by.join(fields) for fields in [("query", "item", "label"), ("für", f'"a{by} b, c"', "1"), ("b", "c", "0")]]
    path = tmp_path / "a.csv"
    path.write_bytes((before + "\r\n".join(lines) + "\r\n").encode())
    table = read_pairs(path)
    assert (table.queries, table.items, table.grades.tolist()) == (["für", "b"], [f"a{by} b, c", "c"], [1, 0])
    assert table.column("row") == [2 + before.count("\n"), 3 + before.count("\n")]


def test_a_tsv_that_is_separated_by_commas_is_read(tmp_path):
    (tmp_path / "a.tsv").write_text("query,item,label\na;b,c,1\n")
    assert read_pairs(tmp_path / "a.tsv").queries == ["a;b"]


def test_bare_carriage_returns_are_named_with_their_mend(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"query,item,label\ra,b,1\rc,d,0\r")
    with pytest.raises(DataError, match=r"carriage return alone\n  mend: save it with the line ends"):
        read_pairs(tmp_path / "a.csv")


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_rows_that_are_not_utf8_are_not_for_leaving_out(tmp_path, name):
    head, row = ("query,item,label\na,b,1\n", "für,b,1\n") if name == "a.csv" else ("", '{"query": "für", "item": "b"}')
    (tmp_path / name).write_bytes((head + row).encode("latin-1"))
    with pytest.raises(DataError, match="mend: save the file as UTF-8"):
        read_pairs(tmp_path / name)


@pytest.mark.parametrize("end", ['b,shelf 14",1', 'shelf 14",b,1'], ids=["as many fields as the header", "ragged"])
def test_two_inch_marks_do_not_take_the_rows_between(end):
    rows = [f"q{i},item {i},{i % 2}" for i in range(500)]
    lines = "\n".join(["query,item,label", 'a,"12 inch shelf,1', *rows, end, "last,one,1", ""]).encode()
    _, records, bad = read(lines.splitlines(keepends=True))
    assert [record[0] for record in records[:500]] == [f"q{i}" for i in range(500)]
    assert records[-1] == ["last", "one", "1"]
    assert next(row for row, _ in bad) == 2
    assert len(bad) <= 2

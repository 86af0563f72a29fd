import gzip
import json

import pytest

from darl.errors import BadRowsError, DataError
from darl.grades import GradeScale
from darl.pairs.converters import read_beir, read_trec

GRADED = GradeScale(("no", "some", "full"))
CORPUS = [{"_id": "d1", "title": "Tides", "text": "The moon."}, {"_id": "d2", "title": "", "text": "Rust."}]
QUERIES = [{"_id": "q1", "text": "what moves the sea"}, {"_id": "q2", "text": "iron"}]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t2\nq2\td2\t1\nq1\td2\t0\n")
    with gzip.open(tmp_path / "corpus.jsonl.gz", "wt") as file:
        file.write("\n".join(json.dumps({**document, "metadata": {}}) for document in CORPUS))
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, QUERIES)))
    return tmp_path


def test_beir(folder):
    table = read_beir(folder, scale=GRADED)
    assert table.queries == ["what moves the sea", "iron", "what moves the sea"]
    assert table.items == ["Tides The moon.", "Rust.", "Rust."]
    assert table.grades.tolist() == [2, 1, 0]
    assert table.column("query_id") == ["q1", "q2", "q1"]
    assert read_beir(folder, scale=GRADED, fields=("text",)).items[0] == "The moon."
    with pytest.raises(BadRowsError, match="unknown grade"):
        read_beir(folder)


def test_a_missing_document_is_listed(folder):
    with (folder / "qrels" / "test.tsv").open("a") as file:
        file.write("q2\td9\t1\n")
    with pytest.raises(BadRowsError, match=r"test\.tsv:5: item is missing"):
        read_beir(folder, scale=GRADED)


def test_trec(folder):
    qrels = folder / "qrels.txt"
    qrels.write_text("q1 0 d1 2\nq2\tQ0\td2 1\n\n")
    (folder / "queries.tsv").write_text("q1\twhat moves\tthe sea\nq2\tiron\n")
    table = read_trec(qrels, folder / "queries.tsv", folder / "corpus.jsonl.gz", scale=GRADED)
    assert table.queries == ["what moves\tthe sea", "iron"]
    assert table.items == ["Tides The moon.", "Rust."]
    assert table.grades.tolist() == [2, 1]
    qrels.write_text("q1 0 d1\n")
    with pytest.raises(BadRowsError, match=r"qrels\.txt:1: ragged row"):
        read_trec(qrels, folder / "queries.tsv", folder / "corpus.jsonl.gz")
    (folder / "queries.tsv").write_text("q1 what\n")
    with pytest.raises(DataError, match=r"queries\.tsv:1: this line is not id<tab>text"):
        read_trec(qrels, folder / "queries.tsv", folder / "corpus.jsonl.gz")

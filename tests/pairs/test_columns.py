"""Which column of a source is which: mappings, aliases, and what is refused."""

from __future__ import annotations

import json

import pytest

from darl.errors import DataError
from darl.pairs import read_pairs


def write(path, *lines):
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_column_mapping(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"q": "a", "title": "t", "text": "long", "grade": "x", "g2": 1}))
    with pytest.raises(DataError, match="several columns could be the item: text, title"):
        read_pairs(path)
    table = read_pairs(path, columns={"item": "title", "grade": "g2"})
    assert table.items == ["t"]
    assert table.grades.tolist() == [1]
    assert table.column("grade_original") == ["x"]
    assert table.column("text") == ["long"]


def test_a_column_that_is_mapped_twice_is_refused(tmp_path):
    path = write(tmp_path / "a.csv", "title,text,label", "a,b,1")
    with pytest.raises(DataError, match="column 'title' is mapped to query, item"):
        read_pairs(path, columns={"query": "title", "item": "title"})


def test_missing_column_names_those_found_and_the_nearest(tmp_path):
    path = write(tmp_path / "a.csv", "queri,item,label", "a,b,1")
    with pytest.raises(DataError, match=r"no column 'query'; found: queri, item, label") as caught:
        read_pairs(path)
    assert "did you mean 'queri'" in caught.value.mend
    assert "--columns query=queri" in caught.value.mend
    with pytest.raises(DataError, match="no column 'lable'"):
        read_pairs(path, columns={"query": "queri", "grade": "lable"})
    with pytest.raises(DataError, match="no column 'splitt'"):
        read_pairs(path, columns={"query": "queri"}, where={"splitt": "x"})


def test_one_mapping_reads_graded_files_and_ungraded_ones_where_grades_need_not_be(tmp_path):
    mapping = {"query": "q", "grade": "stars"}
    graded = write(tmp_path / "graded.csv", "q,item,stars", "a,b,1")
    ungraded = write(tmp_path / "ungraded.csv", "q,item,price", "a,c,7")
    files = [str(graded), str(ungraded)]
    table = read_pairs(files, columns=mapping, require_grades=False)
    assert table.column("grade") == [1, None]
    with pytest.raises(DataError, match="no column 'stars'"):
        read_pairs(files, columns=mapping)


def test_a_file_that_darl_wrote_needs_no_mapping_of_the_graded_pairs_beside_it(tmp_path):
    graded = write(tmp_path / "graded.csv", "search_term,title,stars", "a,b,1")
    labelled = write(tmp_path / "labelled.jsonl", json.dumps({"query": "a", "item": "c", "grade": 2, "title_id": 7}))
    mapping = {"query": "search_term", "item": "title", "grade": "stars"}
    table = read_pairs([str(graded), str(labelled)], columns=mapping)
    assert (table.items, table.grades.tolist()) == (["b", "c"], [1, 2])
    half = write(tmp_path / "half.jsonl", json.dumps({"query": "a", "title": "c", "grade": 2}))
    with pytest.raises(DataError, match="no column 'search_term'"):  # a mapping that fits in part is a slip
        read_pairs(half, columns=mapping)


@pytest.mark.parametrize("header", ["star", "label", " Rating_stars", "Grade"])
def test_a_misspelt_grade_column_is_never_read_as_no_grades(tmp_path, header):
    path = write(tmp_path / "a.csv", f"q,item,{header}", "a,b,1")
    with pytest.raises(DataError, match="no column 'stars'"):
        read_pairs(path, columns={"query": "q", "grade": "stars"}, require_grades=False)


@pytest.mark.parametrize("wanted", [True, "True", "true"])
def test_a_filter_on_truth_values(tmp_path, wanted):
    rows = [{"query": text, "item": "i", "grade": 1, "flag": text == "a"} for text in "ab"]
    path = tmp_path / "flags.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read_pairs(path, where={"flag": wanted}).queries == ["a"]


@pytest.mark.parametrize(
    "mapping", [{"item": "Description"}, {"query": "q", "grade": "rating"}, {"weight": "wt"}, {"item_id": "SKU"}]
)
def test_a_slip_in_a_mapping_is_not_passed_over_for_darls_own_names(tmp_path, mapping):
    row = {"query": "a", "item": "b", "grade": 1, "description": "long", "ratings": 2, "sku": 3}
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(row) + "\n")
    with pytest.raises(DataError, match="no column"):
        read_pairs(path, columns=mapping)

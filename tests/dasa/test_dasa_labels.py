"""merge_labels: labelled picks come back as training pairs, and nothing unlabelled slips through."""

from __future__ import annotations

import pytest
from dasa_worlds import SCALE, FakeModel, pool_of

from darl.dasa import UnlabelledPicksError, label_picks, merge_labels, select
from darl.errors import BadRowsError, DataError, EmptySplitError, GradeError
from darl.pairs import PairTable, read_pairs, write_pairs


@pytest.fixture
def picks() -> PairTable:
    return select(FakeModel(), pool_of(40, 20), budget=8, train=pool_of(5, 5, seed=3)).pairs


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("column", ["grade", "label"])
def test_a_labelled_file_comes_back_graded(tmp_path, picks, kind, column):
    path = tmp_path / f"picks.{kind}"
    names = [SCALE.names[i % 3] for i in range(8)]
    write_pairs(PairTable(picks.arrow.append_column("verdict", [names])), path)
    labelled = merge_labels(path, SCALE, columns={"grade": "verdict"})
    if column == "label":  # found without being named: the selection's own columns do not pass for labels
        write_pairs(PairTable(picks.arrow.append_column("label", [names])), path)
        labelled = merge_labels(path, SCALE)
    assert labelled.grades.tolist() == [i % 3 for i in range(8)]
    assert set(labelled.column("source")) == {"dasa"}
    assert labelled.items == picks.items
    train = pool_of(4, 4, seed=8).with_column("grade", [0, 1, 2, 0])
    assert train.concat(labelled).grades.tolist() == [0, 1, 2, 0, *labelled.grades.tolist()]


def test_unlabelled_picks_do_not_read_as_labelled(tmp_path, picks):
    for kind in ("jsonl", "csv", "parquet"):
        path = tmp_path / f"picks.{kind}"
        write_pairs(picks, path)
        with pytest.raises(UnlabelledPicksError, match="8 of 8 picks have no label"):
            merge_labels(path, SCALE)
        assert not read_pairs(path, require_grades=False).has("grade")


def test_missing_labels_are_counted_and_named_or_skipped(tmp_path, picks):
    path = tmp_path / "picks.jsonl"
    write_pairs(picks.with_column("grade", [0, None, 2, None, 1, 1, 1, 1]), path)
    with pytest.raises(UnlabelledPicksError, match=r"2 of 8 picks have no label: .*picks\.jsonl:2, .*picks\.jsonl:4"):
        merge_labels(path, SCALE)
    assert merge_labels(path, SCALE, on_missing="skip").grades.tolist() == [0, 2, 1, 1, 1, 1]
    with pytest.raises(EmptySplitError, match="no pick has a label"):
        merge_labels(picks, SCALE, on_missing="skip")


def test_labels_off_the_scale_and_double_labels_are_refused(tmp_path, picks):
    with pytest.raises(GradeError, match="1 labels are not on the scale; the first is 3"):
        merge_labels(picks.with_column("grade", [0, 1, 2, 3, 0, 0, 0, 0]), SCALE)
    path = tmp_path / "picks.jsonl"
    two = picks.take([0, 0]).with_column("grade", [0, 2])
    write_pairs(two, path)
    with pytest.raises(BadRowsError, match="several grades"):
        merge_labels(path, SCALE)


def test_labelled_picks_are_not_picked_again():
    pool = pool_of(40, 20)
    first = select(FakeModel(), pool, budget=8).pairs
    labelled = merge_labels(first.with_column("grade", [1] * 8), SCALE)
    second = select(FakeModel(), pool, budget=8, already=labelled).pairs
    assert not set(first.items) & set(second.items)


def test_labels_find_their_picks_in_any_order_and_case(picks):
    grades = [i % 3 for i in range(8)]
    labels = PairTable.from_pairs([q.upper() for q in picks.queries], picks.items, grades, labelled_by=list("abcdefgh"))
    found = label_picks(picks, labels.take([3, 1, 0, 2, 7, 6, 5, 4]), SCALE)
    assert found.grades.tolist() == grades
    assert found.column("labelled_by") == list("abcdefgh")
    assert (found.queries, found.column("reason")) == (picks.queries, picks.column("reason"))


def test_labels_of_other_pairs_are_refused_unless_a_pool_gives_them(picks):
    more = PairTable.from_pairs([*picks.queries, "x"], [*picks.items, "never picked"], [0] * 9)
    with pytest.raises(DataError, match="1 of 9 labelled pairs were not picked: <memory>:9"):
        label_picks(picks, more, SCALE)
    assert len(label_picks(picks, more, SCALE, only_picks=False)) == 8


def test_picks_without_a_label_are_named_or_left_out(picks):
    labels = picks.take([0, 2, 5]).with_column("grade", [1, None, 2])
    with pytest.raises(UnlabelledPicksError, match="6 of 8 picks have no label"):
        label_picks(picks, labels, SCALE)
    assert label_picks(picks, labels, SCALE, on_missing="skip").grades.tolist() == [1, 2]

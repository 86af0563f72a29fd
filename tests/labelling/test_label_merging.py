"""From answers to training pairs: rules, conflicts, several projects, the way into `darl fit`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_world import SCALE, answer, begin, some_pairs

from darl.errors import DataError, EmptySplitError, StorageError
from darl.grades import GradeScale
from darl.labelling import (
    Answer,
    Answers,
    LabellingError,
    export_answers,
    merge_answers,
    read_answers,
    write_merged,
)
from darl.labelling.answering import enter
from darl.pairs import PairTable, read_pairs
from darl.recipe.file import load_recipe
from darl.training.splits import load_splits


def votes(*rows: tuple[str, str, int | None], **more: object) -> Answers:
    """(query, annotator, grade or None for cannot tell), a second apart."""
    return Answers(
        SCALE,
        [
            Answer(query, "item", name, "cannot_tell" if grade is None else "grade", grade, created=float(when), **more)  # type: ignore[arg-type]
            for when, (query, name, grade) in enumerate(rows)
        ],
    )


MIXED = votes(
    ("agreed", "ann", 2),
    ("agreed", "bo", 2),
    ("outvoted", "ann", 0),
    ("outvoted", "bo", 1),
    ("outvoted", "cy", 1),
    ("tie", "ann", 2),
    ("tie", "bo", 0),
    ("changed", "ann", 0),
    ("changed", "ann", 1),
    ("half told", "ann", None),
    ("half told", "bo", 1),
    ("untold", "ann", None),
)


def test_rules() -> None:
    majority, latest = merge_answers(MIXED), merge_answers(MIXED, "latest")
    judged = merge_answers(MIXED, "adjudication", adjudicators=["ANN"])
    unjudged = merge_answers(MIXED, "adjudication")
    assert _grades(majority) == {"agreed": "strong", "outvoted": "weak", "changed": "weak", "half told": "weak"}
    assert _grades(latest) == {**_grades(majority), "tie": "irrelevant"}
    assert _grades(judged) == {**_grades(majority), "outvoted": "irrelevant", "tie": "strong"}
    assert _grades(unjudged) == {"agreed": "strong", "changed": "weak", "half told": "weak"}
    assert {one.query: one.grade for one in majority.conflicts} == {"outvoted": 1, "tie": None}
    assert majority.conflicts[1].votes == {"ann": 2, "bo": 0}
    assert [len(one.undecided) for one in (majority, latest, judged, unjudged)] == [1, 0, 0, 2]
    assert majority.cannot_tell == 1
    assert next(row for row in majority.rows if row["query"] == "outvoted")["label_agreement"] == pytest.approx(2 / 3)
    text = majority.to_text()
    assert "“tie” / “item”: ann: strong, bo: irrelevant undecided" in text
    assert text.index("tie") < text.index("outvoted")  # what needs work comes first


def test_gold_and_repeats_are_no_labels() -> None:
    with pytest.raises(EmptySplitError):
        merge_answers(votes(("a", "ann", 1), gold=1))
    with pytest.raises(EmptySplitError):
        merge_answers(votes(("a", "ann", 1), attempt=1))


def test_wrong_rules_are_named() -> None:
    with pytest.raises(LabellingError, match="no such rule: 'mean'"):
        merge_answers(MIXED, "mean")  # type: ignore[arg-type]
    with pytest.raises(LabellingError, match="no adjudicators"):
        merge_answers(MIXED, "majority", adjudicators=["ann"])
    with pytest.raises(LabellingError, match="dee gave no answer"):
        merge_answers(MIXED, "adjudication", adjudicators=["Dee"])


@given(
    st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("abcd"), st.sampled_from([0, 1, 2, None])), max_size=12)
)
def test_no_pair_gets_a_grade_that_nobody_gave(rows: list) -> None:
    found = votes(*rows)
    last = {(query, name): grade for query, name, grade in rows if grade is not None}
    if not last:
        return
    for rule in ("majority", "latest", "adjudication"):
        try:
            merged = merge_answers(found, rule)  # type: ignore[arg-type]
        except EmptySplitError:
            continue
        decided, undecided = {row["query"] for row in merged.rows}, {one.query for one in merged.undecided}
        assert decided | undecided == {query for query, _ in last}
        assert not decided & undecided
        for row in merged.rows:
            given = [grade for (query, _), grade in last.items() if query == row["query"]]
            grade = SCALE.parse(row["grade"])
            assert grade in given
            assert rule != "majority" or all(given.count(grade) >= given.count(other) for other in given)


def test_export_and_read_back(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", some_pairs(4, brand=["x", None, "y", "z"]), gold=1, gold_share=0.4)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    for _ in range(3):
        answer(project, ann, 2, note="ok\n“so”", seconds=1.5)
    answer(project, bo, outcome="cannot_tell")
    answer(project, bo, outcome="skip")
    found = read_answers(tmp_path / "a.sqlite")
    export_answers(found, tmp_path / "a.jsonl")
    assert read_answers(tmp_path / "a.jsonl") == found
    assert len(found) == 4
    both = read_answers([tmp_path / "a.jsonl", tmp_path / "a.sqlite"])
    assert merge_answers(both).rows == merge_answers(found).rows  # the same answers twice are one answer
    other = begin(tmp_path / "b.sqlite", 1)
    answer(other, enter(other, "Cy"), 0)
    several = read_answers([tmp_path / "a.sqlite", tmp_path / "b.sqlite"])
    assert {one.annotator for one in several.rows} == {"Ann", "Bo", "Cy"}


def test_line_ends_of_unicode_are_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    found = votes(("a\u2028b", "ann", 1), ("a\u2029b\x85c", "ann", 2), ("a\rb\x0bc", "bo", 0))
    export_answers(found, path)
    assert read_answers(path) == found
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))  # as Windows saves it
    assert read_answers(path) == found
    path.write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="not valid UTF-8"):
        read_answers(path)


def test_what_is_no_export_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    export_answers(MIXED, path)
    good = path.read_text()
    for broken in (
        '{"query": "a"}',
        "[]",
        "{",
        good.splitlines()[0].replace('"strong", "attempt"', '"huge", "attempt"'),
    ):
        path.write_text(good + broken + "\n")
        with pytest.raises(LabellingError, match=rf"x\.jsonl:{len(good.splitlines()) + 1}"):
            read_answers(path)
    path.write_text("\n")
    with pytest.raises(LabellingError, match="no answer yet"):
        read_answers(path)
    with pytest.raises(StorageError):
        read_answers(tmp_path / "none.jsonl")
    export_answers(MIXED, path)
    export_answers(Answers(GradeScale(("a", "b")), []), tmp_path / "y.jsonl")
    other = Answers(GradeScale(("a", "b")), [Answer("q", "i", "ann", "grade", 1)])
    export_answers(other, tmp_path / "y.jsonl")
    with pytest.raises(LabellingError, match="a, b, those before are irrelevant"):
        read_answers([path, tmp_path / "y.jsonl"])


def test_the_merged_file_is_training_data(tmp_path: Path) -> None:
    """The file reads as one more source of a recipe's training pairs, and its undecided pairs can be labelled again."""
    picked = some_pairs(6, prefix="pick", rank=range(1, 7), ood_score=[0.5] * 6, reason=["far"] * 6)
    project = begin(tmp_path / "a.sqlite", picked, labels_per_pair=2)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    for step in range(6):
        answer(project, ann, step % 3, note="hm" if step else "")
        answer(project, bo, step % 3 if step else 2)
    merged = merge_answers(read_answers(tmp_path / "a.sqlite"))
    labelled, conflicts = tmp_path / "labelled.jsonl", tmp_path / "conflicts.jsonl"
    write_merged(merged, labelled, conflicts)
    read = read_pairs(labelled, scale=SCALE)
    assert (read.queries, read.grades.tolist()) == ([f"pick {i}" for i in range(1, 6)], [1, 2, 0, 1, 2])
    assert read.column("rank") == [2, 3, 4, 5, 6]
    assert read.column("label_notes") == ["Ann: hm"] * 5
    assert [json.loads(line)["votes"] for line in conflicts.read_text().splitlines()] == [
        {"Ann": "irrelevant", "Bo": "strong"}
    ]
    again = begin(tmp_path / "b.sqlite", read_pairs(conflicts, scale=SCALE, require_grades=False))
    answer(again, enter(again, "Dee"), 1)
    settled = merge_answers(
        read_answers([tmp_path / "a.sqlite", tmp_path / "b.sqlite"]), "adjudication", adjudicators=["Dee"]
    )
    assert (len(settled.rows), len(settled.undecided)) == (6, 0)
    train, dev = tmp_path / "train.csv", tmp_path / "dev.csv"
    for path, prefix in ((train, "known"), (dev, "held out")):
        PairTable.from_pairs([f"{prefix} {i}" for i in range(9)], ["x"] * 9, [i % 3 for i in range(9)]).to_csv(path)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "grades: [irrelevant, weak, strong]\n"
        f"data: {{train: [{train}, {{path: {labelled}, weight: 2.0}}], dev_id: {dev}, tests: {{id: {dev}}}}}\n"
    )
    splits = load_splits(load_recipe(recipe))
    assert len(splits.train) == 9 + 5


def _grades(merged: object) -> dict[str, str]:
    return {row["query"]: row["grade"] for row in merged.rows}  # type: ignore[attr-defined]

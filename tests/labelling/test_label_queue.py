"""Who gets which pair: leases, skips, undo, labels a pair, hidden checks. On SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from label_world import SCALE, Clock, answer, begin, gold_pairs, some_pairs

from darl.errors import GradeError
from darl.labelling import Database, LabellingError, open_project, read_answers
from darl.labelling.answering import can_undo, enter, record, undo
from darl.labelling.problems import LeaseGoneError
from darl.labelling.progress import progress
from darl.labelling.project import read_project
from darl.labelling.queue import next_task, renew


def test_one_annotator_labels_everything_in_the_files_order(new_database: Any) -> None:
    target = new_database()
    project = begin(
        target, some_pairs(4, ood_score=[0.5, float("nan"), 1.0, 2.0], reason=list("abcd")), show=("reason",)
    )
    ann = enter(project, "Ann")
    assert enter(project, "  aNN ") == ann
    shown = []
    for grade in (0, 1, 2, 1):
        task = next_task(project, ann)
        assert task is not None
        shown.append((task.query, task.fields))
        assert next_task(project, ann) == task  # a reload shows the same pair
        record(project, ann, task.token, "grade", grade=grade, note=" why\x00 ", seconds=2.0)
    assert shown == [(f"query {i}", {"reason": "abcd"[i]}) for i in range(4)]
    assert next_task(project, ann) is None
    found = read_answers(target)
    assert [(one.query, one.grade, one.note, one.seconds) for one in found.rows] == [
        (f"query {i}", grade, "why\ufffd", 2.0) for i, grade in enumerate((0, 1, 2, 1))
    ]
    assert [one.fields.get("ood_score") for one in found.rows] == [0.5, None, 1.0, 2.0]
    assert found.scale == SCALE


def test_two_annotators_never_hold_one_pair_and_a_lease_runs_out(new_database: Any) -> None:
    clock = Clock()
    project = begin(new_database(), 3, now=clock, lease_seconds=60)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    first, second = next_task(project, ann), next_task(project, bo)
    assert first is not None
    assert second is not None
    assert (first.query, second.query) == ("query 0", "query 1")
    clock.time += 40
    assert renew(project, ann, first.token)
    clock.time += 40  # Bo's lease has run out, Ann's was renewed
    assert next_task(project, ann) == first
    cy = enter(project, "Cy")
    third = next_task(project, cy)
    assert third is not None
    assert third.query == "query 1"
    record(project, bo, second.token, "grade", grade=2)  # late, and kept all the same
    record(project, cy, third.token, "grade", grade=0)
    assert not renew(project, cy, third.token)
    found = read_answers(project.database.name if not project.database.is_server else _url(project.database))
    assert [(one.annotator, one.query) for one in found.rows] == [("Bo", "query 1"), ("Cy", "query 1")]


def test_labels_per_pair_and_cannot_tell(new_database: Any) -> None:
    project = begin(new_database(), 2, labels_per_pair=2)
    people = [enter(project, name) for name in ("Ann", "Bo", "Cy")]
    held = [next_task(project, one) for one in people]
    assert [task.query for task in held if task] == ["query 0", "query 0", "query 1"]
    for person, task in zip(people, held, strict=True):
        assert task is not None
        record(project, person, task.token, "cannot_tell")
    # two could not tell query 0: it waits for the third; nobody sees a pair twice
    assert [getattr(answer(project, one), "query", None) for one in people] == ["query 1", "query 1", "query 0"]
    assert [next_task(project, one) for one in people] == [None, None, None]
    assert progress(project).open == 1


def test_overlap_asks_one_more_annotator(new_database: Any) -> None:
    project = begin(new_database(), 40, overlap=0.25)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    while answer(project, ann):
        pass
    seen = 0
    while answer(project, bo):
        seen += 1
    assert 2 <= seen <= 20
    assert progress(project).open == 0


def test_labels_a_pair_and_overlap_change_the_pairs_that_are_there(new_database: Any) -> None:
    target = new_database()
    begin(target, 30, gold=2).database.close()

    def open_grades(**settings: Any) -> int:
        project = open_project(Database(target), settings=settings)
        found = progress(project).open
        project.database.close()
        return found

    assert open_grades() == 30
    assert open_grades(labels_per_pair=3) == 90
    some = open_grades(overlap=0.3) - 90
    assert 0 < some < 30
    assert open_grades(overlap=0.6) > 90 + some
    assert open_grades(labels_per_pair=2, overlap=0.0) == 60
    again = open_project(Database(target))
    for name in ("Ann", "Bo"):
        answer(again, enter(again, name), 2)
    again.database.close()
    assert open_grades(labels_per_pair=1) == 29
    assert len(read_answers(target)) == 2  # nothing that was said is lost


def test_a_skipped_pair_comes_back_at_the_end(new_database: Any) -> None:
    project = begin(new_database(), 3)
    ann = enter(project, "Ann")
    assert getattr(answer(project, ann, outcome="skip"), "skipped", None) is False
    assert [getattr(answer(project, ann), "query", None) for _ in range(2)] == ["query 1", "query 2"]
    again = next_task(project, ann)
    assert again is not None
    assert (again.query, again.skipped) == ("query 0", True)
    record(project, ann, again.token, "skip")
    assert getattr(next_task(project, ann), "query", None) == "query 0"
    bo = enter(project, "Bo")
    assert next_task(project, bo) is None  # Ann holds the last one


def test_undo_goes_back_step_by_step(new_database: Any) -> None:
    project = begin(new_database(), 3)
    ann = enter(project, "Ann")
    assert not can_undo(project, ann)
    assert undo(project, ann) is None
    answer(project, ann, 2, note="sure")
    answer(project, ann, outcome="skip")
    back = undo(project, ann)
    assert back is not None
    assert (back.query, back.previous) == ("query 1", {"outcome": "skip", "grade": None, "note": ""})
    assert next_task(project, ann) == back  # a reload keeps it
    back = undo(project, ann)
    assert back is not None
    assert (back.query, back.previous) == ("query 0", {"outcome": "grade", "grade": 2, "note": "sure"})
    record(project, ann, back.token, "grade", grade=0)
    assert [getattr(answer(project, ann), "query", None) for _ in range(2)] == ["query 1", "query 2"]
    target = project.database.name if not project.database.is_server else _url(project.database)
    assert [one.grade for one in read_answers(target).rows] == [0, 1, 1]


def test_one_token_is_one_answer(new_database: Any) -> None:
    project = begin(new_database(), 3)
    ann, bo = enter(project, "Ann"), enter(project, "Bo")
    task = next_task(project, ann)
    assert task is not None
    for _ in range(2):  # the page did not hear back and sends again
        record(project, ann, task.token, "grade", grade=1)
    assert progress(project, ann).mine == 1
    with pytest.raises(LeaseGoneError):  # another answer is no repetition
        record(project, ann, task.token, "grade", grade=2)
    other = next_task(project, bo)
    assert other is not None
    with pytest.raises(LeaseGoneError):
        record(project, ann, other.token, "grade", grade=1)
    with pytest.raises(LeaseGoneError):
        record(project, ann, "no such token", "grade", grade=1)
    for wrong in ({"outcome": "grade", "grade": 3}, {"outcome": "grade"}, {"outcome": "skip", "grade": 1}):
        with pytest.raises(GradeError):
            record(project, bo, other.token, **wrong)
    for wrong in ({"outcome": "maybe"}, {"outcome": "skip", "note": "x" * 5001}):
        with pytest.raises(LabellingError):
            record(project, bo, other.token, **wrong)
    for name in ("", " \t", "x" * 61):
        with pytest.raises(LabellingError):
            enter(project, name)


def test_gold_and_repeats_come_in_their_share_and_look_like_any_pair(new_database: Any) -> None:
    project = begin(new_database(), 60, gold=12, gold_share=0.2, repeat_share=0.1, repeat_gap=5)
    ann = enter(project, "Ann")
    seen: list[str] = []
    while task := answer(project, ann):
        seen.append(task.query)
    counts = Counter(seen)
    golden = [query for query in seen if query.startswith("gold")]
    repeated = [query for query, count in counts.items() if count == 2]
    assert len(seen) - len(golden) - len(repeated) == 60
    assert len(golden) == 12
    assert max(counts.values()) == 2
    assert abs(len(repeated) - 0.1 * len(seen)) <= 1.5
    for query in repeated:
        first = seen.index(query)
        assert seen.index(query, first + 1) - first > 5
        assert not query.startswith("gold")
    where = [place for place, query in enumerate(seen[:50]) if query.startswith("gold")]
    assert len(where) == pytest.approx(10, abs=1)
    assert len({b - a for a, b in pairwise(where)}) > 1  # not every fifth: it could be foreseen
    rows = read_answers(_target(project)).rows
    assert sum(one.attempt == 1 for one in rows) == len(repeated)
    assert {one.gold for one in rows if one.query.startswith("gold")} == {0, 1, 2}
    figures = progress(project, ann)
    assert (figures.done, figures.total, figures.mine, figures.open) == (len(seen), len(seen), len(seen), 0)


def test_progress_never_gives_a_check_away(new_database: Any) -> None:
    project = begin(new_database(), 24, gold=6, gold_share=0.2, repeat_share=0.1, now=Clock())
    ann = enter(project, "Ann")
    assert progress(project, ann).seconds_left is None
    before = progress(project, ann)
    while answer(project, ann, seconds=4.0):
        now = progress(project, ann)
        assert now.done == before.done + 1
        if now.open > 3:  # towards the end the estimate has to meet the truth
            assert now.total == before.total
            assert now.seconds_left == pytest.approx(4.0 * (now.total - now.done))
        before = now


def test_a_project_goes_on_where_it_stopped(new_database: Any) -> None:
    target = new_database()
    project = begin(target, 3, guideline="old")
    ann = enter(project, "Ann")
    answer(project, ann, 2)
    held = next_task(project, ann)
    project.database.close()
    again = open_project(Database(target, create=True), some_pairs(5), gold=gold_pairs(1), settings={"gold_share": 0.1})
    assert again.scale == SCALE
    assert (again.settings.guideline, again.settings.gold_share) == ("old", 0.1)
    assert next_task(again, enter(again, "ann")) == held
    assert progress(again).open == 4
    again.database.close()
    assert read_project(Database(target)).settings == again.settings
    with pytest.raises(LabellingError, match="irrelevant, weak, strong, not bad, good"):
        open_project(Database(target), scale=type(SCALE)(("bad", "good")))


def test_many_at_once_get_disjoint_pairs(new_database: Any) -> None:
    target = new_database()
    project = begin(target, 24)
    seen: list[list[str]] = [[] for _ in range(4)]

    def work(number: int) -> None:
        own = read_project(Database(target))
        person = enter(own, f"person {number}")
        while task := answer(own, person):
            seen[number].append(task.query)
        own.database.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(query for one in seen for query in one) == sorted(f"query {i}" for i in range(24))
    assert progress(project).open == 0


def _target(project: Any) -> str:
    return _url(project.database) if project.database.is_server else project.database.name


def _url(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)

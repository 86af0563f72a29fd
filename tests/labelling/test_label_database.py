"""The database: durable settings, named errors, nothing lost when the server is killed."""

from __future__ import annotations

import threading
import urllib.error
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from label_world import SCALE, Command, answer, begin, call, in_thread, some_pairs

from darl.errors import EmptySplitError, GradeError
from darl.labelling import Database, LabellingError, LabelSettings, open_project, read_answers
from darl.labelling.answering import enter
from darl.labelling.files import read_ungraded
from darl.labelling.project import default_file, read_project
from darl.pairs import PairTable


def test_sqlite_writes_through_to_the_disk(tmp_path: Path) -> None:
    database = Database(tmp_path / "deep" / "labels.sqlite", create=True)
    with database.reading() as connection:
        said = {
            name: connection.execute(sa.text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert said == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_postgresql_commits_to_the_disk(postgres: str) -> None:
    database = Database(postgres.replace("/NAME", "/postgres"), create=True)
    with database.reading() as connection:
        assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"
    database.close()


def test_what_is_no_labelling_database_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabellingError, match="no such labelling database"):
        Database(tmp_path / "none.sqlite")
    text = tmp_path / "text.sqlite"
    text.write_text("this is a letter, and a long one at that\n" * 50)
    for create in (True, False):
        with pytest.raises(LabellingError, match=r"text\.sqlite.*cannot be used"):
            Database(text, create=create)
    assert text.read_text().startswith("this is a letter")
    empty = tmp_path / "empty.sqlite"
    empty.touch()
    with pytest.raises(LabellingError, match="no labelling database"):
        Database(empty)
    with pytest.raises(LabellingError, match="mysql://"):
        Database("mysql://host/labels")
    with pytest.raises(LabellingError, match="cannot be used") as caught:
        Database("postgresql://ann:secret@127.0.0.1:9/labels?connect_timeout=2")
    assert "secret" not in str(caught.value)
    with pytest.raises(LabellingError, match="holds no project"):
        read_project(Database(tmp_path / "new.sqlite", create=True))
    with pytest.raises(LabellingError, match="holds no project"):
        read_answers(tmp_path / "new.sqlite")


def test_what_a_project_cannot_begin_with(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.sqlite", create=True)
    with pytest.raises(LabellingError, match="no grades are given"):
        open_project(database, some_pairs(2))
    with pytest.raises(LabellingError, match="no pairs are given"):
        open_project(database, scale=SCALE)
    with pytest.raises(LabellingError, match="no column 'brand'"):
        open_project(database, some_pairs(2), scale=SCALE, settings={"show": ("brand",)})
    off = PairTable.from_pairs(["a"], ["b"], [3])
    with pytest.raises(GradeError, match="gold grade 3"):
        open_project(database, some_pairs(2), scale=SCALE, gold=off)
    with pytest.raises(LabellingError):  # nothing half-begun was left
        read_project(database)
    for wrong in (
        {"gold_share": 0.5},
        {"repeat_share": -0.1},
        {"overlap": 2.0},
        {"labels_per_pair": 0},
        {"lease_seconds": 0},
        {"repeat_gap": -1},
    ):
        with pytest.raises(LabellingError, match=next(iter(wrong))):
            LabelSettings(**wrong)


def test_gold_is_not_labelled_and_grades_of_the_file_are_not_kept(tmp_path: Path) -> None:
    pairs = PairTable.from_pairs(["q", "gold 0", "q"], ["a", "item 0", "b"], [2, 1, None])
    project = begin(tmp_path / "a.sqlite", pairs, gold=1)
    ann = enter(project, "Ann")
    assert [getattr(answer(project, ann), "item", None) for _ in range(3)] == ["a", "b", None]
    assert all("grade" not in one.fields for one in read_answers(tmp_path / "a.sqlite").rows)


def test_grades_of_another_scale_are_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("query,product_title,stars,label\na,b,1,seven\na,b,2,-1\nc,d,9,none\n")
    for columns in ({}, {"grade": "stars"}):
        table = read_ungraded(path, SCALE, columns)
        assert (table.queries, table.items, table.has_grades) == (["a", "c"], ["b", "d"], False)
        assert table.has("stars") == (not columns)
    assert read_ungraded(path, None, {"item": "label"}).items == ["seven", "-1", "none"]


def test_each_file_of_pairs_has_a_project_of_its_own() -> None:
    names = (
        "round.1.jsonl",
        "round.2.jsonl",
        "round.jsonl",
        "round.1.csv.gz",
        "round.PARQUET",
        "round.2024",
        ".hidden",
    )
    assert [default_file(f"a/{name}").name.removesuffix(".labels.sqlite") for name in names] == [
        "round.1", "round.2", "round", "round.1", "round", "round.2024", ".hidden",
    ]  # fmt: skip


def test_a_killed_server_loses_no_answer(new_database: Any, tmp_path: Path) -> None:
    """Three people label while the server is killed: what it acknowledged stands, what is sent again is one answer."""
    target, pairs = new_database(), tmp_path / "pairs.jsonl"
    some_pairs(400).to_jsonl(pairs)
    options = (pairs, "--grades", "irrelevant,weak,strong", "--db", target, "--repeat-share", 0)
    acknowledged: list[tuple[str, str, int]] = []
    in_flight: dict[str, dict[str, Any]] = {}

    def work(url: str, name: str) -> None:
        _, state = call(url, "api/next", {"annotator": name})
        for step in range(200):
            grade = step % 3
            said = {"annotator": name, "token": state["task"]["token"], "outcome": "grade", "grade": grade}
            in_flight[name] = said
            try:
                status, after = call(url, "api/answer", said)
            except (urllib.error.URLError, OSError):
                return
            assert status == 200
            acknowledged.append((name, state["task"]["query"], grade))
            state = after

    with Command(*options, "--port", 0) as server:
        people = [threading.Thread(target=work, args=(server.url, name)) for name in ("Ann", "Bo", "Cy")]
        for person in people:
            person.start()
        while len(acknowledged) < 25:
            people[0].join(0.005)
        server.kill()
        for person in people:
            person.join()
    with in_thread(read_project(Database(target))) as url:  # started again, it takes what was on its way
        for said in in_flight.values():
            assert call(url, "api/answer", said)[0] == 200
    kept = [(one.annotator, one.query, one.grade) for one in read_answers(target).rows]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len({query for _, query, _ in kept}) <= len(acknowledged) + 3


def test_nothing_answered_is_nothing_to_merge(tmp_path: Path) -> None:
    from darl.labelling import merge_answers

    begin(tmp_path / "a.sqlite", 2)
    with pytest.raises(EmptySplitError):
        merge_answers(read_answers(tmp_path / "a.sqlite"))

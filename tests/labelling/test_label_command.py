"""`darl label …` as people type it: every command of docs/labelling.md, in order, and the mistakes they make."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from label_world import answer, begin, gold_pairs, some_pairs
from typer.testing import CliRunner

from darl.cli.main import app
from darl.labelling import Database, open_project
from darl.labelling.answering import enter
from darl.labelling.serving import Address
from darl.labelling.tables import pairs, sa

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "labelling.md"


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["label", *map(str, arguments)])
    assert result.exit_code == code, result.output + result.stderr
    return result


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the page would be served with. In place of a browser, two or three people label what there is."""
    import darl.labelling.serving as serving

    calls: list[dict[str, Any]] = []

    def serve(project: Any, *, ready: Any, **given: Any) -> None:
        calls.append({"project": project, **given})
        ready(Address(given["host"], given["port"], None))
        names = ("Dee",) if "conflicts" in project.database.name else ("Ann", "Bo")
        people = [enter(project, name) for name in names]
        for step in range(30):
            answer(project, people[step % len(people)], (step // 2) % 3)

    monkeypatch.setattr(serving, "serve_page", serve)
    return calls


def test_every_command_of_the_guide(
    served: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    some_pairs(12, brand=["x"] * 12).to_jsonl("picked.jsonl")
    gold_pairs(4).to_jsonl("gold.jsonl")
    Path("guide.md").write_text("# Be fair")
    text = GUIDE.read_text(encoding="utf-8")
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL))
    commands = [shlex.split(line)[2:] for line in blocks.splitlines() if line.startswith("darl label ")]
    assert len(commands) == 9
    for command in commands:
        # the team's server is a file here, on which everybody graded every pair
        command = ["team.sqlite" if part.startswith("postgresql://") else part for part in command]
        if "--conflicts" in command:
            begin_conflict(Path("picked.labels.sqlite"))
        run(*command)
    first, *_ = served
    assert (first["project"].scale.size, first["project"].settings.guideline) == (3, "# Be fair")
    assert [one["host"] for one in served] == ["127.0.0.1", "0.0.0.0", "127.0.0.1", "127.0.0.1"]
    labelled = [json.loads(line) for line in Path("labelled.jsonl").read_text().splitlines()]
    assert len(labelled) == 12
    assert {row["brand"] for row in labelled} == {"x"}
    assert "Dee" in {row["labelled_by"].rpartition(", ")[2] for row in labelled}
    assert len(Path("answers.jsonl").read_text().splitlines()) > 12
    options = set(re.findall(r"`(--[\w-]+)", text))
    helps = "".join(CliRunner().invoke(app, ["label", verb, "--help"], env={"COLUMNS": "300"}).output for verb in VERBS)
    assert options <= set(re.findall(r"--[\w-]+", helps))


VERBS = ("page", "export", "merge", "agreement")


def begin_conflict(path: Path) -> None:
    """Ann and Bo differ on the first pair."""
    project = open_project(Database(path), settings={"gold_share": 0.0, "repeat_share": 0.0})
    with project.database.writing() as connection:
        connection.execute(sa.update(pairs).where(pairs.c.query == "query 0").values(wanted=2))
    for name in ("Ann", "Bo"):
        answer(project, enter(project, name), 2)
    project.database.close()


def test_json_and_saved_reports(tmp_path: Path) -> None:
    project = begin(tmp_path / "a.sqlite", 4, labels_per_pair=2)
    for name, grades in (("Ann", (0, 1, 2, 2)), ("Bo", (0, 1, 1, 2))):
        for grade in grades:
            answer(project, enter(project, name), grade)
    out = tmp_path / "out.jsonl"
    report = json.loads(run("merge", tmp_path / "a.sqlite", "-o", out, "--output", "json").stdout)
    assert (report["pairs"], report["undecided"], report["conflicts"][0]["votes"]) == (
        3,
        1,
        {"Ann": "strong", "Bo": "weak"},
    )
    assert "1 undecided and left out" in run("merge", tmp_path / "a.sqlite", "-o", out).stdout
    saved = tmp_path / "agreement.json"
    shown = json.loads(run("agreement", tmp_path / "a.sqlite", "--output", "json", "--save", saved).stdout)
    assert shown == json.loads(saved.read_text())
    assert shown["between"][0]["share"] == 0.75
    run("export", tmp_path / "a.sqlite", "-o", tmp_path / "e.jsonl")
    assert "75% of 4" in run("agreement", tmp_path / "e.jsonl").stdout


def test_grades_from_a_recipe_a_model_or_the_project(served: list[dict[str, Any]], tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    some_pairs(2).to_jsonl(file)
    (tmp_path / "run" / "model").mkdir(parents=True)
    scale = {"names": ["bad", "fair", "good"], "gains": [0, 1, 2]}
    (tmp_path / "run" / "model" / "darl.json").write_text(json.dumps({"scale": scale}))
    for number, given in enumerate((tmp_path / "run", tmp_path / "run" / "model", "bad, fair, good")):
        run("--grades", given, file, "--db", tmp_path / f"{number}.sqlite", "--port", 0)
    run(file, "--db", tmp_path / "0.sqlite")  # the project knows its grades
    assert {one["project"].scale.names for one in served} == {("bad", "fair", "good")}


def test_mistakes_are_named(served: list[dict[str, Any]], tmp_path: Path) -> None:
    file, database = tmp_path / "p.jsonl", tmp_path / "d.sqlite"
    some_pairs(2).to_jsonl(file)
    assert "no grades are given" in run(file, "--db", database, code=2).stderr
    assert "neither a list of grades nor a recipe" in run(file, "--grades", "nope", "--db", database, code=2).stderr
    assert (
        "no column 'brand'"
        in run(file, "--grades", "a,b", "--show", "brand", "--db", tmp_path / "e.sqlite", code=2).stderr
    )
    assert (
        "no such file"
        in run(file, "--grades", "a,b,c", "--guideline", tmp_path / "g.md", "--db", database, code=2).stderr
    )
    assert "no such labelling database" in run("merge", tmp_path / "x.sqlite", "-o", "o.jsonl", code=2).stderr
    run(file, "--grades", "a,b,c", "--db", database)
    assert "the project's grades are a, b, c, not a, b" in run(file, "--grades", "a,b", "--db", database, code=2).stderr
    assert len(served) == 1

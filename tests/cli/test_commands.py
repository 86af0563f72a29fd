"""The commands as people run them, on a small random model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from darl.cli.arguments import filters, mapping, named_files
from darl.cli.main import app
from small_model import make_small_model, write_graded_csv


@pytest.fixture(scope="module")
def small_model(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_encoder, tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def graded_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graded_csv(tmp_path_factory.mktemp("graded"))


def run(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output + result.stderr
    return result


# ------------------------------------------------------------------------------------------- arguments


def test_files_are_named(tmp_path: Path) -> None:
    odd = tmp_path / "a=b.csv"
    odd.touch()
    assert named_files([f"id={odd}", "x/far.v2.jsonl.gz"]) == {"id": str(odd), "far": "x/far.v2.jsonl.gz"}
    assert named_files([str(odd)]) == {"a=b": str(odd)}
    with pytest.raises(typer.BadParameter, match="two files"):
        named_files(["a/test.csv", "b/test.csv"])


def test_mappings_and_filters() -> None:
    with pytest.raises(typer.BadParameter, match="NAME=COLUMN"):
        mapping(["query"], "--columns")
    assert filters(["a=1", "a=2", "a=3", "b="]) == {"a": ["1", "2", "3"], "b": None}
    assert filters(["ns:key=1"], ["id"]) == {"ns:key": "1"}
    with pytest.raises(typer.BadParameter):
        filters(["split"])
    for both in (["id=5", "id:split=a"], ["id:split=a", "id=5"]):
        with pytest.raises(typer.BadParameter, match="'id' is both a column and a split"):
            filters(both, ["id"])


# ------------------------------------------------------------------------------------ evaluate, compare


def test_evaluate(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    saved = tmp_path / "out" / "eval.json"
    arguments = ("evaluate", small_model, f"id={graded_csv}", f"far={graded_csv}", "--bootstrap", 20, "--min-slice", 5)
    arguments += ("--slices", "domain", "--where", "far:domain=shoes", "--save", saved, "-q")
    result = run(*arguments)
    assert "macro-F1" in result.stdout
    assert "gap" in result.stdout
    data = json.loads(saved.read_text())
    assert data["id_split"] == "id"
    assert (data["splits"]["id"]["pairs"], data["splits"]["far"]["pairs"]) == (60, 30)
    assert json.loads(run(*arguments, "--output", "json").stdout) == data
    assert "| macro-F1" in run(*arguments, "--output", "markdown").stdout
    assert "choose from id, far" in run(*arguments, "--id", "near", code=2).stderr


def test_compare(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    copy = tmp_path / "second"
    copy.symlink_to(small_model)
    result = run("compare", small_model, copy, graded_csv, "--bootstrap", 20, "-q")
    assert "no difference" in result.stdout
    data = json.loads(run("compare", small_model, copy, graded_csv, "--bootstrap", 20, "--output", "json").stdout)
    assert data["test"]["b"] == "second"


# ------------------------------------------------------------------------------------------------ score


def test_score(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    out = tmp_path / "scored.jsonl"
    result = run("score", small_model, graded_csv, "-o", out, "--output", "json", "-q")
    assert json.loads(result.stdout)["pairs"] == 60
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["title"] for row in rows] == [f"item number {i}" for i in range(60)]
    assert {"label", "grade", "ood_percentile"} <= set(rows[0])
    result = run("score", small_model, graded_csv, "-o", out, "--no-ood", "--prefix", "m_", "--where", "domain=pets")
    assert "30 pairs" in result.stdout
    assert "m_ood_score" not in out.read_text()
    before = out.read_bytes()
    bad = run("score", small_model, graded_csv, "-o", out, "--columns", "item=nope", code=2)
    assert "nope" in bad.stderr
    assert out.read_bytes() == before
    assert "no such model" in run("score", tmp_path / "none", graded_csv, "-o", out, code=2).stderr


# ----------------------------------------------------------------------------------------------- select


def test_select(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    pool, out, test = tmp_path / "pool.csv", tmp_path / "picked.jsonl", tmp_path / "judge.csv"
    pool.write_text("ask,title\n" + "".join(f"pool query {i % 9},pool item {i}\n" for i in range(40)))
    test.write_text("ask,title,label\npool query 0,some item,1\n")
    columns = ("--columns", "query=ask")
    result = run(
        "select", small_model, pool, "--budget", 6, "-o", out, "--against", test, *columns, "--output", "json", "-q"
    )
    report = json.loads(result.stdout)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert report["picked"] == len(rows) == 6
    assert all(row["reason"] for row in rows)
    assert "pool query 0" not in {row["query"] for row in rows}
    again = tmp_path / "again.jsonl"
    run("select", small_model, pool, "--budget", 6, "-o", again, "--already", out, *columns, "-q", "--explain")
    assert not {row["item"] for row in rows} & {json.loads(line)["item"] for line in again.read_text().splitlines()}
    assert "known format" in run("select", small_model, pool, "--budget", 1, "-o", tmp_path / "x.doc", code=2).stderr


def test_a_model_in_its_run_brings_its_own_guards(small_model: Path, graded_csv: Path, tmp_path: Path) -> None:
    from darl.verbs.run_data import run_splits

    assert run_splits(small_model) is None
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model").mkdir()
    for file in small_model.iterdir():
        (folder / "model" / file.name).write_bytes(file.read_bytes())
    train = tmp_path / "train.csv"
    train.write_text("query,title,label\n" + "".join(f"t{i},thing {i},{i % 3}\n" for i in range(9)))
    recipe = f"grades: [bad, fair, good]\ndata: {{train: {train}, dev_id: {graded_csv}}}\n"
    (folder / "recipe.yaml").write_text(recipe)
    pool = tmp_path / "pool.csv"
    pool.write_text("query,title\nquery 1,a leaking one\nt1,thing 1\nnew words,new item\n")
    out = tmp_path / "picked.jsonl"
    result = run("select", folder, pool, "--budget", 3, "-o", out, "-q")
    assert "dev_id" in result.stderr
    assert [json.loads(line)["query"] for line in out.read_text().splitlines()] == ["new words"]
    assert "no pool is named" in run("select", folder, "--budget", 3, "-o", out, "-q", code=2).stderr
    (folder / "recipe.yaml").write_text(
        recipe.replace("}\n", f", pool: {{path: {pool}, where: {{title: a new item}}}}}}\n")
    )
    pool.write_text("query,title\nnew words,a new item\nmore words,another item\n")
    run("select", folder, "--budget", 3, "-o", out, "-q")
    assert [json.loads(line)["query"] for line in out.read_text().splitlines()] == ["new words"]
    run("select", folder, pool, "--where", "title=another item", "--budget", 3, "-o", out, "-q")
    assert [json.loads(line)["query"] for line in out.read_text().splitlines()] == ["more words"]
    (folder / "recipe.yaml").write_text(recipe)
    pool.write_text("query,title\nquery 1,a leaking one\nmore words,another item\nnew words,a new item\n")
    far = tmp_path / "dev_id.csv"
    far.write_text("query,title,label\nmore words,x,1\n")
    for more in ((), ("--train", train)):  # sets that are given guard beside those of the run
        result = run("select", folder, pool, "--budget", 3, "-o", out, "-q", "--against", far, *more)
        assert "guarding against the run's own dev_id, dev_id" in result.stderr
        assert [json.loads(line)["query"] for line in out.read_text().splitlines()] == ["new words"]
    train.unlink()
    assert "--train and --against" in run("select", folder, pool, "--budget", 3, "-o", out, code=2).stderr
    result = run("select", folder, pool, "--budget", 3, "-o", out, "-q", "--against", far, "--train", graded_csv)
    assert "the run's own pairs guard nothing" in result.stderr


# ------------------------------------------------------------------------- recipe, backbones, doctor, fit


def test_recipe(tmp_path: Path, graded_csv: Path) -> None:
    path = tmp_path / "r.yaml"
    assert "wrote" in run("recipe", "init", path).stdout
    assert "--force" in run("recipe", "init", path, code=2).stderr
    run("recipe", "init", path, "--force", "--train", graded_csv)
    shown = run("recipe", "show", path, "tune.epochs=1").stdout
    assert "epochs: 1.0" in shown
    assert str(graded_csv) in shown
    assert "item: title" in shown
    assert "unknown key" in run("recipe", "show", path, "tune.epocs=1", code=2).stderr
    assert json.loads(run("recipe", "schema").stdout)["title"] == "darl recipe"


def test_a_recipe_begins_from_a_file_with_columns_of_its_own(tmp_path: Path) -> None:
    path, pairs = tmp_path / "r.yaml", tmp_path / "own.csv"
    pairs.write_text("phrase,article,verdict,visit\nred pot,Pot,3,a\nrake,Spade,1,b\n")
    names = "query=phrase,item=article,grade=verdict,query_id=visit"
    assert "no column 'query'" in run("recipe", "init", path, "--train", pairs, code=2).stderr
    assert "alphabetical" not in run("recipe", "init", path, "--train", pairs, "--columns", names).stderr
    shown = run("recipe", "show", path).stdout
    assert all(f"{ours}: {theirs}" in shown for ours, theirs in mapping([names], "--columns").items())
    assert "--train" in run("recipe", "init", tmp_path / "s.yaml", "--columns", names, code=2).stderr


def test_backbones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_CACHE", str(tmp_path))
    listed = json.loads(run("backbones", "--output", "json").stdout)
    assert {"minilm-l6", "smollm2-135m"} <= {one["name"] for one in listed}
    assert not any(one["fetched"] for one in listed)
    assert "minilm-l6" in run("backbones").stdout
    assert "no embedded backbone" in run("backbones", "fetch", "nope", code=2).stderr


def test_fit_prints_json_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import darl.training.pipeline as pipeline

    seen: dict[str, Any] = {}

    def fake(recipe: Path, **given: Any) -> pipeline.FitResult:
        print("a library prints to standard output")
        seen.update(given, recipe=recipe)
        return pipeline.FitResult(tmp_path, tmp_path / "model", {"seconds": 1.0}, None, "the table")

    monkeypatch.setattr(pipeline, "fit", fake)
    result = run("fit", "r.yaml", "tune.epochs=1", "seed=2", "--run", tmp_path, "--redo", "--output", "json")
    assert json.loads(result.stdout)["metrics"] == {"seconds": 1.0}
    assert "a library prints" in result.stderr
    assert seen["overrides"] == ["tune.epochs=1", "seed=2"]
    assert seen["redo"] is True
    assert "the table" in run("fit", "r.yaml").stdout
    select = f"next:  darl select {tmp_path / 'model'} "
    saved = "grades: [no, yes]\ndata:\n  train: a.csv\n  columns: {query: my words, item: article, grade: verdict}\n"
    (tmp_path / "recipe.yaml").write_text(saved)
    assert f"{select}POOL --columns 'query=my words,item=article' --budget" in run("fit", "r.yaml").stdout
    (tmp_path / "recipe.yaml").write_text(f"{saved}  pool: pool.csv\n")  # which is read with the recipe's columns
    assert f"{select}--budget" in run("fit", "r.yaml").stdout


def test_fit_that_waits_for_labels_says_which_commands_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    import darl.training.pipeline as pipeline
    from darl.errors import LabelsAwaitedError

    def fake(recipe: Path, **given: Any) -> pipeline.FitResult:
        raise LabelsAwaitedError(
            "5 pairs wait", where="p", mend="label them", picked="p", labelled="l", commands=("darl label p", "merge")
        )

    monkeypatch.setattr(pipeline, "fit", fake)
    result = run("fit", "r.yaml", "data.columns={item: my title}", "--run", "out", code=3)
    for line in ("5 pairs wait: p", "darl label p", "darl fit r.yaml 'data.columns={item: my title}' --run out"):
        assert line in result.stdout
    said = json.loads(run("fit", "r.yaml", "--output", "json", code=3).stdout)
    assert said == {
        "awaited": {"picked": "p", "labelled": "l"},
        "commands": ["darl label p", "merge", "darl fit r.yaml"],
    }


def test_demo_may_only_write_its_pairs(tmp_path: Path) -> None:
    run("demo", "--data-only", "--quick", "--folder", tmp_path)
    names = {path.stem for path in (tmp_path / "data").glob("*.jsonl")}
    assert names == {"train", "dev_id", "dev_ood", "pool", "test_id", "test_ood"}
    assert not (tmp_path / "runs").exists()


def test_demo_calls_the_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import darl.demo.job as job

    seen: list[Any] = []
    monkeypatch.setattr(job, "run_demo", lambda folder, **given: seen.append((folder, given)))
    run("demo", "--quick", "--folder", tmp_path, "--no-keep", "--backbone", "x")
    assert seen == [(tmp_path, {"quick": True, "keep": False, "backbone": "x"})]

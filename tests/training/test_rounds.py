"""Rounds of labels on a tiny model: what each leaves, what is never picked, what is refused, and where it waits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rounds_world import LOOSE, rounds_dict, write_pool

from darl.dasa import UnlabelledPicksError
from darl.errors import DataError, LabelsAwaitedError, MissingColumnError, RunError
from darl.pairs import read_pairs
from darl.pairs.leaks import find_leaks
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.storage import read_json, sha256_file
from darl.training.pipeline import FitResult, fit
from darl.training.rounds import round_recipe
from darl.training.splits import load_splits


@pytest.fixture(scope="module")
def pool(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pool(world, tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def done(world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    """Two rounds of six labels each, from the pool's own grades; every model that is new is kept or mixed."""
    recipe = Recipe.model_validate(rounds_dict(world, tiny_encoder, pool))
    return fit(recipe, run=tmp_path_factory.mktemp("rounds") / "run", quiet=True)


def labelled(folder: Path, number: int) -> list[dict[str, Any]]:
    text = (folder / "rounds" / str(number) / "stages" / "label" / "labelled.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def key(row: dict[str, Any]) -> tuple[str, str]:
    return row["query"], row["item"]


# --------------------------------------------------------------------------------------------- finished


def test_every_round_is_an_ordinary_run_and_the_whole_is_one(done: FitResult) -> None:
    sizes = {name: read_json(done.folder / name / "metrics.json")["sizes"]["train"] for name in done.metrics["rounds"]}
    assert sizes == {"rounds/0": 96, "rounds/1": 102, "rounds/2": 108}
    for folder in (done.folder, *(done.folder / name for name in sizes)):
        recipe = load_recipe(folder / "recipe.yaml")
        assert recipe.rounds is None
        assert len(load_splits(recipe).train) == read_json(folder / "metrics.json")["sizes"]["train"]
    last = done.folder / "rounds" / "2" / "model" / "model.safetensors"
    assert sha256_file(done.model_path / "model.safetensors") == sha256_file(last)


def test_nothing_is_picked_twice_and_no_evaluation_query_ever(done: FitResult, world: dict[str, str]) -> None:
    picked = [read_pairs(done.folder / "rounds" / n / "picked.jsonl", require_grades=False) for n in ("1", "2")]
    assert [len(table) for table in picked] == [6, 6]
    both = picked[0].concat(picked[1])
    assert len(set(zip(both.queries, both.items, strict=True))) == 12
    judging = {name: read_pairs(world[name]) for name in ("dev_id", "dev_ood", "test_id", "test_far")}
    assert find_leaks(both, judging).clean
    report = read_json(done.folder / "rounds" / "1" / "stages" / "select" / "report.json")
    assert report["guards"]["leak"]["dropped"] == 3


def test_each_labelled_pair_says_where_it_came_from_and_has_the_pools_grade(done: FitResult, pool: Path) -> None:
    truth = {key(row): row["grade"] for row in map(json.loads, pool.read_text(encoding="utf-8").splitlines())}
    for number in (1, 2):
        for row in labelled(done.folder, number):
            assert (row["round"], row["strategy"], row["source"]) == (number, "coverage", "dasa")
            assert row["grade"] == truth[key(row)]
            assert "reason" not in row  # what the selection said stays in picked.jsonl


def test_the_choice_is_held_against_the_model_before(done: FitResult) -> None:
    for number in (1, 2):
        choice = read_json(done.folder / "rounds" / str(number) / "metrics.json")["choices"]["augment"]
        assert [one["alpha"] for one in choice["candidates"]] == [0.0, 0.5, 1.0]
        before, best = choice["candidates"][0], choice["alpha"]
        kept = next(one for one in choice["candidates"] if one["alpha"] == best)
        assert kept["ood_value"] >= before["ood_value"]


def test_the_learning_curve_is_in_the_metrics_and_the_summary(done: FitResult) -> None:
    metrics = read_json(done.folder / "metrics.json")
    assert metrics["name"] == "small"
    assert [(row["round"], row["training pairs"], row["set"]) for row in metrics["curve"]] == [
        (number, pairs, name) for number, pairs in enumerate((96, 102, 108)) for name in ("id", "far")
    ]
    last = read_json(done.folder / "rounds" / "2" / "metrics.json")["evaluation"]
    assert metrics["evaluation"] == last
    row = metrics["curve"][-1]
    assert row["low"] <= row["figure"] <= row["high"]
    assert "Learning curve: macro-F1 by round" in (done.folder / "summary.txt").read_text(encoding="utf-8")


def test_the_same_command_does_nothing_again(
    done: FitResult, world: dict[str, str], tiny_encoder: Path, pool: Path
) -> None:
    def times() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in done.folder.rglob("stages/*/stage.json")}

    before = times()
    assert len(before) == 3 + 6 + 6  # tune, interpolate, finish; and select, label, augment
    again = fit(Recipe.model_validate(rounds_dict(world, tiny_encoder, pool)), run=done.folder, quiet=True)
    assert times() == before
    assert again.metrics["evaluation"] == done.metrics["evaluation"]
    assert not (done.folder / "rounds" / "1" / "pool").exists()


def test_the_report_draws_the_curve_by_itself(done: FitResult) -> None:
    from darl.report.rounds import rounds_part
    from darl.report.runs import open_run
    from darl.report.stages import steps_of

    run = open_run(done.folder)
    assert run.earlier_rounds == [done.folder / "rounds" / "0", done.folder / "rounds" / "1"]
    part = rounds_part(run, [open_run(folder) for folder in run.earlier_rounds])
    (chart,) = part.charts
    mine = [(row["training pairs"], row["set"], row["figure"]) for row in done.metrics["curve"]]
    assert [(row["training pairs"], row["set"], row["figure"]) for row in chart.data] == mine
    assert "augment" in [step.stage for step in steps_of(run)]


# ---------------------------------------------------------------------------------- waiting, and refusing


def test_it_waits_for_labels_and_falls_back_where_they_do_not_gain(
    world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path
) -> None:
    strict = {**LOOSE, "min_gain": 1.0}  # no labels can gain so much
    changes: dict[str, Any] = {"interpolate": strict, "rounds": {"labels": None, "count": 1}}
    recipe = Recipe.model_validate(rounds_dict(world, tiny_encoder, pool, **changes))
    run, file = tmp_path / "run", tmp_path / "run" / "rounds" / "1" / "labelled.jsonl"
    with pytest.raises(LabelsAwaitedError, match="6 picked pairs wait") as waiting:
        fit(recipe, run=run, quiet=True)
    assert Path(waiting.value.picked) == run / "rounds" / "1" / "picked.jsonl"
    assert waiting.value.labelled == str(file)
    assert waiting.value.exit_code == 3
    picks = [json.loads(line) for line in Path(waiting.value.picked).read_text(encoding="utf-8").splitlines()]

    def give(rows: list[dict[str, Any]]) -> None:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    graded = [{"query": row["query"], "item": row["item"], "label": "weak"} for row in reversed(picks)]
    give([{"phrase": row["query"], "item": row["item"], "grade": "weak"} for row in picks])
    with pytest.raises(MissingColumnError, match="no column 'query'") as lacking:
        fit(recipe, run=run, quiet=True)
    assert "so named whatever data.columns says" in str(lacking.value.mend)
    give(graded[1:])
    with pytest.raises(UnlabelledPicksError, match="1 of 6 picks have no label"):
        fit(recipe, run=run, quiet=True)
    give([*graded, {"query": "nobody picked", "item": "this pair", "label": "weak"}])
    with pytest.raises(DataError, match=r"1 of 7 labelled pairs were not picked: .*labelled.jsonl:7"):
        fit(recipe, run=run, quiet=True)
    give(graded)
    result = fit(recipe, run=run, quiet=True)

    choice = result.metrics["choices"]["augment"]
    assert choice["alpha"] == 0.0
    assert choice["why"].startswith("kept the model from before the labels")
    assert "The new labels alone moved dev_id" in choice["why"]
    for name in ("model.safetensors", "ood.safetensors", "darl.json"):
        assert sha256_file(result.model_path / name) == sha256_file(run / "rounds" / "0" / "model" / name)
    assert result.evaluation is not None
    assert result.metrics["evaluation"] == read_json(run / "rounds" / "0" / "metrics.json")["evaluation"]
    assert "the one before" in result.summary

    file.unlink()  # it was used, so it is not asked for again
    more = recipe.model_copy(update={"rounds": recipe.rounds.model_copy(update={"count": 2})})  # type: ignore[union-attr]
    with pytest.raises(LabelsAwaitedError) as waiting:
        fit(more, run=run, quiet=True)
    assert Path(waiting.value.picked).parent.name == "2"
    second = Path(waiting.value.picked).read_text(encoding="utf-8").splitlines()
    assert not {key(json.loads(line)) for line in second} & {key(row) for row in picks}


def test_a_folder_of_the_other_kind_is_refused(
    done: FitResult, world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path
) -> None:
    plain = Recipe.model_validate({**rounds_dict(world, tiny_encoder, pool), "rounds": None})
    with pytest.raises(RunError, match="a run with rounds"):
        fit(plain, run=done.folder, quiet=True)
    shutil.copy(done.folder / "recipe.yaml", tmp_path)
    with pytest.raises(RunError, match="a run without rounds"):
        fit(Recipe.model_validate(rounds_dict(world, tiny_encoder, pool)), run=tmp_path, quiet=True)


def test_other_rounds_are_refused(done: FitResult, world: dict[str, str], tiny_encoder: Path, pool: Path) -> None:
    changed = Recipe.model_validate(rounds_dict(world, tiny_encoder, pool, rounds={"budget": 7}))
    with pytest.raises(RunError, match=r"changed: rounds\.budget"):
        fit(changed, run=done.folder, quiet=True)


# ------------------------------------------------------------------------------------- recipes of rounds


def test_labels_come_with_their_weight_and_nothing_is_cut_from_them(
    world: dict[str, str], tiny_encoder: Path, pool: Path, tmp_path: Path
) -> None:
    plain = rounds_dict(world, tiny_encoder, pool, rounds={"weight": 2.5})
    renamed = tmp_path / "train.jsonl"
    renamed.write_text(Path(world["train"]).read_text(encoding="utf-8").replace('"item"', '"name"'), encoding="utf-8")
    plain["data"] = {"train": str(renamed), "pool": str(pool), "columns": {"item": "name"}}
    recipe = Recipe.model_validate(plain)
    for number in (1, 2):
        folder = tmp_path / "run" / "rounds" / str(number) / "stages" / "label"
        folder.mkdir(parents=True)
        row = {"query": f"brand new {number}", "item": "pet cover", "grade": 1, "round": number}
        (folder / "labelled.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    splits = [load_splits(round_recipe(recipe, tmp_path / "run", number)) for number in range(3)]
    assert [len(one.train) - len(splits[0].train) for one in splits] == [0, 1, 2]
    assert {one.dev_id.queries[0] for one in splits} == {splits[0].dev_id.queries[0]}
    assert all(one.dev_id.queries == splits[0].dev_id.queries for one in splits)
    assert all(one.tests["id"].queries == splits[0].tests["id"].queries for one in splits)
    assert splits[2].train.weights is not None
    assert splits[2].train.weights.tolist() == [1.0] * len(splits[0].train) + [2.5, 2.5]
    assert splits[2].train.column("round")[-1] == 2
    sub = round_recipe(recipe, tmp_path / "run", 2)
    assert sub.interpolate.before == str(tmp_path / "run" / "rounds" / "1")
    free = recipe.model_copy(update={"rounds": recipe.rounds.model_copy(update={"fall_back": False})})  # type: ignore[union-attr]
    assert round_recipe(free, tmp_path / "run", 2).interpolate.before is None

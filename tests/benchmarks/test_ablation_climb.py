"""The ladder on a made-up suite and a tiny backbone: trained, shared, found again, tabled."""

from __future__ import annotations

import gzip
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from ablation import climb
from ablation_picture import write_picture
from ablation_rungs import RUNGS, rungs_for
from ablation_runs import Setting, buy_labels, commands_of, labels_file, perform, read_predictions, settings_of
from ablation_table import MEAN, make_rows, show
from darl.cli.main import app
from darl.grades import GradeScale
from darl.recipe.file import load_recipe
from darl.storage import read_json

WORDS = ("red", "green", "small", "round", "old", "light", "wooden", "yearly", "family", "black")
THINGS = ("garden table", "running shoes", "travel insurance", "pet cover")
SIZES = {"train": 30, "dev_id": 12, "dev_shift": 8, "pool": 20, "test_id": 12, "test_near": 8, "test_far": 8}
PLAIN_NAMES = ["cross_entropy", "lp_ft", "interpolation", "dasa_labels", "finished", "full", "tfidf", "temperature"]
RUNG_NAMES = [*PLAIN_NAMES, "matching", "matched", "matched_full"]
MATCHES = ("match.pairs=100", "match.enabled=true")  # so few pairs teach it nothing, and `auto` would leave that out
SCALE = GradeScale(("irrelevant", "weak", "strong"))


def write_suite(folder: Path) -> None:
    """A suite in the shape of `retail`: three pairs a query, one of each grade; half of the pool is of a new kind."""
    rng = np.random.default_rng(0)
    with gzip.open(folder / "retail.jsonl.gz", "wt", encoding="utf-8") as file:
        for split, queries in SIZES.items():
            for number in range(queries):
                new = split in ("dev_shift", "test_near", "test_far") or (split == "pool" and number % 2)
                thing, other = rng.permutation(THINGS)[:2]
                asked, wrong = rng.permutation(WORDS)[:2]
                query = f"{asked} {thing} for the {split.replace('_', ' ')} {number}"
                for grade, item in enumerate((f"{wrong} {other}", f"{wrong} {thing}", f"{asked} {thing}")):
                    pair = {"query": query, "item": f"{item} size {rng.integers(10_000)}", "label": grade}
                    where = {"domain": "garden" if new else "plumbing_bath_kitchen", "source": "made up"}
                    file.write(json.dumps({**pair, **where, "split": split}) + "\n")


def called_here(command: list[str], **options: Any) -> Any:
    """`python -m darl …` in this process, which has torch loaded; another command as it is."""
    if command[1:3] != ["-m", "darl"]:
        return run(command, **options)
    found = CliRunner().invoke(app, command[3:])
    assert found.exit_code == 0, found.output
    return None


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Setting:
    folder = tmp_path_factory.mktemp("ablation")
    write_suite(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARL_DATA", str(folder))
        patch.setattr("ablation_runs.subprocess.run", called_here)
        made = Setting(
            suite="retail",
            backbone=str(tiny_encoder),
            kind="full",
            train=90,
            set=("tune.epochs=1", "tune.precision=float32", "probe.max_iterations=20", *MATCHES),
            baseline=("tune.learning_rate=0.003",),
            budget=6,
            pool_share=0.2,
            strategy="coverage",
            test=None,
            dev=False,
            runs=folder / "runs",
        )
        climb(made, RUNG_NAMES, 0, folder / "reads.jsonl")
    return made


@pytest.fixture
def _data(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARL_DATA", str(setting.runs.parent))


def folders(setting: Setting) -> dict[str, dict[int, Path]]:
    return {name: {0: setting.run_folder(RUNGS[name], 0)} for name in RUNG_NAMES}


def test_every_rung_leaves_what_the_tables_need(setting: Setting) -> None:
    for name, found in folders(setting).items():
        for tier in (*setting.tiers, "calibration"):
            p = read_predictions(found[0], tier)
            assert p["probabilities"].shape == (len(p["grades"]), 3), (name, tier)
            assert p["probabilities"].sum(1) == pytest.approx(1, abs=1e-4)


def test_a_shared_stage_is_trained_once(setting: Setting) -> None:
    for one, other, stage in (
        ("lp_ft", "interpolation", "tune-probe"),
        ("dasa_labels", "full", "tune-probe"),
        ("matching", "matched", "match"),
        ("matching", "matched", "tune-probe"),
        ("cross_entropy", "temperature", "tune-random"),
    ):
        files = [folders(setting)[name][0] / "stages" / stage / "network.safetensors" for name in (one, other)]
        assert os.path.samefile(*files)


def test_with_labels_the_backbone_is_not_matched_anew(setting: Setting) -> None:
    """As the rounds of a recipe do; the labels are those that the matched model picked."""
    before, full = (folders(setting)[name][0] for name in ("matched", "matched_full"))
    recipe = load_recipe(full / "recipe.yaml")
    assert recipe.match.reuse == str(before)
    assert Path(recipe.data.train[-1].path) == labels_file(setting, RUNGS["matched_full"], 0)
    assert labels_file(setting, RUNGS["matched_full"], 0) != labels_file(setting, RUNGS["full"], 0)
    files = [folder / "stages" / "match" / "network.safetensors" for folder in (before, full)]
    assert os.path.samefile(*files)


@pytest.mark.usefixtures("_data")
def test_a_finished_rung_is_not_touched_again(setting: Setting) -> None:
    folder = folders(setting)["lp_ft"][0]
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    perform(setting, RUNGS["lp_ft"], 0, None)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.usefixtures("_data")
def test_judged_on_dev_it_is_the_same_model_and_reads_no_test_set(setting: Setting, tmp_path: Path) -> None:
    dev, reads = replace(setting, dev=True), tmp_path / "reads.jsonl"
    folder = perform(dev, RUNGS["lp_ft"], 0, reads)
    tuned = Path("stages") / "tune-probe" / "network.safetensors"
    assert os.path.samefile(folder / tuned, folders(setting)["lp_ft"][0] / tuned)
    assert len(read_predictions(folder, "shift")["grades"]) == 3 * SIZES["dev_shift"]
    assert not reads.exists()
    written = (folder / "recipe.yaml").read_text()
    assert not [name for name in SIZES if name.startswith("test_") and f"split: {name}" in written]


def test_what_read_a_test_set_is_noted_once(setting: Setting) -> None:
    lines = [json.loads(line) for line in (setting.runs.parent / "reads.jsonl").read_text().splitlines()]
    assert sorted(line["rung"] for line in lines) == sorted(RUNG_NAMES)
    assert str(setting.runs.parent) not in json.dumps([line["labels"] for line in lines])
    assert lines[0]["settings"] == settings_of(setting, RUNGS[lines[0]["rung"]], 0)


@pytest.mark.usefixtures("_data")
def test_labels_are_bought_from_the_pool_and_kept(setting: Setting) -> None:
    path = buy_labels(setting, RUNGS["full"], 0)
    assert path == labels_file(setting, RUNGS["full"], 0)
    bought = [json.loads(line) for line in path.read_text().splitlines()]
    assert 0 < len(bought) <= 6
    with gzip.open(setting.runs.parent / "retail.jsonl.gz", "rt") as file:
        pool = {(row["query"], row["item"]): row["label"] for row in map(json.loads, file) if row["split"] == "pool"}
    assert all(pool[row["query"], row["item"]] == row["grade"] for row in bought)
    shown = [json.loads(line) for line in path.with_name("pool-seed0.jsonl").read_text().splitlines()]
    assert all("grade" not in row and "label" not in row and "domain" not in row for row in shown)
    assert folders(setting)["dasa_labels"][0].joinpath("metrics.json").exists()
    assert read_json(folders(setting)["dasa_labels"][0] / "metrics.json")["sizes"]["train"] == 90 + len(bought)


@pytest.mark.usefixtures("_data")
def test_the_printed_command_makes_the_same_model(setting: Setting) -> None:
    """`darl fit` as printed, in the rung's own folder: every stage is found done."""
    command = commands_of(setting, RUNGS["full"], 0)[-1]
    words = shlex.split(command)
    assert words[:2] == ["darl", "fit"]
    done = CliRunner().invoke(app, [*words[1:], "evaluate.bootstrap=0"])
    assert done.exit_code == 0, done.output
    assert "done before" in done.output


def test_the_tables(setting: Setting, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows = make_rows(setting, folders(setting), SCALE, preset=None, decoder=False)
    rungs = {(row["rung"], row["tier"]): row for row in rows if row["kind"] == "rung"}
    assert len(rungs) == len(RUNG_NAMES) * 4
    ours = rungs["full", "far"]
    assert ours["gap"] == pytest.approx(rungs["full", "id"]["macro_f1"] - ours["macro_f1"])
    each = [rungs["full", tier]["ece"] for tier in setting.tiers]
    assert rungs["full", MEAN]["ece"] == pytest.approx(np.mean(each))
    # calibrating what was tuned by cross-entropy is what the peer does by its recipe
    for tier in ("id", "near", "far"):
        alone, peer = rungs["cross_entropy", tier], rungs["temperature", tier]
        assert alone["ece_calibrated"] == pytest.approx(peer["ece"], abs=0.005)
        assert alone["nll_calibrated"] == pytest.approx(peer["nll"], abs=0.001)
        assert alone["macro_f1"] == peer["macro_f1"]
    pairs = {(row["ours"], row["against"], row["tier"]): row for row in rows if row["kind"] == "comparison"}
    gain = pairs["full", "cross_entropy", "far"]["differences"]["macro_f1"][0]
    assert gain == pytest.approx(ours["macro_f1"] - rungs["cross_entropy", "far"]["macro_f1"])
    show(rows)
    assert "the same with DASA labels" in capsys.readouterr().out
    named = [{**row, "backbone": "tiny"} for row in rows]
    picture = write_picture(named, tmp_path).read_text()
    assert all(RUNGS[name].title.split("→")[0].rstrip() in picture for name in RUNG_NAMES)


def test_a_decoder_climbs_the_whole_ladder() -> None:
    assert next(rung.name for rung in rungs_for(decoder=True)) == "zero_shot"

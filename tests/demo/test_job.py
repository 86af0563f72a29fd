"""The demo job from end to end on a tiny random LLM: it shows the loop, not the gain."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from darl.demo import job
from darl.pairs import read_pairs


@pytest.fixture(scope="module")
def demo(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "FROZEN_LAYERS", 1)  # the tiny LLM has two layers
        patch.chdir(folder.parent)  # as a user names it: from the current folder
        return folder, job.run_demo(Path(folder.name), quick=True, backbone=str(tiny_decoder))


def test_it_fits_the_three_models_and_saves_each(demo: tuple[Path, dict]) -> None:
    folder, results = demo
    assert list(results) == ["naive", "darl", "darl-again"]
    assert all((folder.parent / result.model_path / "darl.json").is_file() for result in results.values())


def test_the_labels_bought_are_pool_pairs_and_training_data_of_the_last_fit(demo: tuple[Path, dict]) -> None:
    folder, results = demo
    bought = read_pairs(folder / "data" / "labelled.jsonl")
    pool = read_pairs(folder / "data" / "pool.jsonl", require_grades=False)
    assert 0 < len(bought) <= job.QUICK.budget
    assert set(zip(bought.queries, bought.items, strict=True)) <= set(zip(pool.queries, pool.items, strict=True))
    sizes = {name: result.metrics["sizes"]["train"] for name, result in results.items()}
    assert sizes["darl-again"] == sizes["darl"] + len(bought)


def test_the_summary_holds_every_figure_with_its_interval(demo: tuple[Path, dict]) -> None:
    folder, _ = demo
    summary = json.loads((folder / "summary.json").read_text())
    for model in ("naive", "darl", "darl-again"):
        for split in ("id", "ood"):
            for metric in ("macro_f1", "qwk", "ece"):
                estimate, low, high = summary[model][split][metric]
                assert low <= estimate <= high


def test_each_recipe_is_left_as_a_file_that_fits_again(demo: tuple[Path, dict]) -> None:
    from darl.recipe.file import load_recipe

    folder, _ = demo
    assert load_recipe(folder / "naive.yaml").method == "verbalizer"
    recipe = load_recipe(folder / "darl.yaml")
    assert recipe.tune.start == "probe"
    assert Path(str(recipe.data.train[0].path[0])).is_file()


def test_what_comes_next_is_a_command_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / ".venv" / "bin" / "darl"
    own.parent.mkdir(parents=True)
    own.touch(mode=0o755)
    monkeypatch.setattr(job.sys, "executable", str(own.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    assert job.command_here() == ".venv/bin/darl"  # as after `make demo`
    monkeypatch.setenv("PATH", str(own.parent))
    assert job.command_here() == "darl"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("PATH", "/nowhere")
    assert job.command_here() == str(own)

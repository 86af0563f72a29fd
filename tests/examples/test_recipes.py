"""The recipes that ship: each is read, and its settings are what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from darl.recipe.file import load_recipe

REPO = Path(__file__).resolve().parents[2]


def test_the_example_recipe_is_valid() -> None:
    recipe = load_recipe(REPO / "examples" / "recipe.yaml")
    assert recipe.grades.scale().names == ("irrelevant", "weak", "strong")


def test_the_example_of_rounds_reads_the_files_that_the_demos_world_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from darl.dasa import label_picks
    from darl.demo.world import make_world, write_world
    from darl.training.round_picks import read_pool
    from darl.training.splits import load_splits, read_source

    (tmp_path / "examples").mkdir()
    copy = tmp_path / "examples" / "rounds.yaml"
    copy.write_text((REPO / "examples" / "rounds.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    write_world(
        make_world(0, train=30, dev_id=15, dev_ood=15, pool=30, test_id=15, test_ood=15), tmp_path / "darl-demo/data"
    )
    recipe = load_recipe(copy)
    assert recipe.rounds is not None
    assert recipe.rounds.labels is not None
    assert set(load_splits(recipe).tests) == {"id", "ood"}
    picks = read_pool(recipe).pairs
    labels = read_source(recipe.rounds.labels, recipe.data, recipe.grades.scale(), None, "labels")
    assert len(label_picks(picks, labels, recipe.grades.scale(), only_picks=False)) == len(picks)


@pytest.mark.parametrize("suite", ["patents", "retail", "health_zh"])
def test_the_benchmark_recipes_are_valid(suite: str) -> None:
    recipe = load_recipe(REPO / "benchmarks" / "recipes" / f"{suite}.yaml")
    assert list(recipe.data.tests) == ["id", "near", "far"]


@pytest.mark.data
@pytest.mark.parametrize("suite", ["patents", "retail", "health_zh"])
def test_the_benchmark_recipes_read_the_real_suites(
    suite: str, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from darl.training.splits import load_splits

    monkeypatch.setenv("DARL_DATA", str(data_dir))
    splits = load_splits(load_recipe(REPO / "benchmarks" / "recipes" / f"{suite}.yaml"))
    assert splits.sizes()["train"] == 2000
    assert min(splits.sizes().values()) > 500

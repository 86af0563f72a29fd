"""The recipes that ship: each is read, and its settings are what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from darl.recipe.file import load_recipe

REPO = Path(__file__).resolve().parents[2]


def test_the_example_recipe_is_valid() -> None:
    recipe = load_recipe(REPO / "examples" / "recipe.yaml")
    assert recipe.grades.scale().names == ("irrelevant", "weak", "strong")


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

"""What the README shows is true: its recipe is read, its Python compiles, its commands and files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from darl.cli.main import app
from darl.recipe import parse_recipe

REPO = Path(__file__).resolve().parents[2]
README = (REPO / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_recipe_is_one() -> None:
    (text,) = blocks("yaml")
    recipe = parse_recipe(text, (), name="README.md", folder=REPO)
    assert recipe.grades.scale().size == 3
    assert list(recipe.data.tests) == ["id", "ood"]


def test_the_python_compiles() -> None:
    for text in blocks("python"):
        compile(text, "README.md", "exec")


@pytest.mark.parametrize("command", sorted(set(re.findall(r"bin/darl (\w+)", README))))
def test_each_command_exists(command: str) -> None:
    assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)\)", README))))
def test_each_link_leads_somewhere(link: str) -> None:
    assert (REPO / link).exists()

"""Every YAML block of the documentation is a recipe, or a part of one that fits into the least recipe there is."""

from __future__ import annotations

import pytest
import yaml
from docs_blocks import BLOCKS, REPO, Block

from darl.errors import DarlError
from darl.recipe import parse_recipe

LEAST = {"grades": ["irrelevant", "weak", "strong"], "data": {"train": "train.csv"}}
YAML = [block for block in BLOCKS if block.language in ("yaml", "yml")]


def check(text: str) -> None:
    part = yaml.safe_load(text)
    whole = {**LEAST, **part, "data": {**LEAST["data"], **part.get("data", {})}}  # type: ignore[dict-item]
    if {"grades", "data"} <= set(part):
        parse_recipe(text, (), name="page", folder=REPO)
    else:
        parse_recipe(yaml.safe_dump(whole), (), name="page", folder=REPO)


def test_recipes_are_found() -> None:
    assert len(YAML) > 8


@pytest.mark.parametrize("block", YAML, ids=str)
def test_the_recipe_is_read(block: Block) -> None:
    check(block.text)


@pytest.mark.parametrize("text", ["tune: {epoch: 3}", "method: magic", "data: {trains: a.csv}"])
def test_a_wrong_recipe_is_refused(text: str) -> None:
    with pytest.raises(DarlError):
        check(text)

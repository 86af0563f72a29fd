"""Overrides: ``key=value`` on the command line, with dotted keys, laid over the recipe's plain data."""

from __future__ import annotations

from typing import Any

from darl.errors import RecipeError
from darl.recipe.yaml_text import parse_yaml

# What a short form stands for: `backbone: minilm-l6` is `backbone: {name: minilm-l6}`.
_SHORT_FORMS = {"backbone": "name", "loss": "name"}
_SOURCES = ("train", "dev_id", "dev_ood", "pool")


def parse_override(text: str) -> tuple[list[str], Any]:
    """The dotted key, in parts, and the value, read as YAML.

    Raises:
        RecipeError: no ``=``, an empty key, or a value that is not YAML.

    >>> parse_override("interpolate.alphas=[0.5, 1]")
    (['interpolate', 'alphas'], [0.5, 1])
    """
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(
            "this is no override", where=text, mend="write key=value, as in tune.epochs=1 or data.tests.far.sample=200"
        )
    try:
        return parts, parse_yaml(value, text)[0]
    except RecipeError as error:
        raise RecipeError(error.what, where=text, mend=error.mend or "put the value in quotes") from error


def apply_override(data: dict[str, Any], parts: list[str], value: Any) -> None:
    """Sets one key in place; missing levels are made, short forms are unfolded, digits index lists.

    Raises:
        RecipeError: the key leads through a value that has no keys.

    >>> data = {"backbone": "minilm-l6"}
    >>> apply_override(data, ["backbone", "max_length"], 64)
    >>> data
    {'backbone': {'name': 'minilm-l6', 'max_length': 64}}
    """
    here: Any = data  # a dict or a list
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(here, list):
            index = _index(here, part, parts)
            if last:
                here[index] = value
                return
            below, put = here[index], index
        else:
            if last:
                here[part] = value
                return
            below, put = here.get(part), part
        below = _with_keys(below, parts[: depth + 1], parts[depth + 1])
        here[put] = below  # type: ignore[index]
        here = below


def _with_keys(value: Any, key: list[str], following: str) -> dict | list:
    """The value as something that ``following`` can be looked up in."""
    if value is None:
        return {}
    if isinstance(value, dict) or (isinstance(value, list) and following.isdecimal()):
        return value
    if short := _short_form(key):
        several = isinstance(value, list) and any(isinstance(part, dict) for part in value)
        if isinstance(value, (str, list)) and not several:
            return {short: value}
    mend = "say which one by its number, from 0" if isinstance(value, list) else "override the key itself"
    raise RecipeError(f"{following!r} cannot be set, the key holds {value!r}", where=".".join(key), mend=mend)


def _short_form(key: list[str]) -> str | None:
    if key[0] == "data" and (len(key) > 1 and (key[1] in _SOURCES or (key[1] == "tests" and len(key) == 3))):
        return "path"
    if key == ["rounds", "labels"]:
        return "path"
    return _SHORT_FORMS.get(key[0]) if len(key) == 1 else None


def _index(values: list, part: str, parts: list[str]) -> int:
    if part.isdecimal() and int(part) < len(values):
        return int(part)
    raise RecipeError(
        f"the list has {len(values)} entries, {part!r} is none of them",
        where=".".join(parts),
        mend=f"use 0 … {len(values) - 1}" if values else "override the whole list",
    )

"""Reading and writing recipes: one YAML file, overrides from the command line, every problem at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from darl.errors import GradeError, RecipeError
from darl.recipe.overrides import apply_override, parse_override
from darl.recipe.paths import resolve_paths
from darl.recipe.problems import InvalidRecipeError, Key, Problem, problems_of
from darl.recipe.settings import Recipe
from darl.recipe.yaml_text import dump_yaml, parse_yaml
from darl.storage import storage_errors

MEMORY = "<recipe>"


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file.

    Args:
        path: the file. Its relative paths are meant from its own folder.
        overrides: ``key=value`` with dotted keys, as in ``tune.epochs=1`` or ``data.tests.far.sample=200``;
            values are YAML, and relative paths are meant from the current folder.

    ``${VAR}`` and ``${VAR:-default}`` in values are replaced from the environment.

    Raises:
        RecipeError: not YAML, a key twice, a variable that is not set.
        InvalidRecipeError: unknown keys, wrong values; one error that lists them all.
        StorageError: the file is missing or cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        raise RecipeError("this is a folder, a recipe is one YAML file", where=path, mend="name the file in it")
    if not path.exists():
        raise RecipeError(
            "there is no such recipe", where=path, mend=f"check the path, or begin one: darl recipe init {path}"
        )
    with storage_errors(path):
        content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError("the file is not UTF-8 text", where=f"{path}:{line}", mend="save it as UTF-8") from error
    return parse_recipe(text, overrides, name=str(path), folder=path.parent)


def parse_recipe(
    text: str, overrides: Sequence[str] = (), *, name: str = MEMORY, folder: str | Path | None = None
) -> Recipe:
    """The recipe in a YAML text; ``folder`` is what its relative paths are relative to (default: the current one).

    Raises:
        RecipeError: as :func:`load_recipe`.

    >>> recipe = parse_recipe("grades: [bad, good]\\ndata: {train: /data/pairs.csv}", ["tune.epochs=1"])
    >>> recipe.grades.names, recipe.data.train[0].path, recipe.tune.epochs
    (['bad', 'good'], '/data/pairs.csv', 1.0)
    """
    data, lines = parse_yaml(text, name)
    if data is None:
        raise RecipeError("the recipe is empty", where=name, mend="begin with: darl recipe init")
    if not isinstance(data, dict):
        raise RecipeError(f"a recipe is a group of keys, this is a {type(data).__name__}", where=name)
    resolve_paths(data, Path(folder or ".").resolve())
    for override in overrides:
        key, value = parse_override(override)
        apply_override(data, key, value)
        for known in [known for known in lines if known[: len(key)] == tuple(key)]:
            del lines[known]
    if overrides:
        resolve_paths(data, Path.cwd())  # whatever still is relative came from an override
    return _validated(data, lines, name)


def recipe_to_yaml(recipe: Recipe) -> str:
    """The whole recipe as YAML, every key with its value; :func:`load_recipe` reads the same recipe from it.

    Raises:
        RecipeError: a free value (as in ``loss.params``) is of a kind that YAML has no word for.
    """
    return dump_yaml(recipe.model_dump())


def recipe_schema() -> dict[str, Any]:
    """The JSON schema of recipes, short forms included, for editors and forms."""
    schema = Recipe.model_json_schema()
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "darl recipe"}
    text, names = {"type": "string"}, {"type": "array", "items": {"type": "string"}}
    parts, data = schema["properties"], schema["$defs"]["DataSettings"]["properties"]
    parts["grades"] = _or(parts["grades"], names, {"type": "object", "additionalProperties": {"type": "number"}})
    for key in ("backbone", "loss"):
        parts[key] = _or(parts[key], text)
    source = _or({"$ref": "#/$defs/Source"}, text, names)
    for key in ("dev_id", "dev_ood", "pool"):
        data[key] = _or(data[key], text, names)
    rounds = schema["$defs"]["RoundsSettings"]["properties"]
    rounds["labels"] = _or(rounds["labels"], text, names)
    data["tests"]["additionalProperties"] = source
    data["train"] = _or({**data["train"], "items": source}, text, {"$ref": "#/$defs/Source"})
    return schema


def _or(known: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    about = {key: known[key] for key in ("default", "description", "title") if key in known}
    rest = {key: value for key, value in known.items() if key not in about}
    options = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {**about, "anyOf": [*options, *others]}


def _validated(data: Mapping[str, Any], lines: Mapping[Key, int], name: str) -> Recipe:
    problems: list[Problem] = []
    odd = [key for key in data if not isinstance(key, str)]
    if odd:
        raise RecipeError(f"keys are text, {odd[0]!r} is not", where=name)
    try:
        return Recipe.model_validate(data)
    except GradeError as error:
        problems.append(Problem("grades", error.what, error.mend, lines.get(("grades",))))
        try:  # the rest may be wrong too
            Recipe.model_validate({**data, "grades": ["any", "two"]})
        except ValidationError as more:
            problems += problems_of(more.errors(), lines)
    except ValidationError as error:
        problems += problems_of(error.errors(), lines)
    raise InvalidRecipeError(problems, name)

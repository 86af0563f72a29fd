"""What is wrong with a recipe, in words: from pydantic's findings to one error that lists them all."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from darl.errors import RecipeError
from darl.recipe.settings import Recipe

Key = tuple[str | int, ...]
_KINDS = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a group of keys",
    "model": "a group of keys",
}
_BOUNDS = {"ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}"}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the dotted key, what is wrong with it, and the mend, if one is known."""

    key: str
    what: str
    mend: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}, {self.key}" if self.line else self.key
        return f"{place}: {self.what}" + (f" — {self.mend}" if self.mend else "")


class InvalidRecipeError(RecipeError):
    """A recipe that cannot be run; ``problems`` lists everything that is wrong with it.

    >>> print(InvalidRecipeError([Problem("tune.epocs", "unknown key", "did you mean 'epochs'?")], "r.yaml"))
    r.yaml: tune.epocs: unknown key
      mend: did you mean 'epochs'?
    """

    def __init__(self, problems: Sequence[Problem], where: str) -> None:
        self.problems = list(problems)
        if len(self.problems) == 1:
            (only,) = self.problems
            place = f"{where}:{only.line}" if only.line else where
            super().__init__(f"{only.key}: {only.what}", where=place, mend=only.mend)
        else:
            lines = [f"{len(self.problems)} things are wrong", *(f"  {problem}" for problem in self.problems)]
            super().__init__("\n".join(lines), where=where, mend="`darl recipe schema` lists every key there is")


def problems_of(errors: Sequence[Mapping[str, Any]], lines: Mapping[Key, int]) -> list[Problem]:
    """Pydantic's findings as problems, in the order of the recipe, one a key.

    Args:
        errors: ``ValidationError.errors()`` of :class:`Recipe`.
        lines: the line of each key, where known.
    """
    grouped: dict[Key, list[Mapping[str, Any]]] = {}
    for error in errors:
        key = tuple(part for part in error["loc"] if not _is_branch(part))
        grouped.setdefault(key, []).append(error)
    found = []
    for key, group in grouped.items():
        what, mend = _in_words(key, group)
        found.append(Problem(dotted(key), what, mend, _line(key, lines)))
    return sorted(found, key=lambda problem: (problem.line is None, problem.line or 0))


def dotted(key: Key) -> str:
    """The key as an override would write it."""
    return ".".join(map(str, key)) or "the recipe"


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that a misspelt one most likely meant."""
    near = difflib.get_close_matches(word.casefold(), [name.casefold() for name in known], n=1, cutoff=0.6)
    return next((name for name in known if near and name.casefold() == near[0]), None)


def _in_words(key: Key, errors: list[Mapping[str, Any]]) -> tuple[str, str | None]:
    first, kind = errors[0], errors[0]["type"]
    value = first.get("input")
    if kind == "extra_forbidden":
        return _unknown(key)
    if kind == "missing":
        field = _field(key)
        return "is missing", f"give {field.description}" if field and field.description else None
    if bounds := _bounds(key, errors):
        return f"{value!r} is out of range, it must be {bounds}", None
    if len(errors) == 1 and kind == "literal_error":
        return _choice(value, [str(option) for option in _options(_field(key))], first)
    if kind in ("value_error", "assertion_error"):
        return str(first["ctx"]["error"]), None
    wanted = list(dict.fromkeys(_wanted(error) for error in errors))
    mend = None
    if "text" in wanted and isinstance(value, (int, float)):
        mend = f'put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'
    elif kind == "int_from_float":
        mend = "leave out the fraction"
    elif "enabled" in _known_keys(key) and value in (False, "no", "off"):
        mend = f"to turn it off, write {key[-1]}: {{enabled: false}}"
    if value is None:
        return f"is empty, it must be {' or '.join(wanted)}", mend
    return f"{_shown(value)} is not {' or '.join(wanted)}", mend


def _unknown(key: Key) -> tuple[str, str]:
    word, known = str(key[-1]), _known_keys(key[:-1])
    if near := nearest(word, known):
        return "unknown key", f"did you mean {near!r}?"
    elsewhere = [dotted(path) for path in _all_keys(Recipe) if path[-1] == word]
    if elsewhere:
        return "unknown key here", f"did you mean {' or '.join(elsewhere[:3])}?"
    return "unknown key", f"known here: {', '.join(known)}"


def _choice(value: Any, options: list[str], error: Mapping[str, Any]) -> tuple[str, str | None]:
    listed = ", ".join(options) if options else str(error["ctx"]["expected"])
    near = nearest(str(value), options)
    return f"{value!r} is none of {listed}", f"did you mean {near!r}?" if near else None


def _wanted(error: Mapping[str, Any]) -> str:
    kind = error["type"]
    if kind == "literal_error":
        return f"one of {error['ctx']['expected'].replace(' or ', ', ')}"
    stem = kind.partition("_")[0]
    if kind == "model_type" and error["loc"] == ("grades",):
        return "a list of names, or names with gains"
    return _KINDS.get(stem, str(error["msg"]).lower())


def _shown(value: Any) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _bounds(key: Key, errors: list[Mapping[str, Any]]) -> str | None:
    """The whole range of a number, from its field; from the error where the field is not known."""
    if errors[0]["type"] not in ("greater_than", "greater_than_equal", "less_than", "less_than_equal"):
        return None
    field = _field(key)
    limits = [
        words.format(f"{getattr(rule, name):g}")
        for rule in (field.metadata if field else ())
        for name, words in _BOUNDS.items()
        if getattr(rule, name, None) is not None
    ]
    return " and ".join(limits) or next(iter(errors[0]["ctx"].values()))


def _line(key: Key, lines: Mapping[Key, int]) -> int | None:
    """The line of the key, or of the nearest level above that has one; the top has none."""
    for end in range(len(key), 0, -1):
        if key[:end] in lines:
            return lines[key[:end]]
    return None


def _is_branch(part: str | int) -> bool:
    """Whether pydantic put this into a location to say which branch of a union it tried."""
    return isinstance(part, str) and ("[" in part or part in ("str", "int", "float", "bool"))


# ------------------------------------------------------------------------------------- the recipe's own keys


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The settings classes inside an annotation: ``dict[str, Source]`` and ``Source | None`` hold Source."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) is None:
        return []
    return [model for part in get_args(annotation) for model in _models(part)]


def _field(key: Key) -> FieldInfo | None:
    """The field that a key names, or None where keys are free."""
    model: type[BaseModel] | None = Recipe
    field: FieldInfo | None = None
    free = False  # the next part is a name of the user's, as under data.tests
    for part in key:
        if isinstance(part, int) or free:
            free = False
            continue
        field = model.model_fields.get(part) if model else None
        if field is None:
            return None
        inside = _models(field.annotation)
        model = inside[0] if inside else None
        free = _is_dict(field.annotation)
    return field


def _is_dict(annotation: Any) -> bool:
    return get_origin(annotation) is dict or (
        get_origin(annotation) in (Union, types.UnionType) and any(_is_dict(part) for part in get_args(annotation))
    )


def _known_keys(key: Key) -> list[str]:
    if not key:
        return list(Recipe.model_fields)
    field = _field(key)
    inside = _models(field.annotation) if field else []
    return list(inside[0].model_fields) if inside else []


def _all_keys(model: type[BaseModel], above: Key = ()) -> list[Key]:
    found: list[Key] = []
    for name, field in model.model_fields.items():
        found.append((*above, name))
        for inside in _models(field.annotation):
            if not _is_dict(field.annotation):
                found += _all_keys(inside, (*above, name))
    return found


def _options(field: FieldInfo | None) -> list[Any]:
    if field is None:
        return []
    return [option for option in get_args(field.annotation) if isinstance(option, (str, int))]

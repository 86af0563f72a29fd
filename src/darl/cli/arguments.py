"""What several commands take: files with names, columns, filters, grades."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="OURS=THEIRS", help="Which column is which, as in query=q,item=title,grade=label."
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COLUMN=VALUE", help="Only pairs with this value; twice for one column: either."),
]
Bootstrap = Annotated[int, typer.Option(min=0, help="Resamples of whole queries for the intervals; 0: none.")]
Seed = Annotated[int, typer.Option(help="Of every random draw.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …; default: a GPU where there is one.")]
Dtype = Annotated[
    Literal["float32", "bfloat16", "float16"] | None,
    typer.Option(help="Numbers to compute in, half precision where the machine has it; default: as saved."),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad-rows", help="Leave unusable rows out instead of refusing the file.")]
Workers = Annotated[int | None, typer.Option(min=1, help="With ray: how many; default one a core or GPU.")]
RayAddress = Annotated[
    str | None, typer.Option(help="With ray: the cluster; default RAY_ADDRESS, or one of its own here.")
]

_NAMED = re.compile(r"([\w.-]+)=(.+)", re.DOTALL)


def named_files(texts: Sequence[str]) -> dict[str, str]:
    """``NAME=path`` or a plain path, which is named after its file.

    Raises:
        typer.BadParameter: two files of one name.

    >>> named_files(["id=data/test.jsonl", "data/far.jsonl.gz"])
    {'id': 'data/test.jsonl', 'far': 'data/far.jsonl.gz'}
    """
    from darl.verbs.inputs import split_name

    found: dict[str, str] = {}
    for text in texts:
        named = None if Path(text).exists() else _NAMED.fullmatch(text)
        name, path = (named.group(1), named.group(2)) if named else (split_name(text), text)
        if name in found:
            raise typer.BadParameter(f"two files are called {name!r}: give them names, as in NAME=path")
        found[name] = path
    return found


def mapping(texts: Sequence[str] | None, option: str) -> dict[str, str]:
    """``a=b,c=d``, given once or several times.

    >>> mapping(["query=q,item=title", "grade=label"], "--columns")
    {'query': 'q', 'item': 'title', 'grade': 'label'}
    """
    found: dict[str, str] = {}
    for part in (part.strip() for text in texts or () for part in text.split(",") if part.strip()):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise typer.BadParameter(f"{part!r} is not NAME=COLUMN", param_hint=option)
        found[key.strip()] = value.strip()
    return found


def filters(texts: Sequence[str] | None, splits: Sequence[str] = ()) -> dict[str, Any]:
    """``column=value`` for all splits, ``NAME:column=value`` for one; an empty value finds missing ones.

    Raises:
        typer.BadParameter: a part is no filter, or one name is both a column's and a split's.

    >>> filters(["lang=en", "id:split=a", "id:split=b"], ["id", "far"])
    {'lang': 'en', 'id': {'split': ['a', 'b']}}
    """
    found: dict[str, Any] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise typer.BadParameter(f"{text!r} is not COLUMN=VALUE", param_hint="--where")
        name, colon, column = key.partition(":")
        own = colon == ":" and name in splits
        column = (column if own else key).strip()
        first = name if own else column
        if first in found and isinstance(found[first], dict) != own:
            clash = f"{first!r} is both a column and a split: give the split another name, as in NAME=path"
            raise typer.BadParameter(clash, param_hint="--where")
        into = found.setdefault(name, {}) if own else found
        wanted = value or None
        into[column] = wanted if column not in into else [*_listed(into[column]), wanted]
    return found


def listed(texts: Sequence[str] | None) -> list[str]:
    """``a,b`` given once or several times, as one list."""
    return [part.strip() for text in texts or () for part in text.split(",") if part.strip()]


def scale_of(text: str) -> Any:
    """A scale from its names, or the one of a recipe, a model or a run."""
    from darl.errors import GradeError
    from darl.grades import GradeScale
    from darl.storage import read_json

    path = Path(text).expanduser()
    if path.is_dir():
        for facts in (path / "darl.json", path / "model" / "darl.json"):
            if facts.is_file():
                return GradeScale.from_dict(read_json(facts)["scale"])
        path = path / "recipe.yaml"
    if path.is_file():
        from darl.recipe.file import load_recipe

        return load_recipe(path).grades.scale()
    names = [name.strip() for name in text.split(",") if name.strip()]
    if len(names) < 2:
        raise GradeError(
            f"{text!r} is neither a list of grades nor a recipe, model or run that is there",
            where="--grades",
            mend="list at least two, least relevant first: --grades irrelevant,weak,strong",
        )
    return GradeScale(tuple(names))


def _listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]

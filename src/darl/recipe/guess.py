"""What a file of graded pairs says about its recipe: the columns and the grades that occur."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from darl.errors import DataError
from darl.pairs.columns import rename_columns
from darl.pairs.schema import codes
from darl.pairs.sources import open_source

MOST_GRADES = 20


def guess_data(source: str, folder: str | Path, columns: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments for :func:`~darl.recipe.template.recipe_template`, read off the pairs.

    Args:
        source: the graded pairs.
        folder: the recipe's folder, which its paths are relative to.
        columns: {darl's name: the file's}, where it is known.

    Grades that are numbers are named after them. Grade *names* have no order that could be read off a file:
    they come in alphabetical order, and a person must put them right.

    Raises:
        DataError: the columns cannot be told, or the grades are not a handful of values.
        StorageError: the file cannot be read.
    """
    raw = next(iter(open_source(source)))
    table = rename_columns(raw.table, columns, where=raw.name, require_grades=True)
    # a table in which every column holds its own name tells which became which
    names = pa.table({name: [name] for name in raw.table.column_names})
    names = rename_columns(names, columns, where=raw.name, require_grades=True)
    found = {ours: names.column(ours)[0].as_py() for ours in ("query", "item", "grade")}
    values = [value for value in codes(table.column("grade"))[1] if value is not None and str(value).strip()]
    if not 2 <= len(values) <= MOST_GRADES:
        raise DataError(
            f"the grade column holds {len(values)} distinct values",
            where=source,
            mend=f"2 to {MOST_GRADES} grades are needed: name the grade column under `columns`, or bin the scores",
        )
    here = source if "://" in source else os.path.relpath(source, folder or ".")
    return {
        "train": here,
        "columns": {ours: theirs for ours, theirs in found.items() if ours != theirs},
        "grades": _names(values),
    }


def _names(values: list[Any]) -> list[str]:
    """Names for the grades: numbers from 0 to the largest, or the names as they are. Numbers that begin at 1 or later
    are names as they are too: by their places in the list they would begin at 0, a grade that no pair has."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        return sorted(str(value) for value in values)
    if all(number >= 0 and number == int(number) for number in numbers) and max(numbers) < MOST_GRADES:
        least, most = int(min(numbers)), int(max(numbers))
        return [str(k) if least else f"grade {k}" for k in range(least, most + 1)]
    raise DataError(
        f"the grades are not whole numbers from 0 up: {', '.join(f'{number:g}' for number in sorted(numbers)[:5])} …",
        mend="bin the scores into grades 0, 1, 2 … first",
    )

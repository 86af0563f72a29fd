"""Where a command may write: over none of its own inputs, no two results in one file, and under a fitting name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer

JSON_LINES = (".jsonl", ".ndjson", ".json")


def refuse_overwrite(out: Path | str | None, *others: Any) -> None:
    """Refuses a result that would replace what the command reads, or another of its results.

    Args:
        out: the file to write; None: there is none.
        others: inputs and other outputs: paths, globs, URLs, lists of these, or None. What is no local file is
            passed over.

    Raises:
        DataError: ``out`` is one of them, by whatever name.

    >>> refuse_overwrite("labelled.jsonl", "picked.jsonl", None, "postgresql://localhost/labels")
    >>> refuse_overwrite("a/../picked.jsonl", ["gold.jsonl", "picked.jsonl"])
    Traceback (most recent call last):
    ...
    darl.errors.DataError: a/../picked.jsonl: the result would overwrite picked.jsonl
      mend: write to another file
    """
    if out is None:
        return
    from darl.errors import DataError

    for path in _files(others):
        if _same(Path(out), path):
            raise DataError(f"the result would overwrite {path}", where=out, mend="write to another file")


def require_json_lines(option: str, path: Path | None) -> None:
    """Refuses a name that does not say JSON lines, for a result that is written as nothing else.

    Raises:
        typer.BadParameter: with the name of the ``option``.
    """
    if path is not None and path.suffix.lower() not in JSON_LINES:
        raise typer.BadParameter(f"{path} is no .jsonl file", param_hint=option)


def _files(named: Iterable[Any]) -> Iterator[Path]:
    from darl.pairs.sources import source_files

    for one in named:
        if isinstance(one, (list, tuple)):
            yield from _files(one)
        elif isinstance(one, Path) or (isinstance(one, str) and "://" not in one):
            path = Path(one).expanduser()
            yield from list(source_files(path)) or [path]  # a result need not be there yet


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)  # also where case does not matter
    except OSError:  # one of them is not there
        return one.resolve() == other.resolve()

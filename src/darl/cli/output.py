"""Where words go: results to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.table import Table

from darl.storage import atomic_write_text

Output = Literal["text", "json"]
LongOutput = Literal["text", "markdown", "json"]


class _ErrorStream(logging.StreamHandler):
    """Writes to whatever standard error is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stderr


def start_logging() -> None:
    """darl's own notes to standard error, other libraries' only from warnings up."""
    handler = _ErrorStream()
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("darl")
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.INFO)


@contextlib.contextmanager
def working(*, quiet: bool = False) -> Iterator[None]:
    """Work during which libraries are calm and nothing but the result may reach standard output."""
    from darl.progress import quiet_libraries

    quiet_libraries()
    log = logging.getLogger("darl")
    level = log.level
    if quiet:
        log.setLevel(logging.WARNING)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        log.setLevel(level)


def put(text: str) -> None:
    """A result to standard output, as it is."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def put_json(value: Any) -> None:
    """A result as JSON to standard output."""
    put(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def put_table(header: list[str], rows: list[list[str]], *, title: str | None = None) -> None:
    """A small table to standard output."""
    table = Table(*header, title=title, box=None, pad_edge=False, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)


def note(text: str) -> None:
    """A line to standard error."""
    sys.stderr.write(text + "\n")


def save(path: Path | None, text: str) -> None:
    """Writes a result to a file, whole or not at all, and says so."""
    if path is not None:
        atomic_write_text(path, text if text.endswith("\n") else text + "\n")
        note(f"saved to {path}")

"""Progress for people: one bar a step of work, with its speed and the time left, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Advance = Callable[[int], None]


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else _told(speed, 0 if speed >= 10 else 1))


def _told(rate: float, digits: int) -> str:
    """A rate in words; one below a tenth a second by the minute, where it would read as none."""
    return f"{rate:,.{digits}f} a second" if rate >= 0.1 else f"{60 * rate:,.1f} a minute"


class Reporter:
    """Says what is being done, how fast, and how long it will take.

    On a terminal each step is a bar; elsewhere (a log file, CI) a step longer than ``every`` seconds writes a
    line now and then, so that a silent job never looks dead.
    """

    def __init__(self, *, quiet: bool = False, every: float = 30.0) -> None:
        self.quiet, self.every = quiet, every
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """One line."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def bar(self, what: str, total: int, unit: str = "pairs") -> Iterator[Advance]:
        """A step of ``total`` units; call what it yields with the units done."""
        if self.quiet or total <= 0:
            yield lambda done: None
        elif self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                MofNCompleteColumn(),
                TextColumn(unit),
                _Rate(),
                TextColumn("left"),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=self.console) as progress:
                task = progress.add_task(what, total=total)
                yield lambda done: progress.advance(task, done)
        else:
            yield self._lines(what, total, unit)

    def _lines(self, what: str, total: int, unit: str) -> Advance:
        start = last = time.monotonic()
        count = 0

        def advance(done: int) -> None:
            nonlocal last, count
            count += done
            now = time.monotonic()
            if now - last >= self.every:
                last, rate = now, count / (now - start)
                left = (total - count) / rate
                self.say(f"{what}: {count:,} of {total:,} {unit}, {_told(rate, 1)}, {left:.0f} s left")

        return advance


def quiet_libraries() -> None:
    """Silence the libraries' own bars and notes: darl reports for them."""
    import os

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    if not sys.warnoptions:
        import warnings

        warnings.filterwarnings("ignore", message=".*pin_memory.*")

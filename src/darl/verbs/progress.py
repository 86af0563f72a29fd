"""Progress of scoring: pairs done, pairs a second, time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from darl.training.progress import Advance, Reporter


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} pairs/s")


class RateReporter(Reporter):
    """A reporter whose bars also say how many pairs a second are done."""

    @contextmanager
    def bar(self, what: str, total: int, unit: str = "pairs") -> Iterator[Advance]:
        if self.quiet or total <= 0 or not self.console.is_terminal:
            with super().bar(what, total, unit) as advance:
                yield advance
            return
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

    def _lines(self, what: str, total: int, unit: str) -> Advance:
        start = last = time.monotonic()
        count = 0

        def advance(done: int) -> None:
            nonlocal last, count
            count += done
            now = time.monotonic()
            if now - last >= self.every:
                last, rate = now, count / (now - start)
                self.say(
                    f"{what}: {count:,} of {total:,} {unit}, {rate:,.0f} a second, {(total - count) / rate:.0f} s left"
                )

        return advance

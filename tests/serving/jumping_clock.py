"""An event loop whose clock jumps from timer to timer: what a test finds does not hang on how busy the machine is."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

import pytest

START, WINK = 1000.0, 1e-9
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Where it would wait, it moves the clock instead; a wink at each look, or who waits for a rounding error spins."""

    def __init__(self) -> None:
        super().__init__()
        self.now = START

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:  # there is no timer: only another thread can go on
            return super().select()
        found = super().select(0)
        if not found:
            self.now += max(WINK, timeout)
        return found


class JumpingLoop(asyncio.SelectorEventLoop):
    """Its clock all but stands while anything can be done, and jumps to the next timer where nothing can."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run_in_jumps(work: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``; hours of sleep take no time."""
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        return runner.run(work)


def take_the_loops_clock(patch: pytest.MonkeyPatch, module: ModuleType) -> None:
    """Have a module that reads ``time.monotonic`` read the running loop's clock."""

    def monotonic() -> float:
        try:
            return asyncio.get_running_loop().time()
        except RuntimeError:  # outside of any
            return START

    patch.setattr(module, "time", SimpleNamespace(monotonic=monotonic))

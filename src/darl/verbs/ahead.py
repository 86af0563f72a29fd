"""One step ahead: the next thing is made in the background while the last one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(things: Iterable[T]) -> Generator[T, None, None]:
    """The same things in the same order; at most one waits, made by a thread of its own.

    >>> list(ahead(n * n for n in range(4)))
    [0, 1, 4, 9]
    """
    end = object()
    source = iter(things)
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        waiting = pool.submit(next, source, end)
        while (thing := waiting.result()) is not end:
            waiting = pool.submit(next, source, end)
            yield thing  # type: ignore[misc]

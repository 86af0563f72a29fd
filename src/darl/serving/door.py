"""Door: when to make a worker's next batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable

LEAD_SECONDS = 0.005
"""The next batch is made this long before the worker is expected back. Earlier, what comes meanwhile would find no
place in it, and what is in it would stand at this door while another worker is free; later, the worker would wait."""
LINGER_SECONDS = 0.003
"""How long a worker that is back may wait for those it has just answered to ask again. Were it sent off with the one
request that happened to wait, that one and its successors would go alone for good, each at the price of two."""
LOOK_SECONDS = 0.001  # between two looks at what waits, in these few milliseconds
# A worker that is late is waited for in longer steps, its return ends one at once: looks each millisecond took a
# fourth of the server's own time under load.
LATE_SECONDS = 0.005


class Door:
    """The batches that a worker has, in order: the first is being scored, a second may stand at its door.

    Args:
        waiting: tokens that wait, counted up to a full batch at least. full: tokens of a full batch.

    >>> async def enter_and_leave():
    ...     door = Door(waiting=lambda: 0, full=lambda: 512)
    ...     door.enter(3600.0)
    ...     asyncio.get_running_loop().call_later(0.01, door.leave, 30)
    ...     await door.opens()  # an hour less 5 ms, had the batch not come back before
    >>> asyncio.run(enter_and_leave())
    """

    def __init__(self, waiting: Callable[[], int], full: Callable[[], int]) -> None:
        self._waiting, self._full = waiting, full
        self._expected: deque[float] = deque()  # seconds that each batch will take
        self._begun = 0.0  # when the first one began, by the monotonic clock
        self._came_back = 0  # tokens of the batch that left last
        self._left = asyncio.Event()

    def enter(self, seconds: float) -> None:
        """A batch goes in that is expected to take so long."""
        if not self._expected:
            self._begun = time.monotonic()
        self._expected.append(seconds)

    def leave(self, tokens: int) -> None:
        """The first batch is out, one of so many tokens."""
        self._expected.popleft()
        self._begun, self._came_back = time.monotonic(), tokens
        self._left.set()

    async def opens(self) -> None:
        """Returns when it is time to make another batch.

        A little before the worker is expected back where half of a full batch waits; else once it is back and half as
        much waits as it brought, or has not come in time.
        """
        while self._expected:
            left = self._begun + sum(self._expected) - LEAD_SECONDS - time.monotonic()
            if left <= 0 and 2 * self._waiting() >= self._full():
                return
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), max(left, LATE_SECONDS))
        until = self._begun + LINGER_SECONDS
        while time.monotonic() < until and 2 * self._waiting() < min(self._came_back, self._full()):
            await asyncio.sleep(LOOK_SECONDS)

"""Door: when to make a worker's next batch."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque

LEAD_SECONDS = 0.005
"""The next batch is made this long before the worker is expected back. Earlier, what comes meanwhile would find no
place in it, and what is in it would stand at this door while another worker is free; later, the worker would wait."""


class Door:
    """The batches that a worker has, in order: the first is being scored, a second may stand at its door.

    >>> async def enter_and_leave():
    ...     door = Door()
    ...     door.enter(3600.0)
    ...     asyncio.get_running_loop().call_later(0.01, door.leave)
    ...     await door.opens()  # an hour less 5 ms, had the batch not come back before
    >>> asyncio.run(enter_and_leave())
    """

    def __init__(self) -> None:
        self._expected: deque[float] = deque()  # seconds that each batch will take
        self._begun = 0.0  # when the first one began, by the monotonic clock
        self._left = asyncio.Event()

    def enter(self, seconds: float) -> None:
        """A batch goes in that is expected to take so long."""
        if not self._expected:
            self._begun = time.monotonic()
        self._expected.append(seconds)

    def leave(self) -> None:
        """The first batch is out."""
        self._expected.popleft()
        self._begun = time.monotonic()
        self._left.set()

    async def opens(self) -> None:
        """Returns when it is time to make another batch."""
        while self._expected:
            left = self._begun + sum(self._expected) - LEAD_SECONDS - time.monotonic()
            if left <= 0:
                return
            self._left.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), left)

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
QUIET_SECONDS = 0.004
"""A worker that is back waits for those it has just answered to ask again, until none has come for so long. Were it
sent off with the one request that happened to wait, that one and its successors would go alone for good, each at the
price of two."""
LINGER_SECONDS, LINGER_PART = 0.012, 0.15  # and no longer than this, nor than this part of the time that its batch took
ENOUGH = 0.85  # of a worker's share: as many requests as it answered may have fewer tokens


class Door:
    """The batches that a worker has, in order: the first is being scored, a second may stand at its door.

    Args:
        waiting: tokens that wait, counted up to a full batch at least. full: tokens of a full batch.
        share: of all tokens that wait or are being scored, this worker's.
        others_free: whether another worker has nothing to do.

    >>> async def enter_and_leave():
    ...     door = Door(waiting=lambda: 0, full=lambda: 512, share=lambda: 0.0)
    ...     door.enter(3600.0)
    ...     asyncio.get_running_loop().call_later(0.01, door.leave)
    ...     await door.opens()  # an hour less 5 ms, had the batch not come back before
    >>> asyncio.run(enter_and_leave())
    """

    def __init__(
        self,
        waiting: Callable[[], int],
        full: Callable[[], int],
        share: Callable[[], float],
        others_free: Callable[[], bool] = lambda: False,
    ) -> None:
        self._waiting, self._full, self._share, self._others_free = waiting, full, share, others_free
        self._expected: deque[float] = deque()  # seconds that each batch will take
        self._begun = 0.0  # when the first one began, or the worker was back, by the monotonic clock
        self._wanted, self._patience = 0.0, 0.0  # tokens for which a worker that is back waits, and how long at most
        self._last = 0.0  # when something came
        self._look = asyncio.Event()  # it may be time

    @property
    def free(self) -> bool:
        """Whether the worker has no batch."""
        return not self._expected

    def enter(self, seconds: float) -> None:
        """A batch goes in that is expected to take so long."""
        if not self._expected:
            self._begun = time.monotonic()
        self._expected.append(seconds)
        self._look.set()  # for who was about to make this worker's batch, too

    def leave(self) -> None:
        """The first batch is out; its tokens count in the share until they are delivered."""
        now = time.monotonic()
        self._wanted = ENOUGH * self._part()
        self._patience = min(LINGER_SECONDS, LINGER_PART * (now - self._begun))
        self._expected.popleft()
        self._begun = self._last = now
        self._look.set()

    def arrived(self) -> None:
        """Something waits that did not. Called for each request, so it wakes nobody without cause."""
        self._last = time.monotonic()
        if self._waiting() >= self._wanted if not self._expected else self._is_early():
            self._look.set()

    async def opens(self) -> None:
        """Returns when it is time to make another batch.

        A little before the worker is expected back where its share of all there is, or a full batch, waits already and
        no other worker could begin it now. Else once it is back and that much waits, or nothing has come for a moment.
        """
        while True:
            if self._expected:
                if self._is_early():
                    return
                await self._until_look(max(0.0, self._seconds_left()) or None)
            else:
                left = min(self._begun + self._patience, self._last + QUIET_SECONDS) - time.monotonic()
                if left <= 0 or self._waiting() >= self._wanted:
                    return
                await self._until_look(left)

    def _part(self) -> float:
        return min(self._share(), self._full())

    def _seconds_left(self) -> float:
        return self._begun + sum(self._expected) - LEAD_SECONDS - time.monotonic()

    def _is_early(self) -> bool:
        """Whether the next batch can be made while the worker is still busy."""
        return self._seconds_left() <= 0 and self._waiting() >= self._part() and not self._others_free()

    async def _until_look(self, seconds: float | None) -> None:
        self._look.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._look.wait(), seconds)

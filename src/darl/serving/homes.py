"""Which worker a query is best scored by: the one that has kept its keys and values, if any has.

Each worker keeps prompts and queries of its own (:mod:`darl.model.inference.kept`). Were batches filled from the queue
as it stands, every worker would meet, and keep, every query; so each query has a home.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from zlib import crc32

from darl.serving.jobs import Job

LOOK_AHEAD = 256  # jobs among which those at home are looked for: more than a batch holds


def home_of(query: str, workers: int) -> int:
    """The number of the worker, 0 … workers − 1, that a query belongs to; the same in every process.

    >>> home_of("cat insurance", 1), home_of("cat insurance", 4) == home_of("cat insurance", 4)
    (0, True)
    """
    return crc32(query.encode("utf-8", "replace")) % workers


def home_first(turns: Iterable[Job], number: int, workers: int) -> deque[Job]:
    """The queue as one of several workers sees it: whoever waits longest, then those at home there, then the others.

    Who stands first goes first, whatever its home. The queue itself must keep its order, so that everybody gets there.
    """
    waiting = list(turns)
    if workers < 2 or len(waiting) < 3:
        return deque(waiting)
    head, rest = waiting[0], waiting[1:LOOK_AHEAD]
    at_home = [home_of(job.queries[0], workers) == number for job in rest]
    own = [job for job, home in zip(rest, at_home, strict=True) if home]
    others = [job for job, home in zip(rest, at_home, strict=True) if not home]
    return deque([head, *own, *others, *waiting[LOOK_AHEAD:]])

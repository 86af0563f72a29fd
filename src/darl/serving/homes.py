"""Which worker a query is best scored by: the one that has kept its keys and values, if any has.

Each worker keeps prompts and queries of its own (:mod:`darl.model.inference.kept`). Were batches filled from the queue
as it stands, every worker would meet, and keep, every query; so each query has a home, and is left to it unless that
has more to do than the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from zlib import crc32

from darl.serving.jobs import Job

LOOK_AHEAD = 256  # jobs among which those at home are looked for: more than a batch holds
PATIENCE_SECONDS = 1.0  # who has waited longer and stands first goes to whichever worker comes


def home_of(query: str, workers: int) -> int:
    """The number of the worker, 0 … workers − 1, that a query belongs to; the same in every process.

    >>> home_of("cat insurance", 1), home_of("cat insurance", 4) == home_of("cat insurance", 4)
    (0, True)
    """
    return crc32(query.encode("utf-8", "replace")) % workers


def offered_to(turns: Iterable[Job], number: int, workers: int) -> deque[Job]:
    """What of the queue a worker may take, in this order: those at home there, then others, where too many wait.

    Too many are more tokens for each of the other workers, on average, than this one has been offered. Who stands first
    and has waited for long goes first, whatever its home: the queue itself must keep its order, so that everybody gets
    there. Where anybody waits at all, somebody is offered.
    """
    waiting = [job for job in turns if job.todo]
    if workers < 2:
        return deque(waiting)
    offered, others = [], []
    for place, job in enumerate(waiting[:LOOK_AHEAD]):
        stuck = place == 0 and time.monotonic() - job.since > PATIENCE_SECONDS
        (offered if stuck or home_of(job.queries[0], workers) == number else others).append(job)
    tokens, left = sum(job.waiting for job in offered), sum(job.waiting for job in others)
    for job in others:
        if left <= (workers - 1) * tokens:
            break
        offered.append(job)
        tokens, left = tokens + job.waiting, left - job.waiting
    return deque(offered)

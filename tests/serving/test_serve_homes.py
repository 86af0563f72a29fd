"""Queries have homes: a query that comes again goes to the worker that kept it, and nobody waits for good."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from test_serve_parts import FACTS, FakeWorker, settings_of

from darl.serving.batcher import Batcher
from darl.serving.homes import PATIENCE_SECONDS, home_of, offered_to
from darl.serving.metrics import Metrics


def jobs(*queries: str, waiting: int = 30, age: float = 0.0) -> list[Any]:
    """Jobs of one query and ``waiting`` tokens each."""
    since = time.monotonic() - age
    return [
        SimpleNamespace(queries=[query], number=number, todo=[None], waiting=waiting, since=since)
        for number, query in enumerate(queries)
    ]


def at_home(job: Any, number: int, workers: int = 2) -> bool:
    return home_of(job.queries[0], workers) == number


QUERIES = [f"query {number}" for number in range(200)]


def test_homes_are_spread_evenly() -> None:
    counts = Counter(home_of(query, 4) for query in QUERIES)
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 30


def test_a_worker_is_offered_those_at_home_there_in_their_order_and_leaves_the_others() -> None:
    for number in (0, 1):
        waiting = jobs(*QUERIES[:20])
        found = list(offered_to(waiting, number, 2))
        own = [job for job in waiting if at_home(job, number)]
        assert found[: len(own)] == own
        more, left = found[len(own) :], [job for job in waiting if job not in found]
        assert len(left) <= len(found)  # each its share, though the homes are not quite even
        others = [job for job in waiting if not at_home(job, number)]
        assert more == others[: len(more)]  # who waits longest is not left


@given(st.lists(st.tuples(st.integers(0, 199), st.integers(1, 500)), min_size=1, max_size=40), st.integers(2, 4))
def test_where_anybody_waits_somebody_is_offered_and_the_others_are_left_no_more_than_their_share(
    drawn: list[tuple[int, int]], workers: int
) -> None:
    waiting = [jobs(QUERIES[query], waiting=tokens)[0] for query, tokens in drawn]
    for number in range(workers):
        found = offered_to(waiting, number, workers)
        assert found
        taken = sum(job.waiting for job in found)
        assert sum(job.waiting for job in waiting) - taken <= (workers - 1) * taken


def test_who_stands_first_and_has_waited_long_goes_first_whatever_its_home() -> None:
    for age, goes in ((0.0, False), (PATIENCE_SECONDS + 1, True)):
        foreign, own = (next(q for q in QUERIES if home_of(q, 2) == home) for home in (1, 0))
        waiting = [*jobs(foreign, age=age), *jobs(*[own] * 5)]
        assert (offered_to(waiting, 0, 2)[0] is waiting[0]) == goes


def test_what_was_given_up_is_not_offered() -> None:
    waiting = jobs(*QUERIES[:4])
    for job in waiting[1:]:
        job.todo = []
    assert list(offered_to(waiting, 0, 2)) == list(offered_to(waiting, 1, 2)) == waiting[:1]


def test_a_lone_worker_takes_all_as_they_stand() -> None:
    waiting = jobs(*QUERIES[:9])
    assert list(offered_to(waiting, 0, 1)) == waiting


def test_a_query_of_another_home_comes_to_the_front_in_the_end() -> None:
    """One worker is left, and those at home there keep coming: the others get through all the same."""
    own = [query for query in QUERIES if home_of(query, 2) == 0]
    foreign = [query for query in QUERIES if home_of(query, 2) == 1][:3]

    async def run() -> int:
        facts = dataclasses.replace(FACTS, shares_prefix=True)
        batcher = Batcher(settings_of(batch_tokens=24, max_queue_tokens=10**9), Metrics())
        left, dead = FakeWorker(facts), FakeWorker(facts)
        batcher._workers = {left: [], dead: []}  # type: ignore[dict-item]
        for query in (*own[:5], *foreign):
            batcher.submit([query], ["an item"], ood=False)
        missing = set(foreign)
        for round_ in range(1, 20):
            for job in batcher._turns:
                job.since -= PATIENCE_SECONDS + 1  # a batch that takes longer than anybody's patience
            batch = batcher._take(left)  # type: ignore[arg-type]
            assert len(batch) < 5
            missing -= {part.job.queries[0] for part in batch}
            if not missing:
                return round_
            for query in own[5 * round_ : 5 * round_ + 5]:  # more than it can take
                batcher.submit([query], ["an item"], ood=False)
        raise AssertionError(f"{missing} never came")

    assert asyncio.run(run()) <= 8  # as many as stood in front at first


def test_batches_of_two_workers_hold_their_own_queries() -> None:
    async def run() -> list[tuple[int, str]]:
        facts = dataclasses.replace(FACTS, shares_prefix=True)
        workers = [FakeWorker(facts, rate=1e5) for _ in range(2)]
        batcher = Batcher(settings_of(batch_tokens=128), Metrics())
        waiting = [batcher.submit([query], ["an item"], ood=False) for query in QUERIES]
        for worker in workers:
            batcher.attach(worker)  # type: ignore[arg-type]
        await asyncio.gather(*(job.done for job in waiting))
        return [
            (number, query)
            for number, worker in enumerate(workers)
            for batch in worker.batches for part in batch for query in part["queries"]
        ]  # fmt: skip

    scored = asyncio.run(run())
    assert len(scored) == len(QUERIES)
    of_own = sum(home_of(query, 2) == number for number, query in scored)
    assert of_own > 0.75 * len(QUERIES)  # by chance a half

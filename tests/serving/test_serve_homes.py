"""Queries have homes: a query that comes again goes to the worker that kept it, and nobody waits for good."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from types import SimpleNamespace
from typing import Any

from test_serve_parts import FACTS, FakeWorker, settings_of

from darl.serving.batcher import Batcher
from darl.serving.homes import home_first, home_of
from darl.serving.metrics import Metrics


def jobs(*queries: str) -> list[Any]:
    return [SimpleNamespace(queries=[query], number=number) for number, query in enumerate(queries)]


QUERIES = [f"query {number}" for number in range(200)]


def test_homes_are_spread_evenly() -> None:
    counts = Counter(home_of(query, 4) for query in QUERIES)
    assert sorted(counts) == [0, 1, 2, 3]
    assert min(counts.values()) > 30


def test_who_waits_longest_goes_first_then_those_at_home_in_their_order() -> None:
    waiting = jobs(*QUERIES[:20])
    for number in (0, 1):
        found = list(home_first(waiting, number, 2))
        assert found[0] is waiting[0]
        homes = [home_of(job.queries[0], 2) for job in found[1:]]
        assert homes == sorted(homes, key=lambda home: home != number)
        for home in (0, 1):
            numbers = [job.number for job in found[1:] if home_of(job.queries[0], 2) == home]
            assert numbers == sorted(numbers)
        assert {job.number for job in found} == set(range(20))


def test_a_lone_worker_takes_all_as_they_stand() -> None:
    waiting = jobs(*QUERIES[:9])
    assert list(home_first(waiting, 0, 1)) == waiting


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
    at_home = sum(home_of(query, 2) == number for number, query in scored)
    assert at_home > 0.75 * len(QUERIES)  # by chance a half

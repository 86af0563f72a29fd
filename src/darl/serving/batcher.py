"""Batcher: a bounded queue of jobs, and the batches that workers take from it.

A batch is filled up to a number of tokens with slices of several jobs. Jobs take turns, a slice each, so a
request of a thousand items and a request of one wait about equally long for their next slice.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Iterable, Sequence

from darl.serving.door import Door
from darl.serving.homes import offered_to
from darl.serving.jobs import Job, Slice, TokenEstimate
from darl.serving.link import WorkerDiedError, WorkerLink
from darl.serving.metrics import Metrics
from darl.serving.refusals import Refusal
from darl.serving.settings import ServeSettings

# Two batches are with each worker, one being scored and one at its door: it never waits for the server.
AT_A_WORKER = 2
SLICES_PER_BATCH = 4
SLACK = 1.1  # of its share that a worker takes
SMALLEST_BATCH = 512  # tokens; below this the time goes into calls, not into arithmetic


class Batcher:
    """Takes jobs in, hands batches out.

    Args:
        settings: the bounds.
        metrics: what is counted.

    Attributes:
        speed: estimated tokens a second of one worker, a running mean; 0 before the first probe.
        queued: tokens accepted and not yet scored.
    """

    def __init__(self, settings: ServeSettings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self.estimate = TokenEstimate(512, 8)
        self.speed = 0.0
        self.queued = 0
        self._turns: deque[Job] = deque()
        self._waiters: set[asyncio.Future[None]] = set()
        self._workers: dict[WorkerLink, list[asyncio.Task[None]]] = {}
        self._doors: dict[WorkerLink, Door] = {}

    # ------------------------------------------------------------------ jobs

    def submit(self, queries: Sequence[str], items: Sequence[str], *, ood: bool, nearest: int = 0) -> Job:
        """Queue the pairs of a request; ``await job.done`` for their scores.

        Raises:
            Refusal: the queue is full, or what is in it will take too long.
        """
        passes = 2 if ood else 1
        costs = [passes * self.estimate.cost(query, item) for query, item in zip(queries, items, strict=True)]
        shared = {query: passes * self.estimate.shared(query) for query in dict.fromkeys(queries)}
        size = max(1, self.budget // SLICES_PER_BATCH)
        job = Job(queries, items, costs, shared=shared, slice_cost=size, ood=ood, nearest=nearest)
        cost, speed = job.cost, self.speed * max(1, len(self._workers))
        wait = self.queued / speed if speed else 0.0
        # With nothing queued any request that the limits allow is taken, however large.
        if self.queued and (
            self.queued + cost > self.settings.max_queue_tokens or wait > self.settings.max_wait_seconds
        ):
            raise Refusal(
                "overloaded",
                f"{self.queued} tokens are waiting already, about {wait:.0f} s of work",
                retry_after=max(1, min(60, math.ceil(wait / 2))),
            )
        self._count(cost)
        job.done.add_done_callback(lambda _: self._leave(job))
        self._enqueue(job)
        return job

    def give_up(self, job: Job, refusal: Refusal) -> None:
        """Drop what waits of a job: its client left, or its time is over."""
        job.fail(refusal)

    @property
    def budget(self) -> int:
        """Tokens of the next batch: what takes about ``batch_seconds``, within bounds."""
        most = self.settings.batch_tokens
        return most if not self.speed else int(min(most, max(SMALLEST_BATCH, self.speed * self.settings.batch_seconds)))

    def _enqueue(self, job: Job) -> None:
        self._turns.append(job)
        self._wake()
        for door in self._doors.values():
            door.arrived()

    def _leave(self, job: Job) -> None:
        self._count(-job.cost)

    def _count(self, cost: int) -> None:
        self.queued += cost
        self.metrics.queue_tokens.set(self.queued)

    # --------------------------------------------------------------- workers

    def attach(self, worker: WorkerLink) -> None:
        """Let a loaded worker take batches, until it no longer serves."""
        facts = worker.facts
        assert facts is not None
        if not self.speed:
            self.speed = worker.rate
        self.estimate = TokenEstimate(
            facts.max_length, facts.fixed_tokens, self.estimate.per_byte, shares=facts.shares_prefix
        )
        worker.serving = True
        door = Door(lambda: self._waiting(worker), lambda: self.budget, self._share, lambda: self._other_free(worker))
        self._doors[worker] = door
        self._workers[worker] = [asyncio.create_task(self._feed(worker, door)) for _ in range(AT_A_WORKER)]

    async def detach(self, worker: WorkerLink) -> None:
        """Give a worker nothing more, and wait until it has answered what it has."""
        worker.serving = False
        self._wake()
        tasks = self._workers.pop(worker, [])
        self._doors.pop(worker, None)
        if tasks:
            await asyncio.wait(tasks)

    async def _feed(self, worker: WorkerLink, door: Door) -> None:
        while await self._work_for(worker):
            await door.opens()
            batch = self._take(worker) if worker.serving else []  # it may have died, or been retired, in the meantime
            if not batch:
                continue
            self.metrics.note_batch(len(batch), sum(len(part.rows) for part in batch), _cost(batch))
            begin = time.monotonic()
            door.enter(_cost(batch) / self.speed if self.speed else 0.0)
            try:
                reply = await worker.score([part.message() for part in batch], self.settings.worker_timeout_seconds)
            except WorkerDiedError as error:
                for part in batch:
                    part.job.fail(Refusal("worker_died", f"the process that scored this request ended ({error})"))
                return
            finally:
                door.leave()
            if "error" in reply:
                for part in batch:
                    part.job.fail(Refusal("unscorable", f"the batch failed ({reply['error']['what']})"))
                continue
            self._deliver(worker, batch, reply, time.monotonic() - begin)

    def _deliver(self, worker: WorkerLink, batch: list[Slice], reply: dict, waited: float) -> None:
        assert worker.facts is not None
        tokens, cost = 0, _cost(batch)
        for part, outcome in zip(batch, reply["slices"], strict=True):
            if "error" not in outcome:
                counts = outcome["tokens"]
                tokens += sum(counts) * (2 if outcome["ood"] else 1)
                self._learn(part, counts, worker.facts.max_length)
            if not part.job.take(part, worker.facts, outcome):
                self._enqueue(part.job)
        self.metrics.note_scored(tokens, reply["seconds"], waited)
        self.metrics.note_prefixes(reply.get("taken", 0), reply.get("computed", 0))
        rate = cost / max(reply["seconds"], 1e-6)
        # Small batches are slow for their tokens: they say little of what a full one would do.
        if cost >= SMALLEST_BATCH / 2 or rate > self.speed:
            self.speed += 0.2 * (rate - self.speed)

    def _learn(self, part: Slice, counts: list[int], longest: int) -> None:
        whole = [(row, count) for row, count in zip(part.rows, counts, strict=True) if count < longest]
        job = part.job
        size = sum(len(job.queries[row].encode("utf-8", "replace")) for row, _ in whole)
        size += sum(len(job.items[row].encode("utf-8", "replace")) for row, _ in whole)
        self.estimate.learn(size, sum(count - self.estimate.fixed for _, count in whole))

    async def _work_for(self, worker: WorkerLink) -> bool:
        """Wait for work; False once the worker takes no more."""
        while worker.serving:
            if self._turns:
                return True
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return False

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _share(self) -> float:
        """A worker's part of the tokens that wait or are being scored."""
        return self.queued / max(1, len(self._workers))

    def _other_free(self, worker: WorkerLink) -> bool:
        """Whether a worker other than this one has nothing to do."""
        return any(door.free for other, door in self._doors.items() if other is not worker)

    def _waiting(self, worker: WorkerLink) -> int:
        """Tokens that wait for a worker, counted until they are a full batch."""
        full, found = self.budget, 0
        for job in self._offered(worker):
            for part in job.todo:
                found += part.cost
                if found >= full:
                    return found
        return found

    def _offered(self, worker: WorkerLink) -> Iterable[Job]:
        """What of the queue a worker may take: where workers keep queries, each looks for its own first."""
        if not self.settings.prefix_cache_mb or worker.facts is None or not worker.facts.shares_prefix:
            return self._turns
        workers = list(self._workers)
        return offered_to(self._turns, workers.index(worker), len(workers)) if worker in workers else self._turns

    def _take(self, worker: WorkerLink) -> list[Slice]:
        """The next batch: slices of the jobs in turn, up to the budget; one slice at least where any waits."""
        queue, self._turns = self._turns, deque(self._offered(worker))
        budget, used, batch, later = min(self.budget, SLACK * self._share()), 0, [], deque()
        while self._turns or later:
            if not self._turns:
                self._turns, later = later, deque()
            job = self._turns[0]
            if not job.todo:  # given up
                self._turns.popleft()
                continue
            if batch and used + job.todo[0].cost > budget:
                break
            self._turns.popleft()
            batch.append(job.todo.popleft())
            used += batch[-1].cost
            if job.todo:
                later.append(job)
        numbers: dict[Job, int] = {}
        for part in batch:
            numbers.setdefault(part.job, len(numbers))
        # Who was not taken stands where it stood, so that each comes to the front in the end.
        again = [job for job in numbers if job.todo]
        self._turns = deque([*(job for job in queue if job.todo and job not in numbers), *again])
        return sorted(batch, key=lambda part: numbers[part.job])  # a job's slices side by side


def _cost(batch: Sequence[Slice]) -> int:
    return sum(part.cost for part in batch)

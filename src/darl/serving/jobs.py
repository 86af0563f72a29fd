"""Job: the pairs of one request on their way through the queue, cut into slices."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from darl.serving.facts import ModelFacts, PairScore
from darl.serving.refusals import Refusal

# Tokenising a byte of text that is cut off later costs about a 64th of what a scored token costs.
BYTES_PER_COST = 64
MOST_ROUNDS = 4  # of a request that is scored anew since the model changed


class TokenEstimate:
    """How many tokens a pair will take, before anything is tokenised: learnt from the pairs scored so far.

        tokens ≈ min(max_length, fixed + bytes · tokens_per_byte)

    Args:
        facts: the model's fixed tokens and longest pair. shares: pairs of one query are read behind one prefix.

    >>> TokenEstimate(64, 4, per_byte=0.25).cost("cats", "x" * 76)
    25
    """

    def __init__(self, max_length: int, fixed: int, per_byte: float = 0.3, *, shares: bool = False) -> None:
        self.max_length, self.fixed, self.per_byte, self.shares = max_length, fixed, per_byte, shares

    def cost(self, query: str, item: str) -> int:
        """Estimated tokens, and a little for text that will be cut off."""
        size = len(query.encode("utf-8", "replace")) + len(item.encode("utf-8", "replace"))
        return int(min(self.max_length, self.fixed + size * self.per_byte)) + size // BYTES_PER_COST

    def shared(self, query: str) -> int:
        """Estimated tokens that a further pair of a query saves in a batch; 0 where prefixes are not shared."""
        size = len(query.encode("utf-8", "replace"))
        return int(min(self.max_length, self.fixed + size * self.per_byte)) if self.shares else 0

    def learn(self, size: int, tokens: int) -> None:
        """Take note of scored pairs that were not cut: their bytes, and their tokens without the fixed ones."""
        if size >= 64 and tokens > 0:
            self.per_byte += 0.05 * (min(2.0, tokens / size) - self.per_byte)


@dataclass(frozen=True)
class Slice:
    """Some pairs of a job, scored in one batch. ``round`` tells a result for an earlier model apart."""

    job: Job
    rows: tuple[int, ...]
    cost: int
    round: int

    def message(self) -> dict[str, Any]:
        """What the worker is sent."""
        job = self.job
        return {
            "queries": [job.queries[row] for row in self.rows],
            "items": [job.items[row] for row in self.rows],
            "ood": job.ood,
            "nearest": job.nearest,
        }


class Job:
    """A request's pairs, what of them waits, and what is scored.

    Args:
        queries, items: of equal number n ≥ 1.
        costs: estimated tokens of each pair.
        shared: of those, what each further pair of a query in the same slice saves, by query.
        slice_cost: tokens of a slice; a pair is never cut.
        ood: also say how far out each pair is.
        nearest: and how many training pairs are nearest to it.

    Attributes:
        cost: estimated tokens of all slices. todo: slices not sent yet.
        done: resolves to n :class:`PairScore`, or to a :class:`Refusal`.
        since: when it was made, by the monotonic clock.
    """

    def __init__(
        self,
        queries: Sequence[str],
        items: Sequence[str],
        costs: Sequence[int],
        *,
        shared: Mapping[str, int] | None = None,
        slice_cost: int,
        ood: bool,
        nearest: int = 0,
    ) -> None:
        self.queries, self.items, self.costs, self.ood, self.nearest = queries, items, costs, ood, nearest
        self.shared, self.slice_cost = shared or {}, slice_cost
        self.todo: deque[Slice] = deque()
        self.done: asyncio.Future[list[PairScore]] = asyncio.get_running_loop().create_future()
        self.since = time.monotonic()
        self.facts: ModelFacts | None = None
        self._round = 0
        self._rows: list[PairScore | None] = []
        self._missing = 0
        self.restart()
        self.cost = self.waiting

    def restart(self) -> None:
        """Forget what is scored: the model changed in mid-request, and a reply is of one model alone."""
        self._round += 1
        self._rows = [None for _ in self.items]
        self._missing, self.facts = len(self.items), None
        self.todo = deque(self._cut())

    @property
    def waiting(self) -> int:
        """Tokens not sent yet."""
        return sum(part.cost for part in self.todo)

    def take(self, part: Slice, facts: ModelFacts, outcome: dict[str, Any]) -> bool:
        """Keep a slice's outcome; False where the job must be queued again from its start."""
        if self.done.done() or part.round != self._round:
            return True
        if "error" in outcome:
            self.fail(Refusal("unscorable", f"the model fails on this input ({outcome['error']})"))
            return True
        if self.facts is not None and facts.version != self.facts.version:
            if self._round >= MOST_ROUNDS:
                self.fail(Refusal("not_ready", "the model changed again and again while this request was scored"))
                return True
            self.restart()
            return False
        self.facts = facts
        ood = outcome["ood"] or [None] * len(part.rows)
        near = outcome.get("nearest") or [None] * len(part.rows)
        columns = (outcome["grades"], outcome["probabilities"], outcome["relevance"], ood, outcome["tokens"], near)
        for row, grade, probabilities, relevance, out, tokens, pairs in zip(part.rows, *columns, strict=True):
            score, percentile = out or (None, None)
            self._rows[row] = PairScore(grade, probabilities, relevance, score, percentile, tokens, pairs)
        self._missing -= len(part.rows)
        if not self._missing:
            self.done.set_result([row for row in self._rows if row is not None])
        return True

    def fail(self, refusal: Refusal) -> None:
        """Give the job up; what waits of it is dropped."""
        self.todo.clear()
        if not self.done.done():
            self.done.set_exception(refusal)
            self.done.exception()  # whoever asked may be gone: an error nobody reads is no fault of the loop

    def _cut(self) -> list[Slice]:
        # Items of one query stay together, in the order in which their queries first come.
        first: dict[str, int] = {}
        for query in self.queries:
            first.setdefault(query, len(first))
        order = sorted(range(len(self.items)), key=lambda row: first[self.queries[row]])
        parts, rows, cost = [], [], 0
        for row in order:
            query = self.queries[row]
            more = self.costs[row]
            if rows and self.queries[rows[-1]] == query:
                more = max(1, more - self.shared.get(query, 0))
            if rows and cost + more > self.slice_cost:
                parts.append(Slice(self, tuple(rows), cost, self._round))
                rows, cost, more = [], 0, self.costs[row]
            rows.append(row)
            cost += more
        parts.append(Slice(self, tuple(rows), cost, self._round))
        return parts

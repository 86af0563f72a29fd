"""ScoringCore: pairs in, scores out; the one way that every dialect takes."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from darl.serving.batcher import Batcher
from darl.serving.facts import ModelFacts, PairScore
from darl.serving.fleet import Fleet
from darl.serving.limits import check_size
from darl.serving.metrics import Metrics
from darl.serving.refusals import Refusal
from darl.serving.settings import ServeSettings
from darl.serving.traffic_log import Served, TrafficLog


@dataclass(frozen=True)
class Ask:
    """What a dialect made of a request.

    Attributes:
        queries, items: of equal number. ood: the client asks how far out the pairs are.
        top_n: how many results to return, None for all.
        nearest: how many of the nearest training pairs the client asks for.
        options: what only the dialect itself needs to write its reply.
    """

    queries: Sequence[str]
    items: Sequence[str]
    ood: bool = False
    top_n: int | None = None
    options: dict[str, Any] = field(default_factory=dict)
    nearest: int = 0


@dataclass(frozen=True)
class Scored:
    """The scores of a request, in its order, all of one model."""

    request_id: str
    model: str
    facts: ModelFacts
    rows: Sequence[PairScore]
    ood: bool
    flag_at: float

    @property
    def tokens(self) -> int:
        return sum(row.tokens for row in self.rows)

    def ranking(self, top_n: int | None) -> list[int]:
        """Row numbers, the most relevant first, ties in the request's order."""
        order = sorted(range(len(self.rows)), key=lambda row: -self.rows[row].relevance)
        return order if top_n is None else order[:top_n]

    def extras(self, row: int) -> dict[str, Any]:
        """What the rerank APIs have no place for: grade, its name, grade probabilities, OOD."""
        found = self.rows[row]
        extras: dict[str, Any] = {
            "grade": found.grade,
            "grade_name": self.facts.grades[found.grade],
            "grade_probs": found.probabilities,
        }
        if self.ood and found.ood_percentile is not None:
            extras["ood"] = self.ood_of(row)
        return extras

    def ood_of(self, row: int) -> dict[str, Any] | None:
        found = self.rows[row]
        if not self.ood or found.ood_percentile is None:
            return None
        percentile = found.ood_percentile
        return {"score": found.ood_score, "percentile": percentile, "flag": percentile >= self.flag_at}


class ScoringCore:
    """Checks bounds, queues the pairs, waits for the scores, counts and logs.

    Args:
        settings: bounds, OOD, deadline. fleet: says which model serves. batcher: takes the pairs.
        traffic: the traffic log, or None.
    """

    def __init__(
        self, settings: ServeSettings, fleet: Fleet, batcher: Batcher, metrics: Metrics, traffic: TrafficLog | None
    ) -> None:
        self.settings, self.fleet, self.batcher, self.metrics, self.traffic = settings, fleet, batcher, metrics, traffic

    async def score(
        self,
        ask: Ask,
        *,
        dialect: str,
        request_id: str | None = None,
        gone: asyncio.Future[Any] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> Scored:
        """Scores of the pairs.

        Args:
            ask: the pairs. dialect: for the log. request_id: default a new one.
            gone: done when the client has left, so that its work is dropped.
            columns: what the client says of its traffic, for the log.

        Raises:
            Refusal: out of bounds, overloaded, not ready, over time, or the model failed.
        """
        begin = time.monotonic()
        settings, facts = self.settings, self.fleet.facts
        if facts is None:
            raise Refusal("not_ready", "the model is being loaded")
        check_size(ask.queries, ask.items, settings)
        sampled = self.traffic is not None and random.random() < settings.traffic_sample
        shown = facts.has_ood and settings.ood != "never" and (ask.ood or settings.ood == "always" or facts.ood_is_free)
        nearest = ask.nearest if facts.has_nearest else 0
        logged = facts.has_ood and settings.ood != "never" and sampled
        job = self.batcher.submit(ask.queries, ask.items, ood=shown or logged or nearest > 0, nearest=nearest)
        # its queue tokens are given back when it is done, so it must be done whatever happens here
        try:
            waited = {job.done} if gone is None else {job.done, gone}
            await asyncio.wait(waited, timeout=settings.deadline_seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not job.done.done():
                left = gone is not None and gone.done()
                seconds = f"{settings.deadline_seconds:g} s"
                self.batcher.give_up(
                    job,
                    Refusal("client_gone", "the client left")
                    if left
                    else Refusal("deadline", f"no answer within {seconds}: the server is busy or the request large"),
                )
        rows = job.done.result()
        assert job.facts is not None
        scored = Scored(
            request_id or uuid.uuid4().hex, settings.model_name, job.facts, rows, shown, settings.ood_flag_at
        )
        self.metrics.note_pairs(job.facts, rows, settings.ood_flag_at)
        if sampled and self.traffic is not None:
            latency = (time.monotonic() - begin) * 1000
            self.traffic.note(
                Served(scored.request_id, dialect, ask.queries, ask.items, rows, job.facts, latency, columns or {})
            )
        return scored

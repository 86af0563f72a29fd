"""A worker that is no process, and a batcher that feeds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from darl.serving.batcher import Batcher
from darl.serving.facts import ModelFacts
from darl.serving.metrics import Metrics
from darl.serving.settings import ServeSettings

FACTS = ModelFacts("v1", ("bad", "good"), (0.0, 1.0), 64, 4, True, False, "tiny", "float32", "cpu")


class FakeWorker:
    """Scores a pair by its item's length, as long as it lives."""

    def __init__(self, facts: ModelFacts = FACTS, rate: float = 1e4) -> None:
        self.facts, self.rate, self.serving = facts, rate, False
        self.batches: list[list[dict[str, Any]]] = []
        self.timeout = 0.0
        self.hold = asyncio.Event()
        self.hold.set()
        self.act: Callable[[list[dict[str, Any]]], None] = lambda _: None

    async def score(self, slices: list[dict[str, Any]], timeout: float) -> dict[str, Any]:
        self.batches.append(slices)
        self.timeout = timeout
        await self.hold.wait()
        await asyncio.sleep(0)
        self.act(slices)
        return {"slices": [self._outcome(part) for part in slices], "seconds": 0.01}

    def _outcome(self, part: dict[str, Any]) -> dict[str, Any]:
        count = len(part["items"])
        return {
            "grades": [1] * count, "probabilities": [[0.5, 0.5]] * count, "tokens": [10] * count,
            "relevance": [float(len(item)) for item in part["items"]], "ood": None,
        }  # fmt: skip


def settings_of(**changes: Any) -> ServeSettings:
    return ServeSettings(model=Path("none"), **changes)


def batcher_with(worker: FakeWorker, **changes: Any) -> Batcher:
    batcher = Batcher(settings_of(**changes), Metrics())
    batcher.attach(worker)  # type: ignore[arg-type]
    return batcher

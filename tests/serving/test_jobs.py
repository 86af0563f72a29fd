"""A job whose model changes while it is scored."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from fake_worker import FACTS, FakeWorker

from darl.serving.jobs import MOST_ROUNDS, Job
from darl.serving.refusals import Refusal


def test_a_request_is_not_begun_anew_for_ever() -> None:
    """Two workers of different models take its slices in turn."""

    async def run() -> None:
        job = Job(["q"] * 4, ["a", "b", "c", "d"], [1] * 4, slice_cost=2, ood=False)
        models = [dataclasses.replace(FACTS, version=version) for version in ("v1", "v2")]
        rounds = 0
        while not job.done.done():
            rounds += 1
            for facts in models:
                part = job.todo.popleft()
                again = not job.take(part, facts, FakeWorker()._outcome(part.message()))
            assert again == (not job.done.done())
        with pytest.raises(Refusal, match="changed again and again") as caught:
            job.done.result()
        assert rounds == MOST_ROUNDS
        assert caught.value.status == 503
        assert caught.value.retry_after

    asyncio.run(run())

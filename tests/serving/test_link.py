"""The server's end of a worker: how long it may be silent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from fake_worker import FakeWorker, batcher_with
from jumping_clock import run_in_jumps

from darl.serving.frames import pack
from darl.serving.link import WorkerDiedError, WorkerLink


class FakeProcess:
    """A process that answers when it is told to."""

    def __init__(self) -> None:
        self.stdout = asyncio.StreamReader()
        self.stdin = SimpleNamespace(write=lambda _: None, drain=self._drain, close=lambda: None)
        self.killed = asyncio.Event()

    async def _drain(self) -> None: ...

    def answer(self, number: int) -> None:
        self.stdout.feed_data(pack({"id": number, "slices": [number]}))

    def kill(self) -> None:
        if not self.killed.is_set():
            self.killed.set()
            self.stdout.feed_eof()

    async def wait(self) -> int:
        await self.killed.wait()
        return -9


def link_of(process: FakeProcess) -> WorkerLink:
    link: Any = process
    return WorkerLink(link)


def test_a_batch_at_the_door_waits_for_the_one_before_it() -> None:
    """Each takes most of the time allowed: together they take longer, and nobody was silent."""

    async def run() -> None:
        process = FakeProcess()
        link = link_of(process)
        batches = [asyncio.create_task(link.score([], 1.0)) for _ in range(2)]
        for number in range(2):
            await asyncio.sleep(0.7)
            process.answer(number)
        assert [reply["slices"] for reply in await asyncio.gather(*batches)] == [[0], [1]]
        assert not process.killed.is_set()

    run_in_jumps(run())


@pytest.mark.parametrize("batches", [1, 2])
def test_a_silent_worker_is_ended_once_the_time_is_over(batches: int) -> None:
    async def run() -> None:
        process, begin = FakeProcess(), asyncio.get_running_loop().time()
        link = link_of(process)
        asked = [asyncio.create_task(link.score([], 0.3)) for _ in range(batches)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(error, WorkerDiedError) for error in found)
        assert process.killed.is_set()
        assert asyncio.get_running_loop().time() - begin == pytest.approx(0.3)
        await link.ended

    run_in_jumps(run())


def test_the_clock_of_the_second_begins_with_the_answer_to_the_first() -> None:
    async def run() -> None:
        process, loop = FakeProcess(), asyncio.get_running_loop()
        link = link_of(process)
        first, second = (asyncio.create_task(link.score([], 0.3)) for _ in range(2))
        await asyncio.sleep(0.2)
        process.answer(0)
        await first
        begin = loop.time()
        with pytest.raises(WorkerDiedError, match="no answer"):
            await second
        assert loop.time() - begin == pytest.approx(0.3)

    run_in_jumps(run())


def test_a_worker_may_be_silent_as_long_as_is_set() -> None:
    async def run() -> None:
        worker = FakeWorker()
        await batcher_with(worker, worker_timeout_seconds=7).submit(["q"], ["an item"], ood=False).done
        assert worker.timeout == 7

    run_in_jumps(run())

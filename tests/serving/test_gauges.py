"""Gauges that say what is, not what was when something last happened."""

from __future__ import annotations

import asyncio

from fake_worker import FakeWorker, batcher_with, settings_of

from darl.serving.app import Service


def test_the_queue_is_measured_as_soon_as_something_waits() -> None:
    async def run() -> None:
        worker = FakeWorker()
        worker.hold.clear()
        batcher = batcher_with(worker)
        job = batcher.submit(["q"], ["an item"], ood=False)
        assert f"darl_queue_tokens {float(batcher.queued)}" in batcher.metrics.text().decode()
        assert batcher.queued
        worker.hold.set()
        await job.done
        await asyncio.sleep(0)
        assert b"darl_queue_tokens 0.0" in batcher.metrics.text()

    asyncio.run(run())


def test_a_server_that_drains_is_not_ready() -> None:
    async def run() -> None:
        service = Service(settings_of(docs=False, playground=False))
        assert b"darl_ready 0.0" in service.metrics.text()
        worker = FakeWorker()
        worker.serving = True
        service.fleet._workers.append(worker)  # type: ignore[arg-type]
        assert service.ready
        assert b"darl_ready 1.0" in service.metrics.text()
        service.gate.draining = True
        assert not service.ready
        assert b"darl_ready 0.0" in service.metrics.text()

    asyncio.run(run())

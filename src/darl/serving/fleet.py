"""Fleet: keeps the workers alive, and swaps them for ones with a new model without a gap."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darl.cores import usable_cores
from darl.errors import DarlError
from darl.serving.batcher import Batcher
from darl.serving.facts import ModelFacts
from darl.serving.link import WorkerDiedError, WorkerLink
from darl.serving.metrics import Metrics
from darl.serving.settings import ServeSettings
from darl.serving.version import TRIES, changing, signature

log = logging.getLogger("darl.serving")
MOST_WORKERS = 4  # unless told: each holds the model
RETRY_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0)  # between attempts to replace a worker; the last one from then on


class Fleet:
    """The workers of a server.

    Args:
        settings: how many, of which model.
        batcher: gives them work.
        metrics: what is counted.

    Attributes:
        size: how many there should be.
        facts: the model that serves, None before the first probe.
    """

    def __init__(self, settings: ServeSettings, batcher: Batcher, metrics: Metrics) -> None:
        self.settings, self.batcher, self.metrics = settings, batcher, metrics
        self.size = number_of_workers(settings)
        self.facts: ModelFacts | None = None
        self.folder = Path(settings.model).expanduser()
        self._workers: list[WorkerLink] = []
        self._spare: WorkerLink | None = None
        self._known: dict[str, str] = {}  # signature of the folder → version
        self._read_from: Path | None = None
        self._closing = False
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def ready(self) -> bool:
        """A worker has scored its probe and takes work."""
        return any(worker.serving for worker in self._workers)

    async def start(self) -> None:
        """Load the model in every worker.

        Raises:
            ModelError: the folder is refused.
            WorkerDiedError: a worker ended while it loaded.
        """
        async with self._reloading:
            self._admit(await self._loaded(self.size))
        self._refill()

    async def reload(self) -> ModelFacts:
        """Load what stands in the folder now in new workers, probe them, and put them in the old ones' place.

        Requests go on meanwhile, with the old model until the new one has scored its probe.

        Raises:
            ModelError: the folder is refused; the old model goes on.
        """
        async with self._reloading:
            try:
                workers = await self._loaded(self.size)
            except (DarlError, WorkerDiedError) as error:
                self.metrics.reloads.labels("refused").inc()
                log.error("reload refused", extra={"facts": {"error": str(error)}})
                raise
            await self._swap(workers)
            self._refill()
            assert self.facts is not None
            return self.facts

    async def close(self) -> None:
        """End every worker; nothing may be queued any more."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        ends = [worker.close() for worker in self._workers]
        if self._spare is not None:
            ends.append(self._spare.close(0.0))
        await asyncio.gather(*ends, *self._tasks, return_exceptions=True)

    def unknown_signature(self) -> str | None:
        """The signature of the folder where it is not the one that was loaded last; None else."""
        try:
            now = signature(self._read_from) if self._read_from is not None else None
        except DarlError:  # it is being replaced
            return None
        return None if now in self._known else now

    # ------------------------------------------------------------------ workers

    async def _loaded(self, count: int, there: Sequence[WorkerLink] = ()) -> list[WorkerLink]:
        """``count`` loaded workers, all of one version, those that are ``there`` among them; where one fails all go."""
        workers, loaded, loads = list(there), list(there), []
        try:
            while len(workers) < count:
                workers.append(await self._take_spare() or await WorkerLink.start())
            for _ in range(TRIES):
                loads = [asyncio.create_task(self._load(worker)) for worker in workers if worker not in loaded]
                await asyncio.gather(*loads)
                if len({_version(worker) for worker in workers}) == 1:
                    return workers
                loaded = []
            raise changing(self.folder)  # each read another one
        except BaseException:
            for load in loads:
                load.cancel()
            await asyncio.gather(*loads, *(worker.close(0.0) for worker in workers), return_exceptions=True)
            raise

    async def _load(self, worker: WorkerLink) -> None:
        settings = self.settings
        await worker.load(
            folder=str(self.folder),
            device=settings.device,
            dtype=settings.dtype,
            threads=settings.threads or _share_of_cores(self.size),
            known=self._known,
            batch_tokens=settings.batch_tokens,
            prefix_cache_mb=settings.prefix_cache_mb,
            ood=settings.ood != "never",
            nearest=settings.nearest,
        )

    def _admit(self, workers: list[WorkerLink]) -> None:
        for worker in workers:
            worker.on_end(self._ended)
            self.batcher.attach(worker)
        self._workers += workers
        self.facts = workers[0].facts
        assert self.facts is not None
        self._read_from = workers[0].folder
        self._known = {worker.signature: _version(worker) for worker in workers}
        self.metrics.note_model(self.settings.model_name, self.facts)
        self._count()
        log.info("model serves", extra={"facts": {"model": self.settings.model_name, "version": self.facts.version}})

    async def _swap(self, workers: list[WorkerLink]) -> None:
        """Put loaded workers in the place of all there are, which leave once they have answered what they have."""
        old, self._workers = self._workers, []
        self._admit(workers)
        self.metrics.reloads.labels("done").inc()
        await asyncio.gather(*(self._retire(worker) for worker in old))

    async def _retire(self, worker: WorkerLink) -> None:
        await self.batcher.detach(worker)
        await worker.close()

    def _ended(self, worker: WorkerLink) -> None:
        if self._closing or worker not in self._workers:
            return
        self._workers.remove(worker)
        self._background(self.batcher.detach(worker))
        self.metrics.deaths.inc()
        self._count()
        log.error("a worker died", extra={"facts": {"pid": worker.process.pid, "code": worker.process.returncode}})
        self._background(self._replace())

    async def _replace(self) -> None:
        """Bring the fleet to its number again, however long the folder stays unusable.

        What died cannot come back where another model lies in the folder by now: then all are replaced, as the fleet is
        of one model.
        """
        attempt = 0
        while not self._closing:
            await asyncio.sleep(RETRY_SECONDS[min(attempt, len(RETRY_SECONDS) - 1)])
            async with self._reloading:
                if len(self._workers) >= self.size:
                    return
                try:
                    workers = await self._loaded(1)
                    if self._workers and self.facts is not None and _version(workers[0]) != self.facts.version:
                        await self._swap(await self._loaded(self.size, workers))
                    else:
                        self._admit(workers)
                except (DarlError, WorkerDiedError) as error:
                    log.error("no worker could be started", extra={"facts": {"error": str(error)}})
                    attempt += 1
                    continue
            self._refill()
            return

    # -------------------------------------------------------------------- spare

    def _refill(self) -> None:
        if self.settings.spare and self._spare is None and not self._closing:
            self._background(self._start_spare())

    async def _start_spare(self) -> None:
        try:
            spare = await WorkerLink.start()
        except WorkerDiedError as error:
            log.error("no spare could be started", extra={"facts": {"error": str(error)}})
            return
        if self._spare is not None or self._closing:
            await spare.close(0.0)
            return
        self._spare = spare
        await asyncio.wait({spare.imported, spare.ended}, return_when=asyncio.FIRST_COMPLETED)
        log.info(
            "a spare is ready" if spare.imported.done() else "the spare ended",
            extra={"facts": {"pid": spare.process.pid}},
        )

    async def _take_spare(self) -> WorkerLink | None:
        spare, self._spare = self._spare, None
        return spare if spare is not None and not spare.ended.done() else None

    def _background(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _count(self) -> None:
        self.metrics.workers.set(len(self._workers))


def number_of_workers(settings: ServeSettings, cores: int | None = None) -> int:
    """How many processes hold the model: as set, or one for each core, at most ``MOST_WORKERS``; one where a GPU is.

    A network's passes over a few short texts leave gaps that a second thread cannot fill and a second process can: two
    processes of one thread scored 1.2 to 1.3 times what one of two threads did.

    Args:
        settings: their `workers`, `threads` and `device`.
        cores: default those that this process may use.
    """
    if settings.workers is not None:
        return settings.workers
    on_cpu = settings.device == "cpu" or (settings.device is None and sys.platform == "linux" and not _sees_gpu())
    cores = cores or usable_cores()
    return max(1, min(MOST_WORKERS, cores // (settings.threads or 1))) if on_cpu else 1


def _version(worker: WorkerLink) -> str:
    assert worker.facts is not None
    return worker.facts.version


def _sees_gpu() -> bool:
    """Whether a card's driver is there; asking torch would load it into this process, which only hands out work."""
    return any(Path(node).exists() for node in ("/dev/nvidiactl", "/dev/kfd"))


def _share_of_cores(workers: int) -> int | None:
    """Threads of each of several workers; a lone one decides for itself."""
    return max(1, usable_cores() // workers) if workers > 1 else None

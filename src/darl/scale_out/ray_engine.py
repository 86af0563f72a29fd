"""RayEngine: shards out to the workers of a Ray cluster, results back, each shard exactly once.

One process reads the pairs, hands each worker a shard and one more to wait, and keeps every result as it comes, so
memory is bounded by the workers and not by the file. Actors rather than a Ray dataset, because a shard is the unit
that resumes: a worker that dies is started again and its shard is scored again, and since only whole results are kept,
no row is lost or stands twice.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from darl.dasa.shards import PoolShard
from darl.errors import DarlError, MissingExtraError, ModelError
from darl.model.precision import Dtype
from darl.scale_out.worker import ShardWorker
from darl.verbs.score_source import Shard

AHEAD = 2  # shards a worker holds: the one it scores, and one that waits
RETRIES = 3


class RayEngine:
    """Scores shards on a cluster; pass it to :func:`darl.score_pairs` or :func:`darl.select` as ``engine``.

    Args:
        model: the folder of a model, a run or an export. Every machine must see it under this path.
        runtime: ``onnx`` for a folder that ``darl export`` wrote.
        device: of each worker; with ``cuda`` a worker takes one GPU.
        dtype: what each worker computes in; default what the model was saved in.
        workers: how many; default one a core, or one a GPU.
        threads: of each worker; default the cores divided among the workers.
        address: of a running cluster, as ``ray.init`` takes it; default ``RAY_ADDRESS``, or a cluster on this
            machine for as long as the job takes.

    Raises:
        MissingExtraError: Ray is not installed.

    For instance::

        darl.score_pairs(model, "pairs.parquet", "scored.parquet", engine=RayEngine(model, workers=8))
        darl.select(model, "pool.parquet", budget=500, cache="pool-cache", engine=RayEngine(model, workers=8))
    """

    def __init__(
        self,
        model: str | Path,
        *,
        runtime: Literal["torch", "onnx"] = "torch",
        device: str | None = None,
        dtype: Dtype | None = None,
        workers: int | None = None,
        threads: int | None = None,
        address: str | None = None,
    ) -> None:
        try:
            import ray
            import ray.exceptions
        except ImportError as error:
            raise MissingExtraError("Ray is not installed", mend="pip install 'darl[ray]'") from error
        self._ray: Any = ray
        self.model, self.runtime = str(Path(model).expanduser().resolve()), runtime
        self.device, self.dtype = device, dtype
        self.workers, self.threads, self.address = workers, threads, address
        self._begun: list[Any] | None = None  # the workers
        self._held = ExitStack()

    def begin(self) -> list[Any]:
        """Start the cluster and its workers, which then load their models while the caller does other things.

        A second time it does nothing more. A call of the engine begins it where nobody has, and ends it.

        Returns:
            the workers.

        Raises:
            ModelError: the cluster has no GPU where one is needed.
        """
        if self._begun is None:
            with ExitStack() as stack:
                stack.enter_context(self._cluster())
                self._begun = self._actors()
                stack.callback(self._end, self._begun)
                self._held = stack.pop_all()
        return self._begun

    def end(self) -> None:
        """End the workers, and the cluster where it is the job's own; again is nothing more."""
        self._begun = None
        self._held.close()

    def __call__(self, shards: Iterator[Shard], options: dict[str, Any]) -> Generator[tuple[int, pa.Table], None, None]:
        """(number of the shard, its results) as they come, not in order.

        Raises:
            ModelError: a worker cannot load the model, or died on one shard again and again.
        """
        jobs = ((shard.number, (shard.queries, shard.items, options)) for shard in shards)
        yield from self._each("score", jobs)

    def embed(self, shards: Iterable[PoolShard]) -> Generator[tuple[int, dict[str, np.ndarray]], None, None]:
        """(number of the shard, its features and scores) of a pool's shards as they come, not in order.

        Raises:
            ModelError: as scoring does.
        """
        yield from self._each("embed", ((shard.number, (shard.queries, shard.items)) for shard in shards))

    def _each(self, method: str, jobs: Iterator[tuple[int, tuple]]) -> Generator[tuple[int, Any], None, None]:
        """Each job through a method of some worker: (its number, what came back)."""
        ray, actors = self._ray, self.begin()
        with ExitStack() as stack:
            stack.callback(self.end)
            free = deque(actor for _ in range(AHEAD) for actor in actors)
            waiting: dict[Any, tuple[Any, int]] = {}
            job = next(jobs, None)
            while job is not None or waiting:
                while job is not None and free:
                    actor, (number, arguments) = free.popleft(), job
                    waiting[getattr(actor, method).remote(*arguments)] = actor, number
                    job = next(jobs, None)
                (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                actor, number = waiting.pop(done)
                free.append(actor)
                yield number, self._result(done, number)

    def _end(self, actors: list[Any]) -> None:
        # On a cluster that goes on, workers that something still refers to would keep its cores.
        for actor in actors:
            self._ray.kill(actor)

    def _result(self, done: Any, number: int) -> Any:
        ray = self._ray
        try:
            return ray.get(done)
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, DarlError):
                raise cause from None
            raise ModelError(f"a worker failed on shard {number}: {cause}") from error
        except ray.exceptions.RayActorError as error:
            raise ModelError(
                f"a worker died {RETRIES + 1} times on shard {number}, or could not start",
                mend="look at its machine's memory and at Ray's logs; fewer workers or a smaller tokens_per_batch "
                "need less. The same command goes on from the shards that are done",
            ) from error

    def _actors(self) -> list[Any]:
        ray = self._ray
        found = ray.cluster_resources()
        cores, gpus = int(found.get("CPU", 1)), int(found.get("GPU", 0))
        on_gpu = bool(self.device and self.device.startswith("cuda"))
        if on_gpu and not gpus:
            raise ModelError("the cluster has no GPU", mend="leave --device out, or start Ray where the GPUs are")
        count = self.workers or (gpus if on_gpu else cores)
        threads = self.threads or max(1, cores // count)
        kind = ray.remote(
            num_cpus=share_of(cores, count, threads),
            num_gpus=share_of(gpus, count, 1) if on_gpu else 0,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )(ShardWorker)
        return [kind.remote(self.model, self.runtime, self.device, self.dtype, threads) for _ in range(count)]

    @contextmanager
    def _cluster(self) -> Iterator[None]:
        """The cluster that is there, or one of this job's own, which sends nobody any statistics."""
        ray = self._ray
        if ray.is_initialized():
            yield
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        own: dict[str, Any] = {} if self.address or os.environ.get("RAY_ADDRESS") else {"include_dashboard": False}
        ray.init(address=self.address, log_to_driver=False, logging_level=logging.ERROR, **own)
        try:
            yield
        finally:
            ray.shutdown()


def share_of(resource: int, workers: int, wanted: int) -> float:
    """What a worker may claim so that all of them find a place: Ray takes whole numbers, or fractions below one.

    >>> share_of(8, 2, 4), share_of(2, 8, 1), share_of(3, 2, 2)
    (4, 0.25, 1)
    """
    each = resource / workers
    return min(wanted, int(each)) if each >= 1 else each

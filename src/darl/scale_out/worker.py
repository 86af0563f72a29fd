"""What one worker process does: load the model once, then score shard after shard, of pairs or of a pool."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from darl.dasa.shards import pool_arrays
from darl.memory import give_back_memory
from darl.model.precision import Dtype
from darl.pairs import PairTable


class ShardWorker:
    """Scores shards with a model of its own.

    Args:
        model: the folder of a model, a run or an export, as this worker's machine sees it.
        threads: of the matrix products, so that workers of one machine do not fight over its cores.

    Raises:
        ModelError: the folder is missing, incomplete or corrupt on this machine.
    """

    def __init__(
        self, model: str, runtime: Literal["torch", "onnx"], device: str | None, dtype: Dtype | None, threads: int
    ) -> None:
        import torch

        from darl.progress import quiet_libraries
        from darl.verbs.inputs import as_scorer

        quiet_libraries()
        torch.set_num_threads(threads)
        self.model = as_scorer(model, runtime=runtime, device=device, dtype=dtype)

    def score(self, queries: Sequence[str], items: Sequence[str], options: dict[str, Any]) -> pa.Table:
        """One row a pair, in order: the columns of :meth:`darl.model.scores.Scores.to_arrow`."""
        encoded = self.model.encode(queries=queries, items=items)
        found = self.model.score_encoded(encoded, **options).to_arrow()
        give_back_memory()  # a shard takes seconds, the call milliseconds; a worker lives for millions of pairs
        return found

    def embed(self, queries: Sequence[str], items: Sequence[str]) -> dict[str, np.ndarray]:
        """What a shard of a pool holds of these pairs: :func:`darl.dasa.shards.pool_arrays`."""
        found = pool_arrays(self.model, PairTable.from_pairs(queries, items))  # type: ignore[arg-type]
        give_back_memory()
        return found

    def process(self) -> int:
        """The process's number on its machine."""
        return os.getpid()

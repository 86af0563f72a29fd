"""What a scoring run has done so far, beside the file it will write: one small file a shard.

Killed at any point, the same command goes on with the first shard that is not there. The folder belongs to one
job, told by its fingerprint (model, pairs, settings); one of another job is cleared.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from darl.errors import DarlError
from darl.storage import atomic_file, atomic_write_json, read_json, stable_hash, storage_errors

JOB = "job.json"


class ScoreParts:
    """The results of a job's shards, without the source's own columns.

    Args:
        out: the file that the job will write.
        job: what the results depend on; JSON.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(self, out: Path, job: dict[str, Any]) -> None:
        self.folder = out.with_name(f".{out.name}.parts")
        job = {"job": stable_hash(job)}
        with storage_errors(self.folder):
            if self._read_job() != job:
                self.remove()
                self.folder.mkdir(parents=True)
                atomic_write_json(self.folder / JOB, job)

    def has(self, shard: int) -> bool:
        """Whether a shard is done."""
        return self._path(shard).is_file()

    def write(self, shard: int, results: pa.Table) -> None:
        """Keep a shard's results, whole or not at all."""
        with atomic_file(self._path(shard)) as scratch:
            pq.write_table(results, scratch, compression="zstd")

    def read(self, shard: int) -> pa.Table:
        """A shard's results."""
        with storage_errors(self._path(shard)):
            return pq.read_table(self._path(shard))

    def remove(self) -> None:
        """Clear the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.parquet"

    def _read_job(self) -> Any:
        try:
            return read_json(self.folder / JOB)
        except DarlError:  # none, or cut short
            return None

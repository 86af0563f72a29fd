"""A pool scored in shards on the disk: bounded memory, every feature at hand, and a kill loses one shard at most.

    CACHE/<key>/shard-00000.safetensors     features (r, d), ood_scores, ood_percentiles, grades, relevance,
                                            probabilities (r, K) of the pool's rows 0 … r − 1
    CACHE/<key>/pool.json                   what the key stands for

The key hashes the model, its OOD reference, the pool's texts and the shard size, so nothing stale is ever read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from darl.dasa.candidates import CHUNK, Candidates, Progress, Scorer, check_finite, require_ood
from darl.errors import RecipeError, StorageError
from darl.memory import give_back_memory
from darl.pairs import PairTable
from darl.storage import atomic_file, atomic_write_json, sha256_file, stable_hash, storage_errors

SHARD = 8192
"""Pairs of a shard: some seconds to minutes of work, some megabytes of features."""

NUMBERS = ("ood_scores", "ood_percentiles", "grades", "relevance", "probabilities")


class PoolShard(NamedTuple):
    """The texts of one shard that is still to be scored."""

    number: int
    queries: list[str]
    items: list[str]


class PoolEngine(Protocol):
    """Scores a pool's shards elsewhere, as :class:`darl.scale_out.RayEngine` does."""

    def embed(self, shards: Iterable[PoolShard]) -> Iterator[tuple[int, Mapping[str, np.ndarray]]]:
        """(number, the arrays of :func:`pool_arrays`) of each shard, in any order."""
        ...


@dataclass(frozen=True)
class ScoredPool:
    """The candidates of a pool, and its features read from the shards when asked for.

    Attributes:
        candidates: what the model says of the n pairs.
        folder: where the shards lie.
        shard: pairs of each, the last one aside.
    """

    candidates: Candidates
    folder: Path
    shard: int

    def features(self, rows: np.ndarray) -> np.ndarray:
        """What the OOD reference reads of these pool rows, (r,) → (r, d) float32; one shard in memory at a time."""
        rows = np.asarray(rows, dtype=np.int64)
        out: np.ndarray | None = None
        for number in np.unique(rows // self.shard):
            here = np.flatnonzero(rows // self.shard == number)
            with safe_open(_path(self.folder, int(number)), "np") as file:
                block = file.get_tensor("features")
            out = np.empty((len(rows), block.shape[1]), dtype=np.float32) if out is None else out
            out[here] = block[rows[here] - number * self.shard]
        return np.zeros((0, 0), dtype=np.float32) if out is None else out


def score_in_shards(
    model: Scorer,
    pool: PairTable,
    cache: str | Path,
    *,
    model_key: str,
    shard: int = SHARD,
    chunk: int = CHUNK,
    progress: Progress | None = None,
    engine: PoolEngine | None = None,
) -> ScoredPool:
    """Scores a pool shard by shard; shards that are there already are read, not made.

    Args:
        model: with an OOD reference.
        pool: n pairs.
        cache: a folder; many pools and models can share it.
        model_key: what tells this model from others, such as :func:`folder_key` of its folder.
        shard: pairs of a shard.
        chunk: pairs scored at once.
        progress: called with the number of pairs done, those of finished shards included.
        engine: scores the shards that are missing, in place of ``model``.

    Raises:
        ModelError: the model has no OOD reference, or gives scores that are not finite.
        StorageError: the cache cannot be written, or a shard is damaged.
    """
    require_ood(model)
    about = {"model": model_key, "pool": pool.fingerprint(), "shard": shard, "format": 1}
    folder = Path(cache) / stable_hash(about)[:32]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "pool.json").exists():
        atomic_write_json(folder / "pool.json", {**about, "pairs": len(pool)})
    numbers = range(-(-len(pool) // shard))
    missing = [number for number in numbers if not _path(folder, number).exists()]
    if progress:
        progress(sum(_size(pool, shard, number) for number in numbers if number not in set(missing)))
    if engine is None:
        _score_here(model, pool, folder, missing, shard, chunk, progress)
    elif missing:  # an engine may have a cluster to start
        texts = (PoolShard(number, *_texts(pool.take(_rows(pool, shard, number)))) for number in missing)
        with closing(engine.embed(texts)) as results:  # type: ignore[type-var]
            for number, arrays in results:
                _keep(folder, number, arrays)
                if progress:
                    progress(_size(pool, shard, number))
    parts = [_numbers(_path(folder, number)) for number in numbers]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in NUMBERS}
    candidates = Candidates(model.scale, **whole)
    check_finite(candidates)
    return ScoredPool(candidates, folder, shard)


def folder_key(folder: str | Path) -> str:
    """What tells a saved model from others: the hash of its files' contents, as hex.

    Raises:
        RecipeError: not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecipeError("a cache needs a saved model", where=folder, mend="give the model's folder to select")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return stable_hash({str(path.relative_to(folder)): sha256_file(path) for path in files})


def pool_arrays(
    model: Scorer, pairs: PairTable, *, chunk: int = CHUNK, progress: Progress | None = None
) -> dict[str, np.ndarray]:
    """What a shard holds of n pairs: ``features`` (n, d), and of each pair its OOD score and percentile, grade,
    relevance score and grade probabilities.
    """
    parts = []
    for start in range(0, len(pairs), chunk):
        some = pairs.take(np.arange(start, min(start + chunk, len(pairs))))
        features = np.asarray(model.ood_features(model.encode(some)), dtype=np.float32)
        says: Any = model.score(some, ood=False)
        out = np.asarray(model.ood.score(features), dtype=np.float64)
        parts.append(
            {
                "features": features,
                "ood_scores": out,
                "ood_percentiles": np.asarray(model.ood.percentile_of(out), dtype=np.float64),
                "grades": np.asarray(says.grades, dtype=np.int64),
                "relevance": np.asarray(says.relevance, dtype=np.float64),
                "probabilities": np.asarray(says.probabilities, dtype=np.float32),
            }
        )
        if progress:
            progress(len(some))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _score_here(
    model: Scorer,
    pool: PairTable,
    folder: Path,
    missing: list[int],
    shard: int,
    chunk: int,
    progress: Progress | None,
) -> None:
    for number in missing:
        _keep(folder, number, pool_arrays(model, pool.take(_rows(pool, shard, number)), chunk=chunk, progress=progress))
        give_back_memory()


def _keep(folder: Path, number: int, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_file(_path(folder, number)) as scratch:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, scratch)


def _rows(pool: PairTable, shard: int, number: int) -> np.ndarray:
    return np.arange(number * shard, min((number + 1) * shard, len(pool)))


def _size(pool: PairTable, shard: int, number: int) -> int:
    return min((number + 1) * shard, len(pool)) - number * shard


def _texts(pairs: PairTable) -> tuple[list[str], list[str]]:
    return list(pairs.queries), list(pairs.items)


def _path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"


def _numbers(path: Path) -> dict[str, np.ndarray]:
    """The shard's arrays without its features."""
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in NUMBERS}
    except (SafetensorError, OSError) as error:
        raise StorageError(f"the shard is damaged ({error})", where=path, mend="remove it and run again") from error

"""A pool scored in shards on the disk: bounded memory, every feature at hand, and a kill loses one shard at most.

    CACHE/<key>/shard-00000.safetensors     features (r, d), ood_scores, ood_percentiles, grades, relevance,
                                            probabilities (r, K) of the pool's rows 0 … r − 1
    CACHE/<key>/pool.json                   what the key stands for

The key hashes the model, its OOD reference, the pool's texts and the shard size, so nothing stale is ever read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from darl.dasa.candidates import CHUNK, Candidates, Progress, Scorer, check_finite, require_ood
from darl.errors import RecipeError, StorageError
from darl.grades import GradeScale
from darl.memory import give_back_memory
from darl.pairs import PairTable
from darl.storage import atomic_file, atomic_write_json, sha256_file, stable_hash, storage_errors

SHARD = 8192
"""Pairs of a shard: some seconds to minutes of work, some megabytes of features."""

NUMBERS = ("ood_scores", "ood_percentiles", "grades", "relevance", "probabilities")


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
    parts: list[dict[str, np.ndarray]] = []
    scale: GradeScale | None = None
    for number, start in enumerate(range(0, len(pool), shard)):
        path, rows = _path(folder, number), np.arange(start, min(start + shard, len(pool)))
        if not path.exists():
            arrays, scale = _scored(model, pool, rows, chunk, progress)
            with atomic_file(path) as scratch:
                save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, scratch)
            del arrays
            give_back_memory()
        elif progress:
            progress(len(rows))
        parts.append(_numbers(path))
    if scale is None:  # every shard was there
        scale = _scored(model, pool, np.arange(min(1, len(pool))), chunk, None)[1]
    whole = {name: np.concatenate([part[name] for part in parts]) for name in NUMBERS}
    candidates = Candidates(scale, **whole)
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


def _scored(
    model: Scorer, pool: PairTable, rows: np.ndarray, chunk: int, progress: Progress | None
) -> tuple[Mapping[str, np.ndarray], GradeScale]:
    parts, scale = [], None
    for start in range(0, len(rows), chunk):
        pairs = pool.take(rows[start : start + chunk])
        features = np.asarray(model.ood_features(model.encode(pairs)), dtype=np.float32)
        says: Any = model.score(pairs, ood=False)
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
        scale = says.scale
        if progress:
            progress(len(pairs))
    assert scale is not None
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, scale


def _path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05d}.safetensors"


def _numbers(path: Path) -> dict[str, np.ndarray]:
    """The shard's arrays without its features."""
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in NUMBERS}
    except (SafetensorError, OSError) as error:
        raise StorageError(f"the shard is damaged ({error})", where=path, mend="remove it and run again") from error

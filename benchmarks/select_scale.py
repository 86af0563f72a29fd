"""Scale of a selection: pools of synthetic features on the disk, scored, guarded and selected; seconds and memory.

    OMP_NUM_THREADS=2 python benchmarks/select_scale.py --sizes 100000 300000 1000000

Each size runs in a process of its own. The pool is a file of float32 features, read a chunk at a time, and a table of
made-up texts; the model is a linear head, so what is timed is selection and not the backbone. 4,000 training pairs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from darl.dasa import select
from darl.grades import GradeScale
from darl.ood import fit_reference
from darl.pairs import PairTable
from darl.storage import atomic_write_json
from machine import commit, machine

RESULTS = Path(__file__).resolve().parent / "results" / "select_scale.json"
D, TRAIN = 384, 4000
WORDS = [a + b for a in ("la", "ro", "mi", "te", "su", "no", "ka", "pe") for b in ("mp", "ll", "nt", "rs", "ck", "st")]


class FileModel:
    """Answers selection from a file of features; the pair's row stands in the column ``at``."""

    def __init__(self, path: Path | None, rows: np.ndarray | None, reference: Any) -> None:
        self.path, self.rows, self.ood = path, rows, reference
        self.head = np.random.default_rng(0).normal(0, 0.1, (D, 3)).astype(np.float32)
        self.scale = GradeScale(("bad", "fair", "good"))

    def encode(self, pairs: PairTable) -> np.ndarray:
        return pairs.arrow.column("at").to_numpy()

    def ood_features(self, encoded: np.ndarray) -> np.ndarray:
        found = np.empty((len(encoded), D), dtype=np.float32)
        known = encoded < 0  # training pairs
        if known.any():
            assert self.rows is not None
            found[known] = self.rows[-encoded[known] - 1]
        here = np.flatnonzero(~known)
        if len(here):
            rows = encoded[here]
            if rows[-1] - rows[0] + 1 == len(rows):
                found[here] = np.fromfile(self.path, np.float32, len(rows) * D, offset=int(rows[0]) * D * 4).reshape(
                    -1, D
                )
            else:
                with open(self.path, "rb") as file:  # type: ignore[arg-type]
                    for place, row in zip(here, rows, strict=True):
                        file.seek(int(row) * D * 4)
                        found[place] = np.frombuffer(file.read(D * 4), np.float32)
        return found

    def score(self, pairs: PairTable, *, ood: bool = True) -> SimpleNamespace:
        features = self.ood_features(self.encode(pairs))
        raw = np.exp(features @ self.head)
        chances = raw / raw.sum(axis=1, keepdims=True)
        out = self.ood.score(features)
        return SimpleNamespace(
            scale=self.scale, probabilities=chances, grades=chances.argmax(1), relevance=self.scale.relevance(chances),
            ood_scores=out, ood_percentiles=self.ood.percentile_of(out),
        )  # fmt: skip


def texts(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    words = np.array(WORDS, dtype=object)
    queries = [" ".join(row) for row in words[rng.integers(0, len(words), (n // 5 + 1, 3))]]
    items = [" ".join(row) for row in words[rng.integers(0, len(words), (n, 6))]]
    return pa.table({"query": [queries[i % len(queries)] for i in range(n)], "item": items})


def one(n: int, strategy: str, folder: Path) -> dict[str, Any]:
    """One size: made, then timed."""
    rng = np.random.default_rng(1)
    mix = rng.normal(0, 1, (D, D)).astype(np.float32) / D**0.5
    train = (rng.normal(1, 1, (TRAIN, D)) @ mix).astype(np.float32)
    held = (rng.normal(1, 1, (1000, D)) @ mix).astype(np.float32)
    path = folder / "pool.f32"
    with path.open("wb") as file:
        for start in range(0, n, 50_000):
            size = min(50_000, n - start)
            rows = rng.standard_normal((size, D), dtype=np.float32) + 1
            rows[rng.random(size) < 0.1] -= 1.5
            file.write((rows @ mix).tobytes())
    table = texts(n, 2).append_column("at", pa.array(np.arange(n)))
    pool = PairTable(table)
    known = PairTable(texts(TRAIN, 3).append_column("at", pa.array(-np.arange(TRAIN) - 1)))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    wall, cpu = time.monotonic(), time.process_time()
    reference = fit_reference(train, held, "knn", k=50)
    picked = select(FileModel(path, train, reference), pool, budget=1000, train=known, strategy=strategy)
    return {
        "pairs": n, "strategy": strategy, "picked": len(picked), "seconds": time.monotonic() - wall,
        "processor_seconds": time.process_time() - cpu,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, "peak_gb_before": before,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--strategy", default="dasa")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--dry", action="store_true", help="print only")
    args = parser.parse_args()
    if args.one:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(one(args.one, args.strategy, Path(folder))))
        return
    rows = []
    for size in args.sizes:
        command = [sys.executable, __file__, "--one", str(size), "--strategy", args.strategy]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
    largest = max(rows, key=lambda row: row["pairs"])
    found = (
        {"seconds_1m": largest["seconds"], "peak_gb_1m": largest["peak_gb"]} if largest["pairs"] == 1_000_000 else {}
    )
    if not args.dry:
        atomic_write_json(
            RESULTS,
            {
                "benchmark": "select_scale",
                "command": "OMP_NUM_THREADS=2 python benchmarks/select_scale.py",
                "commit": commit(),
                "machine": machine(),
                "headline": found,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()

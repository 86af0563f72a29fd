"""Ray with two workers against one process with both cores: the same model, the same pairs, in turn.

    python benchmarks/scale_out.py                       # 20,000 pairs of retail, MiniLM-L6
    python benchmarks/scale_out.py --pairs 2000 --repeats 1

`ratio` is of the median wall seconds, one process over Ray, the cluster's start and the loading of the models
included on both sides; `rows_exact` is 1 where every row came once, in order, with the same scores within 1e-5.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.progress import quiet_libraries
from darl.scale_out import RayEngine
from darl.storage import atomic_write_json
from darl.verbs.score import score_pairs
from machine import commit, machine
from peer import read_pairs_of

RESULTS = Path(__file__).resolve().parent / "results" / "ray.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    quiet_libraries()
    torch.set_num_threads(args.workers)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        source, model = Path(scratch) / "pairs.parquet", Path(scratch) / "model"
        write_pairs_of(source, args.pairs)
        scale = GradeScale(("irrelevant", "weak", "strong"))
        RelevanceModel.from_backbone(args.backbone, scale).save_pretrained(model)
        for repeat in range(args.repeats):
            ways = ("one process", "ray")
            for way in ways if repeat % 2 == 0 else ways[::-1]:
                out = Path(scratch) / f"{way.replace(' ', '_')}.parquet"
                begin = time.perf_counter()
                score_pairs(model, source, out, engine=RayEngine(model, workers=args.workers) if way == "ray" else None)
                rows.append({"way": way, "repeat": repeat, "seconds": round(time.perf_counter() - begin, 2)})
                print(rows[-1], flush=True)
        exact = same(pq.read_table(Path(scratch) / "one_process.parquet"), pq.read_table(Path(scratch) / "ray.parquet"))
    seconds = {way: float(np.median([row["seconds"] for row in rows if row["way"] == way])) for way in ways}
    found = {"ratio": seconds["one process"] / seconds["ray"], "rows_exact": float(exact)}
    print(found)
    command = f"python benchmarks/scale_out.py --backbone {args.backbone} --pairs {args.pairs} --repeats {args.repeats}"
    facts = {"benchmark": "ray", "command": command, "commit": commit()}
    where = machine() | {"threads": torch.get_num_threads()}
    atomic_write_json(RESULTS, facts | {"machine": where} | {"headline": found, "rows": rows})


def write_pairs_of(path: Path, count: int) -> None:
    """So many pairs of retail's test sets, again and again from the start, numbered."""
    queries, items = [], []
    for tier in ("test_id", "test_near", "test_far"):
        more = read_pairs_of("retail", tier, queries=None, items=None)
        queries, items = queries + more[0], items + more[1]
    at = [number % len(queries) for number in range(count)]
    table = {"row": range(count), "query": [queries[i] for i in at], "item": [items[i] for i in at]}
    pq.write_table(pa.table({name: list(values) for name, values in table.items()}), path)


def same(one: pa.Table, other: pa.Table) -> bool:
    """Whether both have every row once, in order, with the same scores."""
    rows = one["row"].to_pylist() == other["row"].to_pylist() == list(range(one.num_rows))
    return rows and np.allclose(one["relevance_score"].to_numpy(), other["relevance_score"].to_numpy(), atol=1e-5)


if __name__ == "__main__":
    main()

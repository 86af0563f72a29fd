"""Scoring with prompts and queries kept between batches against scoring without, batch by batch in turn.

    python benchmarks/kept_prefixes.py                            # smollm2-135m, bare prompt, batches of 32
    python benchmarks/kept_prefixes.py --prompt guideline --batch 1 --half --all

Requests are those of serve.py: a query and an item each, drawn from the invented world. About a thousand go first, or
with `--all` every query once. `share_kept` is the tokens taken from the store over those and the ones computed beside
them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from darl.demo.world import make_world
from darl.model import RelevanceModel
from darl.model.inference.kept import set_store
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine
from peer import PROMPTS, save_fresh
from serve import bodies

RESULTS = Path(__file__).resolve().parent / "results" / "kept_prefixes.json"
WARM = 1024  # pairs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--prompt", choices=PROMPTS, default="bare")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--batches", type=int, default=12)
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--half", action="store_true", help="weights in bfloat16")
    parser.add_argument("--all", action="store_true", help="every query comes once beforehand")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    quiet_libraries()
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as scratch:
        dtype = torch.bfloat16 if args.half else torch.float32
        folder = save_fresh(args.backbone, args.prompt, Path(scratch) / "model", dtype)
        model = RelevanceModel.from_pretrained(folder)
    found = measure(model, args)
    print(json.dumps(found))
    about = {"benchmark": "kept_prefixes", "commit": commit(), "machine": machine()}
    settings = {"backbone": args.backbone, "prompt": args.prompt, "half": args.half, "all": args.all}
    atomic_write_json(args.out, {**about, **settings, "batch": args.batch, **found})


def measure(model: RelevanceModel, args: argparse.Namespace) -> dict[str, float]:
    """Medians of both ways over the same batches, who goes first in turn."""
    source = ((query, items[0]) for query, items in bodies(1))
    warm = list(itertools.islice(source, WARM))
    if args.all:
        queries = sorted({row["query"] for row in make_world(seed=0, train=1998).train})
        warm = list(zip(queries, itertools.cycle(item for _, item in warm)))
    model.keep_prefixes(args.megabytes * 2**20)
    store = model.kept_prefixes
    assert store is not None
    for begin in range(0, len(warm), 32):
        score(model, warm[begin : begin + 32])
    known = {query for query, _ in warm}
    taken, computed = store.taken, store.computed
    seconds: dict[bool, list[float]] = {True: [], False: []}
    repeated, difference = 0, 0.0
    for number in range(args.batches):
        batch, found = list(itertools.islice(source, args.batch)), {}
        repeated += sum(query in known for query, _ in batch)
        for keeps in (number % 2 == 0, number % 2 == 1):
            set_store(model.network, store if keeps else None)
            begin = time.perf_counter()
            found[keeps] = score(model, batch)
            seconds[keeps].append(time.perf_counter() - begin)
        known |= {query for query, _ in batch}
        difference = max(difference, float(np.abs(found[True] - found[False]).max()))
    taken, computed = store.taken - taken, store.computed - computed
    return {
        "pairs_per_second": args.batch / median(seconds[True]),
        "pairs_per_second_without": args.batch / median(seconds[False]),
        "ratio": median(seconds[False]) / median(seconds[True]),
        "share_of_repeated_queries": repeated / (args.batches * args.batch),
        "share_kept": taken / (taken + computed),
        "bytes": store.bytes,
        "max_probability_difference": difference,
    }


def score(model: RelevanceModel, pairs: list[tuple[str, str]]) -> np.ndarray:
    return model.score(queries=[q for q, _ in pairs], items=[i for _, i in pairs], ood=False).probabilities


if __name__ == "__main__":
    main()

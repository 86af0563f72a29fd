"""Pairs with distinct queries: darl against CrossEncoder.predict on an encoder, same weights, interleaved.

    python benchmarks/score_distinct.py                  # health_zh test_far, me5-small
    python benchmarks/score_distinct.py --pairs 200 --repeats 3

Nothing is shared here but the padding that is not there.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine
from peer import as_probabilities, interleaved, limit_share, read_pairs_of, require_same, row

RESULTS = Path(__file__).resolve().parent / "results" / "score_distinct.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="me5-small")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int)
    args = parser.parse_args()
    quiet_libraries()
    if args.threads:
        torch.set_num_threads(args.threads)
    queries, items = read_pairs_of("health_zh", "test_far", queries=None, items=1)
    queries, items = queries[: args.pairs], items[: args.pairs]
    pairs = list(zip(queries, items, strict=True))
    with tempfile.TemporaryDirectory() as scratch:
        model = RelevanceModel.from_backbone(args.backbone, GradeScale(("irrelevant", "weak", "strong")))
        folder = model.save_pretrained(Path(scratch) / "model")
        ours, theirs = RelevanceModel.from_pretrained(folder), CrossEncoder(str(folder), device="cpu", max_length=256)
    first = ours.score(queries=queries[:4], items=items[:4]).probabilities
    require_same(first, as_probabilities(theirs.predict(pairs[:4], show_progress_bar=False)))
    ways = {
        "darl": lambda: ours.score(queries=queries, items=items).probabilities,
        "CrossEncoder": lambda: as_probabilities(theirs.predict(pairs, show_progress_bar=False)),
    }
    seconds, found = interleaved(ways, args.repeats)
    difference = float(np.abs(found["darl"] - found["CrossEncoder"]).max())
    rows = [{"way": way, "max_probability_difference": difference} | row(seconds[way], len(pairs)) for way in ways]
    tokens = int(ours.encode(queries=queries, items=items).lengths.sum())
    rows[0] |= {"tokens": tokens, "limit_share": limit_share(ours, tokens, len(pairs) / rows[0]["pairs_per_second"])}
    headline = {"ratio": rows[0]["pairs_per_second"] / rows[1]["pairs_per_second"]}
    for one in rows:
        print(
            f"{one['way']:<14} {one['pairs_per_second']:8.1f} pairs/s, {one['pairs_per_cpu_second']:.1f} a cpu second"
        )
    print(headline, difference)
    facts = {"benchmark": "score_distinct", "commit": commit()}
    facts["command"] = f"python benchmarks/score_distinct.py --pairs {args.pairs} --repeats {args.repeats}"
    facts["machine"] = machine() | {"threads": torch.get_num_threads()}
    atomic_write_json(RESULTS, facts | {"headline": headline, "rows": rows})


if __name__ == "__main__":
    main()

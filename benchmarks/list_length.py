"""What a pair costs as lists grow: the same 1,000 items of one query, in lists of 10, 30, 100, 300 and 1,000.

    python benchmarks/list_length.py
    python benchmarks/list_length.py --items 200 --repeats 2

The longer the list, the more items share prompt and query, so a pair should cost less, and never more. Each list is a
call of its own. Weights as their publisher ships them, a prompt with a guideline, the lengths in turn; freed memory is
kept for the next call, as the server keeps it.
`cost_last_over_first` is the time of a pair in the longest lists over that in the shortest, `largest_rise` the largest
share by which a pair costs more in lists of one length than in those of the one before (negative: it always falls).
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from darl.memory import keep_freed_memory
from darl.model import RelevanceModel
from darl.model.encoding import TOKENS_PER_BATCH
from darl.model.inference.packs import make_packs
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine
from peer import interleaved, limit_share, read_pairs_of, row, save_fresh

RESULTS = Path(__file__).resolve().parent / "results" / "list_length.json"
LENGTHS = (10, 30, 100, 300, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    quiet_libraries()
    keep_freed_memory()
    queries, items = read_pairs_of("retail", "test_far", queries=None, items=None)
    items = list(dict.fromkeys(items))[: args.items]
    query = queries[0]
    with tempfile.TemporaryDirectory() as scratch:
        model = RelevanceModel.from_pretrained(
            save_fresh(args.backbone, "guideline", Path(scratch) / "model", dtype=torch.bfloat16)
        )
    lengths = [length for length in LENGTHS if length <= len(items)]
    ways = {str(length): partial(in_lists, model, query, items, length) for length in lengths}
    model.score(queries=[query] * 4, items=items[:4])
    seconds, found = interleaved(ways, args.repeats)
    rows = []
    for way in ways:
        one = {"list": int(way)} | row(seconds[way], len(items))
        tokens = distinct_tokens(model, query, items, int(way))
        one |= {"distinct_tokens_a_pair": tokens / len(items)}
        one |= {"limit_share": limit_share(model, tokens, float(np.median(seconds[way]["wall"])))}
        one |= {"max_probability_difference": float(np.abs(found[way] - found[str(lengths[0])]).max())}
        rows.append(one)
        print(f"lists of {way:>5}: {one['pairs_per_second']:7.1f} pairs/s, {tokens / len(items):5.1f} tokens a pair")
    cost = [1 / one["pairs_per_second"] for one in rows]
    headline = {
        "cost_last_over_first": cost[-1] / cost[0],
        "largest_rise": max(after / before - 1 for before, after in pairwise(cost)),
    }
    print(headline)
    facts = {"benchmark": "list_length", "commit": commit()}
    facts["command"] = f"python benchmarks/list_length.py --items {args.items} --repeats {args.repeats}"
    facts["machine"] = machine() | {"threads": torch.get_num_threads()}
    atomic_write_json(RESULTS, facts | {"headline": headline, "rows": rows})


def in_lists(model: RelevanceModel, query: str, items: list[str], length: int) -> np.ndarray:
    """Probabilities of all items, (n, K), a call for each list."""
    lists = [items[start : start + length] for start in range(0, len(items), length)]
    return np.concatenate([model.score(queries=[query] * len(one), items=one).probabilities for one in lists])


def distinct_tokens(model: RelevanceModel, query: str, items: list[str], length: int) -> int:
    """Tokens that go through the network for all lists."""
    total = 0
    for start in range(0, len(items), length):
        one = items[start : start + length]
        encoded = model.encode(queries=[query] * len(one), items=one)
        total += sum(len(pack.tree) for pack in make_packs(encoded, TOKENS_PER_BATCH, share=True))
    return total


if __name__ == "__main__":
    main()

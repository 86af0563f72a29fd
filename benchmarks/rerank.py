"""Rerank lists: darl against sentence-transformers' CrossEncoder.predict, same weights, interleaved.

    python benchmarks/rerank.py                                   # 67 queries of retail test_far, as the figures ask
    python benchmarks/rerank.py --queries 4 --items 30 --repeats 3
    python benchmarks/rerank.py --device cuda                     # both in bfloat16; writes rerank-gpu.json

`same_dtype`: both in float32 with a prompt of 50-odd guideline tokens. `bare`: the same without the guideline.
`default`: the weights as their publisher ships them (bfloat16), each tool at its defaults; on a processor without
bfloat16 that is emulation for the peer, and float32 for darl, which casts up on loading. `token_efficiency`: the
share of the time that sharing saves of what the tokens saved allow, both packed. The ratios are of medians by the
wall clock; the rows also have processor seconds, which a busy machine disturbs less.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from darl.model import RelevanceModel
from darl.model.encoding import TOKENS_PER_BATCH, EncodedPairs
from darl.model.inference.packed import read_packed
from darl.model.inference.packs import make_packs
from darl.model.inference.reading import Wanted, to_numpy
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine
from peer import PROMPTS, as_probabilities, interleaved, limit_share, read_pairs_of, require_same, row, save_fresh

RESULTS = Path(__file__).resolve().parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="smollm2-135m")
    parser.add_argument("--queries", type=int, default=67)
    parser.add_argument("--items", type=int, help="of each query, where fewer than all")
    parser.add_argument(
        "--default-queries", type=int, default=12, help="for the run at defaults: emulated, bfloat16 is slow"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu", help="cuda: both in bfloat16, and no run at each tool's defaults")
    args = parser.parse_args()
    quiet_libraries()
    if args.threads:
        torch.set_num_threads(args.threads)
    queries, items = read_pairs_of("retail", "test_far", queries=args.queries, items=args.items)
    few = read_pairs_of("retail", "test_far", queries=args.default_queries, items=args.items)
    on_gpu = args.device != "cpu"
    dtype = torch.bfloat16 if on_gpu else torch.float32
    rows, headline = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for prompt in PROMPTS:
            folder = save_fresh(args.backbone, prompt, Path(scratch) / prompt, dtype=dtype)
            found = compare(folder, queries, items, args.repeats, args.device, sharing=prompt == "guideline")
            rows += [{"prompt": prompt, "run": "same dtype"} | one for one in found]
            headline |= ratios(found, "same_dtype_ratio" if prompt == "guideline" else "bare_ratio")
            if prompt == "guideline" and not on_gpu:
                half = save_fresh(args.backbone, prompt, Path(scratch) / "half", dtype=torch.bfloat16)
                found = compare(half, *few, args.repeats, args.device, sharing=False)
                rows += [{"prompt": prompt, "run": "defaults"} | one for one in found]
                headline |= ratios(found, "default_ratio")
    headline["max_probability_difference"] = max(
        one["max_probability_difference"] for one in rows if one["run"] == "same dtype"
    )
    for one in rows:
        print(f"{one['prompt']:<10} {one['run']:<11} {one['way']:<14} {one['pairs_per_second']:8.1f} pairs/s")
    print(headline)
    command = f"python benchmarks/rerank.py --queries {args.queries} --repeats {args.repeats}"
    command += f" --items {args.items}" if args.items else ""
    command += f" --device {args.device}" if on_gpu else ""
    name = "rerank-gpu" if on_gpu else "rerank"
    facts = {"benchmark": name, "command": command, "commit": commit()}
    facts["machine"] = machine() | {"threads": torch.get_num_threads()}
    atomic_write_json(RESULTS / f"{name}.json", facts | {"headline": headline, "rows": rows})


def compare(
    folder: Path, queries: list[str], items: list[str], repeats: int, device: str, *, sharing: bool
) -> list[dict]:
    """Both tools, and darl without sharing where asked, on the same pairs."""
    ours = RelevanceModel.from_pretrained(folder, device=device)
    theirs = CrossEncoder(str(folder), device=device, max_length=256)
    pairs = list(zip(queries, items, strict=True))
    encoded = ours.encode(queries=queries, items=items)
    ways = {
        "darl": lambda: ours.score(queries=queries, items=items).probabilities,
        "CrossEncoder": lambda: as_probabilities(theirs.predict(pairs, show_progress_bar=False)),
    }
    if sharing:
        ways["darl, alone"] = lambda: apart(ours, ours.encode(queries=queries, items=items))
    warm = 4 if device == "cpu" else len(pairs)  # on a GPU the first run of a shape compiles
    first = ours.score(queries=queries[:warm], items=items[:warm]).probabilities
    require_same(
        first,
        as_probabilities(theirs.predict(pairs[:warm], show_progress_bar=False)),
        half=ours.network.dtype != torch.float32,
    )
    if sharing:
        ways["darl, alone"]() if device != "cpu" else None
    seconds, found = interleaved(ways, repeats)
    plain = int(encoded.lengths.sum())
    distinct = sum(len(pack.tree) for pack in make_packs(encoded, TOKENS_PER_BATCH, share=True))
    difference = float(np.abs(found["darl"] - found["CrossEncoder"]).max())
    tokens = {"tokens": plain, "distinct_tokens": distinct, "max_probability_difference": difference}
    rows = [{"way": way} | row(seconds[way], len(pairs)) | tokens for way in ways]
    rows[0]["limit_share"] = limit_share(ours, distinct, float(np.median(seconds["darl"]["wall"])))
    return rows


def apart(model: RelevanceModel, encoded: EncodedPairs) -> np.ndarray:
    """Packed, but each pair with its own prompt and query."""
    out = np.zeros((len(encoded), model.scale.size))
    with torch.inference_mode():
        for rows, read in read_packed(model.network, encoded, Wanted(), TOKENS_PER_BATCH, share=False):
            out[rows] = to_numpy(read.logits)
    return model.scores_from(out).probabilities


def ratios(rows: list[dict], name: str) -> dict[str, float]:
    """The headline of one comparison."""
    by_way = {one["way"]: one for one in rows}
    speed = {way: one["pairs_per_second"] for way, one in by_way.items()}
    found = {name: speed["darl"] / speed["CrossEncoder"]}
    if "darl, alone" in speed:
        saved = 1 - speed["darl, alone"] / speed["darl"]
        allowed = 1 - by_way["darl"]["distinct_tokens"] / by_way["darl"]["tokens"]
        found["token_efficiency"] = saved / allowed
    return found


if __name__ == "__main__":
    main()

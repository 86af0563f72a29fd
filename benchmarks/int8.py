"""onnxruntime int8 against the same model in torch float32: pairs a second, and the macro-F1 that is lost.

    python benchmarks/int8.py --model runs/NAME/model --suite patents

The model is a fitted one; the pairs are the test_id of a suite. All take the same threads, in turn.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from darl.export import OnnxModel, export_onnx
from darl.model import RelevanceModel
from darl.pairs import read_pairs
from darl.progress import quiet_libraries
from darl.storage import atomic_write_json
from machine import commit, machine
from peer import data_folder, interleaved, row

RESULTS = Path(__file__).resolve().parent / "results" / "int8.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--suite", required=True)
    parser.add_argument("--split", default="test_id")
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    quiet_libraries()
    model = RelevanceModel.from_pretrained(args.model)
    source = data_folder() / f"{args.suite}.jsonl.gz"
    table = read_pairs(source, scale=model.scale, columns={"grade": "label"}, where={"split": args.split})
    pairs = table.take(range(min(args.pairs, len(table))))
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as scratch:
        parity = [one.to_dict() for one in export_onnx(model, Path(scratch) / "onnx", int8=True, pairs=pairs)]
        ways = {"torch float32": model} | {
            f"onnxruntime {name}": OnnxModel(Path(scratch) / "onnx", int8=name == "int8", threads=threads)
            for name in ("float32", "int8")
        }
        seconds, _ = interleaved(
            {name: lambda way=way: way.score(pairs, ood=False).probabilities for name, way in ways.items()},
            args.repeats,
        )
    rows = [{"way": name} | row(seconds[name], len(pairs)) for name in ways]
    speed = {one["way"]: one["pairs_per_second"] for one in rows}
    headline = {"ratio": speed["onnxruntime int8"] / speed["torch float32"], "f1_loss": parity[1]["f1_loss"]}
    for one in rows:
        print(
            f"{one['way']:<20} {one['pairs_per_second']:8.1f} pairs/s, {one['pairs_per_cpu_second']:.1f} a cpu second"
        )
    print(headline)
    facts = {"benchmark": "int8", "commit": commit(), "machine": machine() | {"threads": threads}}
    facts["command"] = f"python benchmarks/int8.py --model RUN/model --suite {args.suite} --repeats {args.repeats}"
    made = {name: model.provenance.get(name) for name in ("start", "alpha", "sizes", "versions", "made")}
    facts["model"] = {"backbone": model.backbone.name} | made
    atomic_write_json(RESULTS, facts | {"headline": headline, "rows": [*rows, *parity]})


if __name__ == "__main__":
    main()

"""The main job on the real suites: darl's defaults against what everybody does, same backbone, same data.

    python benchmarks/main_job.py --suite patents --backbone minilm-l6 --seeds 0 1 2

For each seed it fits three models on the same training pairs: `cross_entropy` (a classification head, plain
fine-tuning, argmax, no calibration), `verbalizer` (causal LLMs only: the naive LLM, fine-tuned to answer
with grade words) and `darl` (the recipe's defaults). Of cross-entropy's fits it makes two further baselines
(`finished_baseline.py`): one temperature, and darl's own calibration and rule. It prints, per test set, the mean over
seeds and the paired bootstrap over queries of `darl` against each baseline, and adds the rows to results/main_job.json.
Finished fits are reused, so a killed benchmark goes on where it was. `--workers 8` makes as many fits at a time,
which a GPU has room for; on a CPU each then wants a core of its own (OMP_NUM_THREADS=1).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from darl.evaluation import METRICS
from darl.grades import GradeScale
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json
from darl.training.pipeline import fit
from finished_baseline import derived
from machine import commit, machine
from paired import Figures, difference, figures_of, over_seeds
from reads import note_reading

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "main_job.json"
SUITES = ("patents", "retail", "health_zh", "esci")
SHOWN = ("macro_f1", "qwk", "accuracy", "ece", "nll")
RANKED = ("esci",)  # suites whose queries have items enough for nDCG
DRAWS = 2000

PLAIN = [
    "interpolate.enabled=false",
    "calibrate.enabled=false",
    "decide.rule=argmax",
    "ood.enabled=false",
    "data.dev_ood=null",
]
METHODS = {
    "cross_entropy": ["loss=cross_entropy", "tune.start=random", "tune.freeze_embeddings=false", *PLAIN],
    "verbalizer": ["method=verbalizer", "tune.freeze_embeddings=false", *PLAIN],
    "darl": [],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", required=True, choices=SUITES)
    parser.add_argument("--backbone", required=True)
    parser.add_argument("--kind", default="full", choices=["full", "lora"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=2000, help="training pairs, the same for every seed")
    parser.add_argument("--test", type=int, help="pairs of each test and dev set, where fewer than all")
    parser.add_argument("--methods", nargs="+", default=["cross_entropy", "darl"], choices=list(METHODS))
    parser.add_argument("--runs", type=Path, default=Path("runs/main_job"))
    parser.add_argument("--workers", type=int, default=1, help="fits at a time")
    parser.add_argument("--baseline", nargs="*", default=[], metavar="KEY=VALUE", help="for the baselines alone")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for every method alike")
    args = parser.parse_args()

    recipe_file = HERE / "recipes" / f"{args.suite}.yaml"
    shared = [
        f"backbone.name={args.backbone}",
        f"tune.kind={args.kind}",
        f"data.train.sample={args.train}",
        *args.set,
    ]
    data = load_recipe(recipe_file, shared).data
    sized = ["data.dev_id", *(["data.dev_ood"] if data.dev_ood else []), *(f"data.tests.{tier}" for tier in data.tests)]
    fits: list[tuple[str, int, Recipe, Path]] = []
    readings: list[dict[str, Any]] = []
    for seed in args.seeds:
        for method in args.methods:
            overrides = [*shared, f"seed={seed}", *METHODS[method], *(args.baseline if method != "darl" else [])]
            if args.test:
                keys = [key for key in sized if not (key == "data.dev_ood" and "data.dev_ood=null" in overrides)]
                overrides += [f"{key}.sample={args.test}" for key in keys]
            folder = args.runs / args.suite / f"{args.backbone}-{args.kind}-{args.train}" / method / f"seed{seed}"
            fits.append((method, seed, load_recipe(recipe_file, overrides), folder))
            read = {"benchmark": "main_job", "suite": args.suite, "tests": list(data.tests), "method": method}
            if not (folder / "metrics.json").exists():
                readings.append(read | {"settings": overrides, "train": args.train})
    predictions: dict[str, dict[int, dict[str, Any]]] = {}
    seconds: dict[str, list[float]] = {}
    for (method, seed, recipe, folder), took in zip(fits, fit_all(fits, args.workers), strict=True):
        seconds.setdefault(method, []).append(took)
        predictions.setdefault(method, {})[seed] = {
            tier: dict(np.load(folder / f"predictions-{tier}.npz")) for tier in recipe.data.tests
        }
    if "cross_entropy" in args.methods:
        for method, seed, _, folder in fits:
            if method == "cross_entropy":
                fewer = [f"{key}.sample={args.test}" for key in sized] if args.test else []
                ours = load_recipe(recipe_file, [*shared, f"seed={seed}", *fewer])
                for name, found in derived(folder, ours, predictions[method][seed]).items():
                    note_reading({"benchmark": "main_job", "suite": args.suite, "method": name, "of": str(shared)})
                    predictions.setdefault(name, {})[seed] = found
                    seconds[name] = seconds[method]
    for read in readings:
        note_reading(read, again=True)
    scale = fits[0][2].grades.scale()
    shown = (*SHOWN, "ndcg@10") if args.suite in RANKED else SHOWN
    rows = summarise(predictions, scale, seconds, shown)
    for row in rows:
        row |= {"suite": args.suite, "backbone": args.backbone, "kind": args.kind, "train": args.train}
        row |= {"set": args.set, "baseline": args.baseline, "commit": commit()}
    show(rows, shown)
    save(rows, args)


def fit_all(fits: list[tuple[str, int, Recipe, Path]], workers: int) -> list[float]:
    """The seconds of each fit, in the order given."""
    if workers == 1:
        return [_fit(recipe, folder, quiet=False) for _, _, recipe, folder in fits]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_fit, [recipe for _, _, recipe, _ in fits], [folder for _, _, _, folder in fits]))


def _fit(recipe: Recipe, folder: Path, *, quiet: bool = True) -> float:
    return fit(recipe, run=folder, quiet=quiet).metrics["seconds"]


def summarise(
    predictions: dict, scale: GradeScale, seconds: dict[str, list[float]], shown: Sequence[str] = SHOWN
) -> list[dict]:
    """Mean and deviation over seeds of every figure, and darl's paired differences to each baseline."""
    rows = []
    tiers = list(next(iter(next(iter(predictions.values())).values())))
    for tier in tiers:
        found: dict[str, dict[int, Figures]] = {
            method: {seed: figures_of(p[tier], scale, shown, DRAWS) for seed, p in seeds.items()}
            for method, seeds in predictions.items()
        }
        for method, runs in found.items():
            row: dict[str, Any] = {"method": method, "tier": tier, "seeds": sorted(runs)}
            for metric in shown:
                row[metric], row[f"{metric}_sd"] = over_seeds(runs, metric)
            row["seconds"] = float(np.mean(seconds[method]))
            if method != "darl" and "darl" in found:
                row["darl_minus_this"] = {metric: difference(runs, found["darl"], metric) for metric in shown}
                row["darl_minus_this_seeds_too"] = {
                    metric: difference(runs, found["darl"], metric, seeds_too=True) for metric in shown
                }
            rows.append(row)
    return sorted(rows, key=lambda row: list(predictions).index(row["method"]))


def show(rows: list[dict], shown: Sequence[str] = SHOWN) -> None:
    first = rows[0]
    print(
        f"\n{first['suite']}, {first['backbone']} ({first['kind']}), {first['train']} training pairs, "
        f"seeds {first['seeds']}"
    )
    for row in rows:
        figures = "  ".join(f"{METRICS[m].label} {row[m]:.3f}±{row[m + '_sd']:.3f}" for m in shown)
        print(f"{row['tier']:>5} {row['method']:<14} {figures}  {row['seconds']:.0f} s")
    for row in rows:
        for metric, (gain, low, high) in row.get("darl_minus_this", {}).items():
            if metric in ("macro_f1", "qwk", "ece", "ndcg@10"):
                print(f"{row['tier']:>5} darl − {row['method']}: {metric} {gain:+.3f} [{low:+.3f}, {high:+.3f}]")


def save(rows: list[dict], args: argparse.Namespace) -> None:
    """Replace this configuration's rows and recompute the headline from all of them."""
    key = ("suite", "backbone", "kind", "train", "set", "baseline")
    known = json.loads(RESULTS.read_text())["rows"] if RESULTS.exists() else []
    fresh = [rows[0][part] for part in key]
    rows = [row for row in known if [row[part] for part in key] != fresh] + rows
    atomic_write_json(
        RESULTS,
        {
            "benchmark": "main_job",
            "command": "python benchmarks/main_job.py --suite SUITE --backbone BACKBONE --seeds 0 1 2",
            "commit": commit(),
            "machine": machine(),
            "headline": headline(rows),
            "rows": rows,
        },
    )


def headline(rows: list[dict]) -> dict[str, float]:
    """Per suite, backbone, size and baseline: ECE ratio and worst macro-F1 and QWK gain over the tiers."""
    out: dict[str, float] = {}
    for row in rows:
        if "darl_minus_this" not in row:
            continue
        same = ("suite", "backbone", "kind", "train", "set", "baseline", "tier")
        ours = next(r for r in rows if r["method"] == "darl" and all(r[k] == row[k] for k in same))
        baseline = "_".join([row["method"], *row["baseline"]])
        setting = "_".join([row["suite"], row["backbone"], row["kind"], str(row["train"]), *row["set"]])
        name = f"{setting}_{baseline}_{row['tier']}"
        out[f"{name}_ece_ratio"] = ours["ece"] / row["ece"]
        out[f"{name}_f1_gain"] = ours["macro_f1"] - row["macro_f1"]
        out[f"{name}_qwk_gain"] = ours["qwk"] - row["qwk"]
    return out


if __name__ == "__main__":
    main()

"""Losses side by side: the same encoders, pairs, steps and random heads, many fits at once (`stacked_fits.py`).

    python benchmarks/losses.py                         # dev sets: all variants, to choose by
    python benchmarks/losses.py --judge test --losses cross_entropy plain occ --save
    python benchmarks/losses.py --elsewhere             # write the fits' files and stop, to do them on a GPU

Every fit begins from a random head with half of darl's rate, embeddings frozen, and is judged as it comes: likeliest
grade, no calibration. Differences and ratios are against cross-entropy, queries and seeds resampled.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darl.model.relevance_model import softmax
from darl.storage import atomic_write_json
from machine import commit, machine
from paired import BySeed, difference, figures_of, level_of, middle_recall
from reads import note_reading
from selection import GRADES, TIERS
from stacked_fits import Jobs
from tuned_learner import EPOCHS, RATE, TRAIN, Elsewhere, Tuned

RESULTS = Path(__file__).resolve().parent / "results" / "losses.json"
PLAIN = {"neutral": False}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "cross_entropy": ("cross_entropy", {}),
    "plain": ("occ", PLAIN),
    "occ": ("occ", {}),
    "emd 2": ("occ", {"emd_weight": 2.0}),
    "emd 4": ("occ", {"emd_weight": 4.0}),
    "a 1.5": ("occ", {"sharpness": 1.5}),
    "a 1.5, emd 2": ("occ", {"sharpness": 1.5, "emd_weight": 2.0}),
    "a 2.5": ("occ", {"sharpness": 2.5}),
    "a 3, emd 2": ("occ", {"sharpness": 3.0, "emd_weight": 2.0}),
    "plain, emd 4": ("occ", {**PLAIN, "emd_weight": 4.0}),
    "plain, a 1.5": ("occ", {**PLAIN, "sharpness": 1.5}),
    "hard emd": ("occ", {"emd_target": "hard"}),
    "emd 0": ("occ", {"emd_weight": 0.0}),
    "plain, emd 0": ("occ", {**PLAIN, "emd_weight": 0.0}),
    "a 1.75": ("occ", {"sharpness": 1.75}),
}
SEEDS = (0, 1, 2, 3, 4)
METRICS = ("macro_f1", "qwk", "ece", "nll")


def losses_jobs(world: Tuned) -> Jobs:
    """Every loss on every seed's pairs; the five random heads are the same for all losses."""
    count, K = len(VARIANTS), world.scale.size
    rows = [world.train_rows(seed) for seed in SEEDS]
    jobs = world.jobs(rows, [np.ones(len(mine)) for mine in rows], list(SEEDS), world.judged_rows)
    heads = np.random.default_rng(11).normal(0, 0.02, jobs.head.shape)
    return replace(
        jobs,
        rows=np.tile(jobs.rows, (count, 1)), weights=np.tile(jobs.weights, (count, 1)),
        seeds=np.tile(jobs.seeds, count), head=np.tile(heads, (count, 1, 1)),
        bias=np.zeros((count * len(SEEDS), K)), rate=RATE / 2, losses=json.dumps(list(VARIANTS.values())),
    )  # fmt: skip


def judged(world: Tuned, logits: np.ndarray, name: str) -> dict[int, dict[str, np.ndarray]]:
    """metric → draws, for each seed, on one split."""
    table, found = world.tables[name], {}
    for seed, mine in zip(SEEDS, logits, strict=True):
        chances = softmax(world.logits_of(mine, name))
        prediction = {
            "grades": table.grades, "probabilities": chances, "predicted": chances.argmax(1),
            "groups": table.query_groups(),
        }  # fmt: skip
        found[seed] = figures_of(prediction, world.scale, METRICS) | {
            "middle_recall": middle_recall(prediction, world.scale.size)
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", nargs="+", default=list(GRADES), choices=list(GRADES))
    parser.add_argument("--judge", choices=["dev", "test"], default="dev")
    parser.add_argument("--losses", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--runs", type=Path, default=Path("runs/selection"))
    parser.add_argument("--elsewhere", action="store_true", help="write the fits' files and stop")
    parser.add_argument("--save", action="store_true", help="write results/losses.json, of the test sets")
    args = parser.parse_args()
    args.set, args.train_pairs, args.epochs = [], TRAIN, EPOCHS
    if args.save and args.judge != "test":
        parser.error("--save goes with --judge test")
    rows, devices, waiting = [], set(), []
    for suite in args.suites:
        world = Tuned(suite, args)
        try:
            found = world.fitted("losses", lambda world=world: losses_jobs(world))
        except Elsewhere as left:
            waiting.append(str(left))
            continue
        devices.add(str(found["device"]))
        by_loss = dict(zip(VARIANTS, np.split(found["logits"], len(VARIANTS)), strict=True))
        if args.judge == "test":
            for loss in args.losses:
                note_reading(
                    {"benchmark": "losses", "suite": suite, "tests": list(TIERS["test"]), "loss": loss,
                     "settings": list(VARIANTS[loss]), "train": TRAIN[suite], "seeds": list(SEEDS)}
                )  # fmt: skip
        for tier, name in TIERS[args.judge].items():
            base = judged(world, by_loss["cross_entropy"], name)
            for loss in args.losses:
                rows.append(row(suite, tier, loss, judged(world, by_loss[loss], name), base))
                print(line(rows[-1]), flush=True)
    if waiting:
        raise SystemExit("\n".join(waiting))
    for loss in args.losses:
        print(f"{loss:14} {headline(rows, loss)}")
    if args.save:
        atomic_write_json(
            RESULTS,
            {
                "benchmark": "losses",
                "command": f"python benchmarks/losses.py --judge test --losses {' '.join(args.losses)} --save",
                "commit": commit(),
                "machine": machine() | {"gpu": ", ".join(sorted(devices))},
                "headline": headline(rows, "occ") | {f"plain_{k}": v for k, v in headline(rows, "plain").items()},
                "rows": rows,
            },
        )


def row(suite: str, tier: str, loss: str, ours: BySeed, base: BySeed) -> dict[str, Any]:
    names = (*METRICS, "middle_recall")
    return {
        "suite": suite, "tier": tier, "loss": loss, "is": list(VARIANTS[loss]), "seeds": list(SEEDS),
        **{name: level_of(ours, name) for name in names},
        "minus_cross_entropy": {name: difference(base, ours, name, seeds_too=True) for name in names},
        "ece_ratio": difference(base, ours, "ece", seeds_too=True, ratio=True),
    }  # fmt: skip


def line(row: dict[str, Any]) -> str:
    """A row for people: the figures, then the differences to cross-entropy."""
    names = (*METRICS, "middle_recall")
    return (
        f"{row['suite']:10}{row['tier']:6}{row['loss']:14}"
        + " ".join(f"{row[name][0]:.3f}" for name in names)
        + "  −CE "
        + " ".join(f"{row['minus_cross_entropy'][name][0]:+.3f}" for name in names)
        + f"  ECE × {row['ece_ratio'][0]:.2f}"
    )


def headline(rows: list[dict[str, Any]], loss: str) -> dict[str, float]:
    """Plain means over suites and tiers against cross-entropy, and the lower end of each gain's interval.

    Suites are independent, so their half-widths add in squares; tiers of one suite share their fits, so theirs are
    averaged, as if they rose and fell together.
    """
    mine = [row for row in rows if row["loss"] == loss]
    suites = sorted({row["suite"] for row in mine})
    found = {"ece_ratio": float(np.mean([row["ece_ratio"][0] for row in mine]))}
    for name in ("macro_f1", "qwk", "middle_recall", "nll"):
        gaps = {s: np.array([r["minus_cross_entropy"][name] for r in mine if r["suite"] == s]) for s in suites}
        mean = float(np.mean([gap[:, 0].mean() for gap in gaps.values()]))
        widths = [(gap[:, 0] - gap[:, 1]).mean() for gap in gaps.values()]
        found[f"{name}_change" if name == "nll" else f"{name}_gain"] = mean
        if name != "nll":
            found[f"{name}_gain_low"] = mean - float(np.sqrt(np.sum(np.square(widths)))) / len(suites)
    return found


if __name__ == "__main__":
    main()

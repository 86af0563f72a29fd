"""The ablation: a ladder from the naive LLM to the whole method, with peers beside it, on one suite and backbone.

    python benchmarks/ablation.py --suite patents --backbone minilm-l6 --train 2000 --seeds 0 1 2
        --set tune.epochs=6 --baseline tune.learning_rate=1e-4

Every rung is a list of recipe overrides (`ablation_rungs.py`); `--commands` prints for each the commands that a user
types to make the same model. Rungs that share a stage train it once. Finished rungs are found again, so it can be
killed and run on; `--finished` makes the tables of what is there.

The test sets are read, and each configuration that reads them is noted in `results/test_reads.jsonl`. With `--dev` the
rungs are judged on dev_id and dev_shift instead: for choices. `--small` is one suite and two seeds in a
quarter of an hour, and `--compare` holds its rows against the published ones. `--short` climbs the rungs with matching
alone, and those that they are held against; its rows stand beside those of the whole ladder.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from ablation_picture import write_picture
from ablation_rungs import LADDER, RUNGS, SHORT, rungs_for
from ablation_runs import HERE, Setting, about_of, commands_of, note_read, perform
from ablation_table import make_rows, show
from ablation_verdict import headline, lines_of, verdicts
from darl.dasa import select
from darl.recipe.file import load_recipe
from darl.storage import atomic_write_text
from machine import commit, machine

SMALL: dict[str, Any] = {
    "suite": "patents",
    "backbone": "minilm-l6",
    "train": 600,
    "seeds": [0, 1],
    "set": ["tune.epochs=3"],
    "baseline": ["tune.learning_rate=1e-4"],
    "budget": 150,
    "test": 600,
    "jobs": 2,
    # the ladder but for matching, which takes longer than all of it here, and the quicker peers
    "rungs": [
        *(rung.name for rung in LADDER if rung.name not in ("matching", "matched", "matched_full")),
        "tfidf",
        "temperature",
        "st_cross_entropy",
    ],
}
READS = "test_reads.jsonl"
REPRODUCED = ("macro_f1", "qwk", "ece")


def main() -> None:
    args = parsed()
    setting = setting_of(args)
    decoder = setting.decoder()
    rungs = rungs_for(decoder, args.rungs)
    if args.commands:
        for rung in rungs:
            for seed in args.seeds[:1]:
                print(f"\n# {rung.title}", *commands_of(setting, rung, seed), sep="\n")
        return
    if not args.finished:
        climb_all(setting, [rung.name for rung in rungs], args)
    found = {}
    for rung in rungs:
        folders = {seed: setting.run_folder(rung, seed) for seed in args.seeds}
        done = {seed: folder for seed, folder in folders.items() if (folder / "rung.json").exists()}
        if done:
            found[rung.name] = done
    if not found:
        sys.exit(f"no rung is finished under {setting.folder}: run the same command without --finished")
    scale = load_recipe(setting.recipe_file).grades.scale()
    rows = make_rows(setting, found, scale, preset=args.preset, decoder=decoder)
    show(rows)
    print("\nclaims, on this setting alone")
    print("\n".join(lines_of(verdicts(rows))))
    if args.picture:
        print(f"\npicture: {write_picture(rows, args.picture)}")
    if args.save and not args.dev:  # those trained elsewhere too
        for name, seeds in found.items():
            for seed in seeds:
                note_read(args.results / READS, setting, RUNGS[name], seed)
    results = args.results / ("ablation-dev.json" if args.dev else "ablation.json")
    if args.compare:
        problems = outside(published(results), rows)
        print("\n" + ("\n".join(problems) or "every row lies as near to its published one as both intervals allow"))
        sys.exit(bool(problems))
    if args.save:
        save(rows, results)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="patents", choices=["patents", "retail", "health_zh"])
    parser.add_argument("--backbone", help="default: the suite's")
    parser.add_argument("--kind", default="full", choices=["full", "lora"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--train", type=int, default=2000, help="training pairs, the same for every seed")
    parser.add_argument("--budget", type=int, default=500, help="labels bought")
    parser.add_argument("--pool-share", type=float, default=0.2, help="share of new traffic in the pool")
    parser.add_argument(
        "--strategy",
        default=inspect.signature(select).parameters["strategy"].default,
        help="of `darl select`, for the DASA labels",
    )
    parser.add_argument("--test", type=int, help="pairs of each test and dev set, where fewer than all")
    parser.add_argument("--rungs", nargs="+", choices=list(RUNGS), help="only these; default all that fit the backbone")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for every rung alike")
    parser.add_argument("--baseline", nargs="*", default=[], metavar="KEY=VALUE", help="for those from a random head")
    parser.add_argument("--dev", action="store_true", help="judge on the dev sets: no test set is read")
    parser.add_argument("--small", action="store_true", help=f"the small setting: {SMALL}")
    parser.add_argument("--short", action="store_true", help=f"the rungs with matching: {' '.join(SHORT)}")
    parser.add_argument("--jobs", type=int, default=1, help="seeds trained side by side, a core each")
    parser.add_argument("--finished", action="store_true", help="train nothing: tables of what is there")
    parser.add_argument("--commands", action="store_true", help="print the commands a user types, and stop")
    parser.add_argument("--compare", action="store_true", help="hold the rows against the published ones")
    parser.add_argument("--save", action="store_true", help="write the rows to the results")
    parser.add_argument("--picture", type=Path, metavar="FOLDER", help="draw ablation-SUITE-BACKBONE.svg there")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--results", type=Path, default=HERE / "results")
    args = parser.parse_args()
    args.preset = "small" if args.small else "short" if args.short else None
    if args.small:
        vars(args).update(SMALL)
    elif args.short:
        args.rungs = args.rungs or list(SHORT)
    return args


def setting_of(args: argparse.Namespace) -> Setting:
    backbone = args.backbone or load_recipe(HERE / "recipes" / f"{args.suite}.yaml").backbone.name
    return Setting(
        suite=args.suite,
        backbone=backbone,
        kind=args.kind,
        train=args.train,
        set=tuple(args.set),
        baseline=tuple(args.baseline),
        budget=args.budget,
        pool_share=args.pool_share,
        strategy=args.strategy,
        test=args.test,
        dev=args.dev,
        runs=args.runs,
    )


def climb_all(setting: Setting, names: list[str], args: argparse.Namespace) -> None:
    """Every rung for every seed; with several jobs the seeds side by side."""
    reads = args.results / READS
    if args.jobs == 1:
        for seed in args.seeds:
            climb(setting, names, seed, reads)
        return
    os.environ["OMP_NUM_THREADS"] = str(max(1, (os.cpu_count() or 1) // args.jobs))  # read as a process starts
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in [pool.submit(climb, setting, names, seed, reads) for seed in args.seeds]:
            done.result()


def climb(setting: Setting, names: list[str], seed: int, reads: Path) -> None:
    """Every rung for one seed."""
    for name in names:
        folder = setting.run_folder(RUNGS[name], seed)
        known = (folder / "rung.json").exists()
        perform(setting, RUNGS[name], seed, reads)
        said = "done before" if known else f"{about_of(folder)['seconds']:.0f} s"
        print(f"seed {seed} {name}: {said}", flush=True)


def published(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []


def key_of(row: dict[str, Any]) -> tuple:
    """What rows of one setting share: a new run takes their place. The short ladder is a setting of its own."""
    return row["suite"], row["backbone"], row["tune"], row["preset"]


def outside(known: list[dict[str, Any]], rows: list[dict[str, Any]]) -> list[str]:
    """In words, each figure that is further from the published one than both intervals allow, and each rung that was
    never published.

    On the same machine the same seeds give the same figures. Another processor rounds otherwise, which a fit that
    hardly learns makes another fit of: so both figures are estimates, and of 95 % intervals one in twenty would miss
    the other's figure if only one of the two counted. Halves of independent intervals add as √(a² + b²).
    """
    by_place = {(*key_of(row), row["rung"], row["tier"]): row for row in known if row["kind"] == "rung"}
    problems = []
    for row in (row for row in rows if row["kind"] == "rung"):
        name = f"{row['rung']} {row['tier']}"
        theirs = by_place.get((*key_of(row), row["rung"], row["tier"]))
        if theirs is None:
            problems.append(f"{name}: not published")
            continue
        for metric in REPRODUCED:
            low, high = theirs[f"{metric}_interval"]
            if not abs(row[metric] - theirs[metric]) <= math.hypot(
                _half(row, theirs, metric), _half(theirs, row, metric)
            ):
                problems.append(
                    f"{name}: {metric} {row[metric]:.3f}, published {theirs[metric]:.3f} [{low:.3f}, {high:.3f}]"
                )
    return problems


def _half(row: dict[str, Any], other: dict[str, Any], metric: str) -> float:
    """The half of a figure's interval that faces the other one's."""
    low, high = row[f"{metric}_interval"]
    return high - row[metric] if other[metric] > row[metric] else row[metric] - low


def save(rows: list[dict[str, Any]], path: Path) -> None:
    """Replace this setting's rows and recompute the headline from all of full size.

    Each row keeps the machine that made it; the file's machine and commit are those of the headline's newest rows.
    """
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"rows": [], "machine": None}
    here = {"machine": machine(), "saved_at": commit()}
    old = [{"machine": before["machine"], "saved_at": before.get("commit"), **row} for row in before["rows"]]
    kept = [row for row in old if key_of(row) != key_of(rows[0])] + [{**row, **here} for row in rows]
    whole = [row for row in kept if row["preset"] != "small"] or kept
    found = {
        "benchmark": path.stem,
        "command": "python benchmarks/ablation.py --suite SUITE --backbone BACKBONE --train N --seeds 0 1 2 --save "
        "[--set …] [--baseline …], as each row's keys say; preset: --small --save, --short --save",
        "commit": whole[-1]["saved_at"],
        "machine": whole[-1]["machine"],
        "headline": headline(whole),
        "rows": rounded(kept),
    }
    # thousands of short lines: one space a level keeps the file under a megabyte
    atomic_write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    print("\nclaims, mean over the suites so far")
    print("\n".join(lines_of(verdicts(whole))))


def rounded(value: Any) -> Any:
    """Figures to five places: the file stays under a megabyte.

    >>> rounded({"ece": [0.12345678, None], "seeds": [0]})
    {'ece': [0.12346, None], 'seeds': [0]}
    """
    if isinstance(value, dict):
        return {key: rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


if __name__ == "__main__":
    main()

"""Which selection buys the best model: strategies, budgets, pools with more or less new traffic, several seeds.

    python benchmarks/selection.py --suites patents --shares 0.2 --strategies random coverage
    python benchmarks/selection.py --learner tuned --judge test --save
    python benchmarks/selection.py --learner full --suites patents retail health_zh --budgets 500 --seeds 0 1 2

A cell is one suite, pool share, budget, strategy and seed: draw the pool, select with `darl.dasa.select`, label the
picks (an annotator is simulated: only picked labels are read), fit on training pairs and picks, judge. Finished
cells lie in `--runs` and are not done again, so it can be killed and run on, and grown by further flags.

`--learner frozen` fits a convex learner on frozen features (seconds a cell): a proxy, for exploring. `--learner
tuned` fine-tunes encoders, many at once (`tuned_learner.py`; `--elsewhere` leaves the fits to another machine).
`--learner full` runs `darl fit` twice a cell (the first fit of a seed is shared). `--judge dev` reads dev_id and
dev_shift, `--judge test` the test sets; choices are made on dev.

The pool holds every known pair and as many new ones (near and far as they come) as make the share; where there are
too few known ones for a small pool, all pairs of the other kind are drawn down.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from darl.dasa import select
from darl.dasa.strategies import Context, Mixed, Strategy
from darl.grades import GradeScale
from darl.ood import fit_reference
from darl.pairs import PairTable
from darl.storage import atomic_file, atomic_write_json
from frozen_learner import ROW, FrozenLearner, FrozenModel, Store, lift, make_store, rows_of
from machine import commit, machine
from reads import note_reading
from selection_summary import headline, show, summarise
from suite_features import load_suite

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
GRADES = {
    "patents": ("unrelated", "domain", "related", "close", "same"),
    "retail": ("irrelevant", "weak", "strong"),
    "health_zh": ("irrelevant", "weak", "strong"),
}
KNOWN = {
    "patents": lambda row: row["domain"] in ("A", "B", "F"),
    "retail": lambda row: row["domain"] in ("tools_hardware", "lighting_electrical", "plumbing_bath_kitchen"),
    "health_zh": lambda row: row["source"] == "kuake_qtr",
}
TIERS = {
    "dev": {"id": "dev_id", "shift": "dev_shift"},
    "test": {"id": "test_id", "near": "test_near", "far": "test_far"},
}
NONE = "none"


def is_known(suite: str, table: PairTable) -> np.ndarray:
    """Which pool pairs are of the training distribution; only the benchmark looks at it."""
    rows = zip(table.column("domain"), table.column("source"), strict=True)
    return np.array([KNOWN[suite]({"domain": domain, "source": source}) for domain, source in rows])


def draw_pool(known: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows of a pool whose share of new pairs is ``share``: as many pairs as both kinds allow."""
    rng = np.random.default_rng(1000 + seed)
    old, new = rng.permutation(np.flatnonzero(known)), rng.permutation(np.flatnonzero(~known))
    size = min(len(old) / (1 - share), len(new) / share)
    return np.sort(np.concatenate([old[: round(size * (1 - share))], new[: round(size * share)]]))


class Oracle(Strategy):
    """Knows which pairs are new and draws among them alone: what no strategy can know, and the most that finding
    new traffic could bring."""

    name = "oracle"

    def __init__(self, known: np.ndarray) -> None:
        self.known = known

    def rank(self, context: Context) -> np.ndarray:
        drawn = np.random.default_rng(context.seed).permutation(context.open_rows)
        return np.concatenate([drawn[~self.known[drawn]], drawn[self.known[drawn]]])

    def why(self, context: Context, row: int) -> str:
        return "known traffic" if self.known[row] else "new traffic"


def strategy_of(name: str, known: np.ndarray) -> Strategy | str:
    """The strategy of a name, ``known`` (n,) of the pool; ``dasa:SHARE`` is darl's with another uncovered share."""
    if name == Oracle.name:
        return Oracle(known)
    return Mixed(float(name.removeprefix("dasa:"))) if name.startswith("dasa:") else name


class Frozen:
    """The suite with the frozen learner."""

    def __init__(self, suite: str, args: argparse.Namespace) -> None:
        names = ("train", "dev_id", "pool", *(name for name in TIERS[args.judge].values() if name != "dev_id"))
        splits = load_suite(suite, args.cache, names, args.features)
        self.suite, self.args, self.scale = suite, args, GradeScale(GRADES[suite])
        self.store: Store = make_store(splits)
        self.lifted = lift(self.store.inputs)
        self.train = self.store.tables["train"]
        self.pool = self.store.tables["pool"]
        self.tiers = {tier: self.store.tables[name] for tier, name in TIERS[args.judge].items()}
        self.known = is_known(suite, self.pool)
        rows, held = rows_of(self.train), rows_of(self.store.tables["dev_id"])
        detector = args.detector
        self.reference = fit_reference(self.store.features[rows], self.store.features[held], detector)
        self.base = FrozenModel(self.store, self.fit(rows), self.lifted, self.reference, self.scale)

    def fit(self, rows: np.ndarray, weights: np.ndarray | None = None) -> FrozenLearner:
        return FrozenLearner(self.scale.size).fit(self.lifted[rows], self.store.grades[rows], weights)

    def cell(self, share: float, budget: int, strategy: str, seed: int) -> dict[str, Any]:
        rows, weights, picked = rows_of(self.train), None, np.zeros(0, dtype=np.int64)
        if strategy != NONE:
            drawn = draw_pool(self.known, share, seed)
            pool = self.pool.take(drawn)
            name, _, weight = strategy.partition("@")
            chosen = select(
                self.base, pool.without_grades(), budget=budget, train=self.train, evaluations=self.tiers,
                strategy=strategy_of(name, self.known[drawn]), seed=seed,
            ).pairs  # fmt: skip
            picked = rows_of(chosen)
            rows = np.concatenate([rows, picked])
            weights = np.concatenate([np.ones(len(rows) - len(picked)), np.full(len(picked), float(weight or 1))])
        learner = self.base.learner if strategy == NONE else self.fit(rows, weights)
        arrays = {tier: learner.probabilities(self.lifted[rows_of(table)]) for tier, table in self.tiers.items()}
        return {"arrays": arrays, "picked": self.about(picked)}

    def about(self, picked: np.ndarray) -> dict[str, Any]:
        first = rows_of(self.pool)[0]
        new = float((~self.known[picked - first]).mean()) if len(picked) else 0.0
        counts = np.bincount(self.store.grades[picked], minlength=self.scale.size)
        return {"picks": len(picked), "new": new, "grades": (counts / max(1, counts.sum())).round(3).tolist()}

    def truth(self, tier: str) -> tuple[np.ndarray, np.ndarray]:
        table = self.tiers[tier]
        return table.grades, table.query_groups()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--learner", choices=["frozen", "tuned", "full"], default="frozen")
    parser.add_argument("--judge", choices=["dev", "test"], default="dev")
    parser.add_argument("--suites", nargs="+", default=list(GRADES), choices=list(GRADES))
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.2, 0.5])
    parser.add_argument("--budgets", type=int, nargs="+", default=[500])
    parser.add_argument(
        "--strategies",
        nargs="+",
        default=["random", "coverage"],
        help="a name; dasa:SHARE for another share of uncovered picks; oracle draws among new pairs alone; "
        "…@WEIGHT for the weight of the picks",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--detector", default="fusion", help="of the frozen learner's OOD reference")
    parser.add_argument("--features", nargs="+", default=["pair", "query", "item"], help="the frozen learner reads")
    parser.add_argument("--train", type=int, default=4000, help="training pairs of a full fit")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="of the full fits' recipes")
    parser.add_argument("--cache", type=Path, default=Path("runs/suite_features"))
    parser.add_argument("--runs", type=Path, default=Path("runs/selection"))
    parser.add_argument("--at-once", type=int, default=75, help="tuned fits in one stacked network")
    parser.add_argument("--elsewhere", action="store_true", help="write the tuned fits' files and stop")
    parser.add_argument(
        "--finished", action="store_true", help="fit nothing: judge the cells whose tuned fits are there"
    )
    parser.add_argument("--save", action="store_true", help="write results/selection[-learner-judge].json")
    args = parser.parse_args()

    rows, devices = [], set()
    for suite in args.suites:
        world: Any = None
        cells = [
            (share, budget, strategy, seed)
            for share in args.shares for budget in args.budgets
            for strategy in dict.fromkeys([NONE, *args.strategies]) for seed in args.seeds
        ]  # fmt: skip
        folder = args.runs / f"{args.learner}-{args.judge}" / suite
        if args.learner == "tuned":
            world = make_world(suite, args)
            cells = world.prepare(cells)
            devices |= world.devices
        if args.judge == "test":
            for share, budget, strategy in dict.fromkeys(cell[:3] for cell in cells):
                note_reading(
                    {"benchmark": "selection", "suite": suite, "tests": list(TIERS["test"]), "learner": args.learner,
                     "strategy": strategy, "share": share, "budget": budget, "settings": args.set}
                )  # fmt: skip
        for share, budget, strategy, seed in cells:
            key = f"{share:g}-{budget}-{strategy}-{seed}"
            path = folder / f"{key}.npz"
            if not path.exists():
                if world is None:
                    world = make_world(suite, args)
                started = time.monotonic()
                found = world.cell(share, budget, strategy, seed)
                about = {**found["picked"], "seconds": time.monotonic() - started}
                truth = {tier: world.truth(tier) for tier in found["arrays"]}
                arrays = {f"{tier}.probabilities": p.astype(np.float32) for tier, p in found["arrays"].items()}
                arrays |= {f"{tier}.predicted": p for tier, p in found.get("predicted", {}).items()}
                for tier, (grades, groups) in truth.items():
                    arrays |= {f"{tier}.grades": grades, f"{tier}.groups": groups}
                with atomic_file(path) as scratch, scratch.open("wb") as file:
                    np.savez_compressed(file, about=json.dumps(about), **arrays)  # type: ignore[arg-type]
                print(f"{suite} {key}: {about}", flush=True)
            with np.load(path) as saved:
                rows.append(
                    {"suite": suite, "share": share, "budget": budget, "strategy": strategy, "seed": seed,
                     **json.loads(str(saved["about"])), "arrays": {k: saved[k] for k in saved.files if k != "about"}}
                )  # fmt: skip
    table = summarise(rows, GRADES)
    show(table)
    if args.save:
        real = args.learner != "frozen" and args.judge == "test"
        name = "selection" if real else f"selection-{args.learner}-{args.judge}"
        where = machine() | ({"gpu": ", ".join(sorted(devices))} if devices else {})
        told = {"learner": [args.learner], "judge": [args.judge], "suites": args.suites, "shares": args.shares}
        told |= {"budgets": args.budgets, "strategies": args.strategies, "seeds": args.seeds}
        flags = " ".join(f"--{flag} {' '.join(map(str, values))}" for flag, values in told.items())
        facts = {"benchmark": name, "command": f"python benchmarks/selection.py {flags} --save", "commit": commit()}
        found = facts | {"machine": where, "headline": headline(table), "rows": table}
        atomic_write_json(RESULTS / f"{name}.json", found)


def make_world(suite: str, args: argparse.Namespace) -> Any:
    """The suite with the learner that was asked for."""
    if args.learner == "frozen":
        return Frozen(suite, args)
    if args.learner == "tuned":
        from tuned_learner import EPOCHS, TRAIN, Tuned

        args.train_pairs, args.epochs = TRAIN, EPOCHS
        return Tuned(suite, args)
    from full_learner import Full  # loads transformers

    return Full(suite, args)


__all__ = ["GRADES", "ROW", "TIERS", "draw_pool", "is_known"]

if __name__ == "__main__":
    main()

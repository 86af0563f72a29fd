"""A student for the hot path: MiniLM taught by an LLM, against its teacher and against itself without one.

    darl fit benchmarks/recipes/retail.yaml backbone.name=smollm2-135m data.train.sample=2000 \\
        tune.start=verbalizer tune.learning_rate=2e-4 --run runs/teacher
    python benchmarks/distil.py --teacher runs/teacher --train 2000 --set tune.epochs=4 tune.start=probe

All on retail. `teacher`: the given run, fitted on --train graded pairs. `direct`: the small backbone on the
same pairs. `student`: these and --unlabelled pairs of the pool without their grades, taught by the teacher.
`pooled`: the same, taught by the teacher and by `direct` of its seed, which is what `darl distil` does by itself.
`self`: taught by that one alone. `labels`: both with grades, what labelling the pool's pairs would have bought.
Each for --seeds; judged on the test sets, or with --dev on the dev sets, where choices are made. Then teacher and
student score the same pairs in turn: `speed_ratio`. The headline is that of `pooled` where it ran, else of `student`.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from darl.evaluation import evaluate_predictions
from darl.model import RelevanceModel
from darl.model.saving import model_folder
from darl.pairs import PairTable, read_pairs, write_pairs
from darl.progress import quiet_libraries
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json
from darl.training.pipeline import fit
from machine import commit, machine
from peer import interleaved, row
from reads import note_reading

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "distil.json"
TAUGHT = ("self", "student", "pooled")
BY_THE_LLM = ("student", "pooled")
SHOWN = ("macro_f1", "qwk", "accuracy", "ece", "nll")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=Path, required=True, help="a finished run of the LLM on retail")
    parser.add_argument("--train", type=int, required=True, help="graded pairs, those the teacher was fitted on")
    parser.add_argument("--unlabelled", type=int, default=3000, help="pool pairs that the teacher grades")
    parser.add_argument("--backbone", default="minilm-l6")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--dev", action="store_true", help="judge on the dev sets")
    parser.add_argument("--methods", nargs="+", default=["direct", "student", "pooled"])
    parser.add_argument("--speed-pairs", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for student, direct and labels")
    parser.add_argument("--runs", type=Path, default=Path("runs/distil"))
    args = parser.parse_args()
    quiet_libraries()
    recipe = load_recipe(HERE / "recipes" / "retail.yaml", [f"data.train.sample={args.train}"])
    tables = judged_on(recipe, dev=args.dev)
    judged: dict[str, dict[int, dict]] = {"teacher": {0: predictions(args.teacher, tables)}}
    for seed in args.seeds:
        for method in args.methods:
            folder = run_folder(args, method, seed)
            if method in BY_THE_LLM:
                take_answers(folder, folder.parents[1])
            fit(recipe_of(method, args, seed), run=folder)
            judged.setdefault(method, {})[seed] = predictions(folder, tables)
    rows = [figures(method, by_seed, judged, tables) for method, by_seed in judged.items()]
    taught = [method for method in TAUGHT if method in judged]
    speed = []
    if taught:
        speed = compare_speed(args.teacher, run_folder(args, taught[0], args.seeds[0]), tables["id"], args)
    for one in rows:
        for tier, found in one["tiers"].items():
            print(f"{tier:>5} {one['method']:<8}", "  ".join(f"{name} {found[name]:.3f}" for name in SHOWN))
    found = headline(rows, speed)
    print(found)
    if not args.dev:
        settings = {name: getattr(args, name) for name in ("backbone", "train", "unlabelled", "set")}
        for method in judged:
            note_reading({"benchmark": "distil", "suite": "retail", "method": method} | settings)
        command = f"python benchmarks/distil.py --teacher RUN --train {args.train} --unlabelled {args.unlabelled}"
        command += f" --set {' '.join(args.set)}" if args.set else ""
        facts = {"benchmark": "distil", "command": command, "commit": commit(), "machine": machine()}
        atomic_write_json(RESULTS, facts | {"headline": found, "set": args.set, "rows": rows, "speed": speed})


def run_folder(args: argparse.Namespace, method: str, seed: int) -> Path:
    return args.runs.resolve() / f"{args.backbone}-{args.train}" / method / f"seed{seed}"


def take_answers(run: Path, runs: Path) -> None:
    """What the LLM said for another seed's run or the other method's: it is asked again only about other pairs."""
    here = run / "stages" / "teacher"
    for said in sorted(said for method in BY_THE_LLM for said in runs.glob(f"{method}/seed*/stages/teacher")):
        if not here.exists():
            shutil.copytree(said, here)


def recipe_of(method: str, args: argparse.Namespace, seed: int) -> Recipe:
    """The recipe of one of the small models."""
    shared = [f"backbone.name={args.backbone}", f"data.train.sample={args.train}", f"seed={seed}", *args.set]
    if method in TAUGHT:
        llm, own = args.teacher.resolve(), run_folder(args, "direct", seed)
        teachers = {"student": [llm], "self": [own], "pooled": [llm, own]}[method]
        shared += [f"teacher.model={json.dumps(list(map(str, teachers)))}", "teacher.itself=false"]
    recipe = load_recipe(HERE / "recipes" / "retail.yaml", shared)
    if method == "direct":
        return recipe
    graded = method == "labels"
    path = args.runs.resolve() / f"pool-{args.unlabelled}-{'graded' if graded else 'ungraded'}.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_pairs(some_of_the_pool(recipe, args.unlabelled, graded=graded), path)
    extra = type(recipe.data.train[0])(path=str(path))
    data = recipe.data.model_copy(update={"train": [*recipe.data.train, extra]})
    return recipe.model_copy(update={"data": data})


def some_of_the_pool(recipe: Recipe, count: int, *, graded: bool) -> PairTable:
    """The same random pool pairs each time, with or without the grades that the suite has for them."""
    source = recipe.data.pool
    assert source is not None
    pool = read_pairs(source.path, scale=recipe.grades.scale(), where=source.where)
    rows = np.random.default_rng(0).choice(len(pool), size=min(count, len(pool)), replace=False)
    chosen = pool.take(np.sort(rows))
    bare = PairTable.from_pairs(chosen.queries, chosen.items, chosen.grades)
    return bare if graded else bare.without_grades()


def judged_on(recipe: Recipe, *, dev: bool) -> dict[str, PairTable]:
    """The sets that judge, by tier."""
    assert recipe.data.dev_id is not None
    assert recipe.data.dev_ood is not None
    sources = {"id": recipe.data.dev_id, "shift": recipe.data.dev_ood} if dev else recipe.data.tests
    scale = recipe.grades.scale()
    return {tier: read_pairs(one.path, scale=scale, where=one.where) for tier, one in sources.items()}


def predictions(run: Path, tables: dict[str, PairTable]) -> dict[str, Any]:
    """Grade and probabilities of every pair, by tier."""
    model = RelevanceModel.from_pretrained(model_folder(run))
    return {tier: model.score(queries=t.queries, items=t.items, ood=False) for tier, t in tables.items()}


def figures(method: str, by_seed: dict[int, dict], judged: dict, tables: dict[str, PairTable]) -> dict[str, Any]:
    """Means over seeds, and macro-F1 minus the teacher's and the direct model's, queries resampled."""
    tiers: dict[str, dict[str, Any]] = {}
    for tier, table in tables.items():
        seeds = {seed: judge(table, scores[tier]) for seed, scores in by_seed.items()}
        found: dict[str, Any] = {}
        for name in SHOWN:
            values = [one.metrics[name].estimate for one in seeds.values()]
            found[name], found[f"{name}_sd"] = float(np.mean(values)), float(np.std(values))
        for other in ("teacher", "direct"):
            if method in TAUGHT and other in judged:
                base = {seed: judge(table, scores[tier]) for seed, scores in judged[other].items()}
                found[f"macro_f1_minus_{other}"] = difference(seeds, base)
        tiers[tier] = found
    return {"method": method, "seeds": sorted(by_seed), "tiers": tiers}


def judge(table: PairTable, scores: Any) -> Any:
    return evaluate_predictions(
        table.grades,
        scores.probabilities,
        scores.grades,
        scale=scores.scale,
        groups=table.query_groups(),
        bootstrap=2000,
    )


def difference(ours: dict[int, Any], base: dict[int, Any]) -> list[float]:
    """[mean over seeds, low, high]; a base with one seed stands against each of ours."""
    estimates, draws = [], []
    for seed, one in ours.items():
        other = base.get(seed, next(iter(base.values())))
        estimates.append(one.metrics["macro_f1"].estimate - other.metrics["macro_f1"].estimate)
        draws.append(one.draws["macro_f1"] - other.draws["macro_f1"])
    low, high = np.nanquantile(np.mean(draws, axis=0), [0.025, 0.975])
    return [float(np.mean(estimates)), float(low), float(high)]


def compare_speed(teacher: Path, student: Path, table: PairTable, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Teacher and student on the same pairs, interleaved."""
    queries, items = table.queries[: args.speed_pairs], table.items[: args.speed_pairs]
    models = {
        name: RelevanceModel.from_pretrained(model_folder(run))
        for name, run in (("teacher", teacher), ("student", student))
    }

    def way(model: RelevanceModel):
        return lambda: model.score(queries=queries, items=items, ood=False).probabilities

    ways = {name: way(model) for name, model in models.items()}
    for model in models.values():
        model.score(queries=queries[:8], items=items[:8], ood=False)
    seconds, _ = interleaved(ways, args.repeats)
    return [{"model": name} | row(seconds[name], len(queries)) for name in ways]


def headline(rows: list[dict], speed: list[dict]) -> dict[str, float]:
    by_method = {one["method"]: one["tiers"] for one in rows}
    found: dict[str, float] = {}
    taught = next((method for method in reversed(TAUGHT) if method in by_method), "")
    for tier, figures in by_method.get(taught, {}).items():
        if "macro_f1_minus_teacher" in figures:
            found[f"{tier}_f1_loss"] = -figures["macro_f1_minus_teacher"][0]
        if "macro_f1_minus_direct" in figures:
            found[f"{tier}_f1_gain_over_direct"] = figures["macro_f1_minus_direct"][0]
    for name in ("f1_loss", "f1_gain_over_direct"):
        if f"id_{name}" in found:
            found[name] = found[f"id_{name}"]
    if speed:
        rate = {one["model"]: one["pairs_per_second"] for one in speed}
        found["speed_ratio"] = rate["student"] / rate["teacher"]
    return found


if __name__ == "__main__":
    main()

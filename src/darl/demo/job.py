"""The demo job: the whole loop on the embedded world, naive LLM against DaRL.

naive LLM (fine-tuned verbalizer) → fit (probe, tune, interpolate, calibrate) → select from the pool
→ labels (a simulated annotator) → fit again → one table, ID against OOD, with intervals
"""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from darl.dasa import select
from darl.demo.world import annotate, make_world, write_world
from darl.evaluation import Evaluation, Interval
from darl.pairs import PairTable, read_pairs
from darl.progress import Reporter
from darl.recipe.file import recipe_to_yaml
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json, atomic_write_text
from darl.training.pipeline import FitResult, fit

GRADES = ["irrelevant", "weak", "strong"]
# The demo must end in minutes on two cores, so the lower layers of the LLM stay frozen in every model alike
# and the world is small; `darl fit` on real data starts from the recipe's own defaults.
FROZEN_LAYERS = 22


@dataclass(frozen=True)
class Size:
    """How large a demo is: pairs a split, labels bought, epochs."""

    train: int = 204
    dev_id: int = 75
    dev_ood: int = 60
    pool: int = 150
    test_id: int = 99
    test_ood: int = 99
    budget: int = 40
    epochs: float = 2

    def world(self) -> dict[str, int]:
        return {k: v for k, v in vars(self).items() if k not in ("budget", "epochs")}


# For a small encoder, which learns twenty times as fast as the demo's LLM: enough that figures say something.
FOR_ENCODER = Size(train=900, dev_id=300, dev_ood=240, pool=600, test_id=300, test_ood=300, budget=100, epochs=3)
QUICK = Size(train=90, dev_id=45, dev_ood=30, pool=60, test_id=60, test_ood=60, budget=15, epochs=1)


def run_demo(
    folder: Path, *, quick: bool = False, keep: bool = True, backbone: str = "smollm2-135m", seed: int = 0
) -> dict[str, FitResult]:
    """Run the demo and print its table.

    Args:
        folder: gets the world, the recipes and the runs; a killed demo resumes in it.
        quick: a smaller world and one epoch: it shows the loop, not the gain.
        keep: keep the folder afterwards.
        backbone: any backbone with a language-model head.

    Returns:
        name → result of ``naive``, ``darl`` and ``darl-again``.
    """
    started, reporter, size = time.monotonic(), Reporter(), QUICK if quick else Size()
    world = make_world(seed, **size.world())
    data = folder.resolve() / "data"  # a recipe is read from its own folder: its paths must stand alone
    write_world(world, data)
    reporter.say(f"a world of insurance: {len(world.train)} graded pairs of known lines, a pool with new ones")

    results = {}
    recipes = {"naive": naive_recipe(data, backbone, size, seed), "darl": darl_recipe(data, backbone, size, seed)}
    for step, (name, recipe) in enumerate(recipes.items(), start=1):
        reporter.say(f"\n[{step}/4] {ABOUT[name]}")
        atomic_write_text(folder / f"{name}.yaml", recipe_to_yaml(recipe))
        results[name] = fit(recipe, run=folder / "runs" / name)

    reporter.say(f"\n[3/4] select {size.budget} of {len(world.pool)} pool pairs to label")
    picked = _select(results["darl"], data, size.budget, seed, reporter)
    reporter.say(picked.to_text())
    hidden = {(row["query"], row["item"]): row["hidden_label"] for row in world.pool}
    labelled = annotate(
        [
            {"query": q, "item": i, "hidden_label": hidden[(q, i)]}
            for q, i in zip(picked.pairs.queries, picked.pairs.items, strict=True)
        ]
    )
    PairTable.from_rows(labelled).to_jsonl(data / "labelled.jsonl")

    reporter.say(f"\n[4/4] {ABOUT['darl-again']}")
    again = darl_recipe(data, backbone, size, seed, extra=[str(data / "labelled.jsonl")])
    atomic_write_text(folder / "darl-again.yaml", recipe_to_yaml(again))
    results["darl-again"] = fit(again, run=folder / "runs" / "darl-again")

    _print(results, folder, time.monotonic() - started)
    if not keep:
        shutil.rmtree(folder)
    return results


def write_data(folder: Path, *, quick: bool = False, seed: int = 0) -> Path:
    """Write pairs of the world for a small encoder, more than the demo's LLM has time for, and return their folder."""
    data = folder / "data"
    write_world(make_world(seed, **(QUICK if quick else FOR_ENCODER).world()), data)
    return data


ABOUT = {
    "naive": "the naive LLM: fine-tuned to answer with grade words",
    "darl": "DaRL: probe, tune, interpolate, calibrate",
    "darl-again": "DaRL again, with the labels of what it had not covered",
}


def _shared(data: Path, backbone: str, size: Size, seed: int, extra: list[str]) -> dict[str, Any]:
    return {
        "seed": seed,
        "grades": GRADES,
        "data": {
            "train": [str(data / "train.jsonl"), *extra],
            "dev_id": str(data / "dev_id.jsonl"),
            "dev_ood": str(data / "dev_ood.jsonl"),
            "tests": {"id": str(data / "test_id.jsonl"), "ood": str(data / "test_ood.jsonl")},
        },
        "backbone": {"name": backbone, "max_length": 96},
        "tune": {
            "epochs": size.epochs,
            "batch_size": 16,
            "learning_rate": 1e-4,
            "freeze_layers": FROZEN_LAYERS,
            "checkpoints": 2,
        },
        "evaluate": {"bootstrap": 1000},
    }


def naive_recipe(data: Path, backbone: str, size: Size, seed: int) -> Recipe:
    """Fine-tuning as everybody does it: the grade word by the language-model loss, nothing after."""
    settings = _shared(data, backbone, size, seed, []) | {
        "name": "naive",
        "method": "verbalizer",
        "interpolate": {"enabled": False},
        "calibrate": {"enabled": False},
        "decide": {"rule": "argmax"},
        "ood": {"enabled": False},
    }
    return Recipe.model_validate(settings)


def darl_recipe(data: Path, backbone: str, size: Size, seed: int, extra: list[str] | None = None) -> Recipe:
    """DaRL's stages; tuned once, from the probe: the demo has no time for the two tunings that `auto` chooses from."""
    settings: dict[str, Any] = _shared(data, backbone, size, seed, extra or []) | {"name": "darl"}
    settings["tune"] = {**settings["tune"], "start": "probe"}
    settings["interpolate"] = {"alphas": [0.0, 0.7, 1.0], "dev_limit": 60}
    return Recipe.model_validate(settings)


def _select(result: FitResult, data: Path, budget: int, seed: int, reporter: Reporter):
    pool = read_pairs(data / "pool.jsonl", require_grades=False)
    tests = {name: read_pairs(data / f"{name}.jsonl") for name in ("dev_id", "dev_ood", "test_id", "test_ood")}
    with reporter.bar("score the pool", len(pool)) as advance:
        return select(
            result.model_path,
            pool,
            budget=budget,
            train=read_pairs(data / "train.jsonl"),
            evaluations=tests,
            seed=seed,
            progress=advance,
        )


METRICS = (("macro_f1", "macro-F1 ↑"), ("qwk", "QWK ↑"), ("ece", "ECE ↓"))
TRAFFIC = (("id", "known (ID)"), ("ood", "new (OOD)"))


def _print(results: dict[str, FitResult], folder: Path, seconds: float) -> None:
    table = Table(title="naive LLM against DaRL, on known and on new lines of insurance", title_justify="left")
    table.add_column("traffic")
    table.add_column("model")
    for _, label in METRICS:
        table.add_column(label, justify="right", no_wrap=True)
    for split, name in TRAFFIC:
        for model, result in results.items():
            assert result.evaluation is not None
            cells = [_cell(result.evaluation.splits[split].metrics[metric]) for metric, _ in METRICS]
            table.add_row(name if model == "naive" else "", model, *cells, end_section=model == "darl-again")
    for model, result in results.items():
        assert result.evaluation is not None
        cells = [_cell(result.evaluation.gap["ood"][metric], sign="+") for metric, _ in METRICS]
        table.add_row("gap ID − OOD" if model == "naive" else "", model, *cells)
    rows = {name: figures(result.evaluation) for name, result in results.items() if result.evaluation}
    atomic_write_json(folder / "summary.json", rows)
    console = Console(width=max(88, Console().width))
    console.print()
    console.print(table)
    console.print("in brackets: 95 % intervals over resampled queries, wide because the demo is small")
    console.print(f"done in {seconds / 60:.1f} minutes; everything is in {folder}/", markup=False)
    model = results["darl-again"].model_path
    console.print("\nnext, score pairs of your own with the model, or fit it on your own data:", markup=False)
    darl = command_here()
    for line in (
        f"{darl} score {model} {folder}/data/pool.jsonl -o scored.parquet",
        f"{darl} recipe init recipe.yaml     # edit it, then: {darl} fit recipe.yaml",
    ):
        console.print(f"  {line}", markup=False, soft_wrap=True)


def command_here() -> str:
    """How this installation's ``darl`` is called from where the user stands: ``make demo`` puts it on no path."""
    own, found = Path(sys.executable).with_name("darl"), shutil.which("darl")
    if found is not None and (not own.exists() or Path(found).absolute() == own):
        return "darl"
    return str(own.relative_to(Path.cwd()) if own.is_relative_to(Path.cwd()) else own)


def figures(evaluation: Evaluation) -> dict[str, dict[str, list[float]]]:
    """Split → metric → [estimate, low, high]."""
    return {
        split: {
            metric: [found.metrics[metric].estimate, found.metrics[metric].low, found.metrics[metric].high]
            for metric, _ in METRICS
        }
        for split, found in evaluation.splits.items()
    }


def _cell(interval: Interval, sign: str = "") -> str:
    return f"{interval.estimate:{sign}.2f} [{interval.low:.2f}, {interval.high:.2f}]".replace("0.", ".")

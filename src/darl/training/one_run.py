"""One run: a recipe to a run folder, stage by stage, resumable.

splits → (teacher) → (match) → probe → tune (from each start) → interpolate → (augment) → calibrate → model → evaluate
"""

from __future__ import annotations

import filecmp
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from darl.evaluation import Evaluation, evaluate_predictions, render
from darl.model import RelevanceModel
from darl.model.saving import clear_beside, replaced_model
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import (
    atomic_file,
    atomic_write_json,
    atomic_write_text,
    link_or_copy,
    storage_errors,
)
from darl.training.early_checks import check_recipe, check_splits
from darl.training.finish import finish_stage
from darl.training.itself import ALONE
from darl.training.learn import learn_stages
from darl.training.processes import barrier, device, is_main
from darl.training.run import Run, Stage
from darl.training.splits import load_splits
from darl.training.teacher import teach


@dataclass(frozen=True)
class FitResult:
    """A finished run.

    Attributes:
        folder: the run. model_path: the final model in it.
        metrics: what ``metrics.json`` holds: evaluation, choices, times.
        evaluation: quality on each test set with intervals and the ID–OOD gap, or None without test sets.
        summary: the same as a text table.
    """

    folder: Path
    model_path: Path
    metrics: dict[str, Any]
    evaluation: Evaluation | None
    summary: str


def fit_one(recipe: Recipe, run: Run, reporter: Reporter, *, made: tuple[Stage, ...] = ()) -> FitResult:
    """Do the stages of ``run`` that are not done, and judge the model.

    Args:
        made: stages that made training pairs of this run, for the record in ``metrics.json``.
    """
    started = time.perf_counter()
    unfinished = not (run.folder / "stages" / "finish" / "stage.json").exists()  # what is finished need not be refused
    if is_main() and unfinished:
        check_recipe(recipe)
    barrier()  # the main process has fetched the backbone, the others find it
    splits = load_splits(recipe, run.folder)
    if unfinished:
        check_splits(recipe, splits)
    reporter.say(f"{recipe.name}: {splits.told()}")
    if warning := splits.warning():
        reporter.say(warning)
    before: tuple[Stage, ...] = ()
    if recipe.teacher is not None:
        splits, before = teach(recipe, splits, run, reporter)
        if recipe.match.reuse is None and any(stage.name == ALONE for stage in before):  # matched on the same texts
            recipe = recipe.model_copy(
                update={"match": recipe.match.model_copy(update={"reuse": str(run.folder / ALONE)})}
            )
    learned = learn_stages(recipe, splits, run, reporter, before=before)
    finished = finish_stage(recipe, splits, run, learned, reporter)
    model_path = run.folder / "model"
    evaluation, predictions = None, {}
    if is_main():
        model = RelevanceModel.from_pretrained(
            finished.folder / "model", device=device(), trust_remote_code=recipe.backbone.trust_remote_code
        )
        evaluation, predictions = judge(model, splits.tests, recipe, reporter)
        publish(finished.folder / "model", model_path)
        stages = (*made, *before, *learned, finished)
        earlier = [stage for stage in stages if stage.reused or stage in made]  # `made` was done before this began
        metrics = {
            "name": recipe.name,
            "seed": recipe.seed,
            "sizes": splits.sizes(),
            **({"teachers": splits.taught.weights} if splits.taught else {}),
            "choices": {stage.name: stage.result for stage in stages},
            "evaluation": evaluation.to_dict() if evaluation else None,
            "seconds": time.perf_counter() - started + sum(stage.seconds for stage in earlier),
            "seconds_by_stage": {stage.name: round(stage.seconds, 2) for stage in stages},
        }
        with storage_errors(run.folder):
            for name, arrays in predictions.items():
                with atomic_file(run.folder / f"predictions-{name}.npz") as scratch, scratch.open("wb") as file:
                    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
            atomic_write_json(run.folder / "metrics.json", metrics)
        summary = render(evaluation, "text") if evaluation else "no test sets in the recipe: nothing to judge"
        atomic_write_text(run.folder / "summary.txt", summary + "\n")
    else:
        metrics, summary = {}, ""
    barrier()
    return FitResult(run.folder, model_path, metrics, evaluation, summary)


def judge(
    model: RelevanceModel, tests: dict[str, PairTable], recipe: Recipe, reporter: Reporter
) -> tuple[Evaluation | None, dict[str, dict[str, np.ndarray]]]:
    """Quality on every test set, the first being ID, and the predictions themselves."""
    if not tests:
        return None, {}
    found, predictions = {}, {}
    for name, table in tests.items():
        with reporter.bar(f"judge {name}", len(table)) as advance:
            scores = model.score(table, ood=False, progress=advance)
        found[name] = evaluate_predictions(
            table.grades,
            scores.probabilities,
            scores.grades,
            scale=model.scale,
            groups=table.query_groups(),
            relevance=scores.relevance,
            slices={column: table.column(column) for column in recipe.data.slices if table.has(column)},
            bootstrap=recipe.evaluate.bootstrap,
            seed=0,
            min_pairs=recipe.evaluate.min_slice,
        )
        predictions[name] = {
            "grades": table.grades,
            "probabilities": scores.probabilities,
            "predicted": scores.grades,
            "groups": table.query_groups(),
        }
    return Evaluation.of(found, id_split=next(iter(tests))), predictions


def publish(source: Path, target: Path) -> None:
    """Make ``target`` the finished model, by hard links where the disk allows: no second copy of the weights.

    What stood there is found until the new model is; the same model is left as it is.
    """
    target = Path(os.path.realpath(target))
    with storage_errors(target):
        if _same_files(source, target):
            clear_beside(target)
            return
        with replaced_model(target) as partial:
            shutil.copytree(source, partial, copy_function=link_or_copy, dirs_exist_ok=True)


def _same_files(one: Path, two: Path) -> bool:
    """Whether two folders hold the same: files of one inode, or of one size and time of writing, are not read."""
    files, others = (
        {path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()} for folder in (one, two)
    )
    return files == others and all(filecmp.cmp(one / path, two / path) for path in files)

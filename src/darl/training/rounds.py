"""Rounds of labels by recipe: fit, select, label, fit again from the start with both; as many times as it says.

    runs/shop/
      rounds/recipe.yaml     as run, with its rounds
      rounds/0/              an ordinary run, without labels from the pool
      rounds/1/              an ordinary run with the labels of round 1, and besides its other files:
        picked.jsonl           the pairs to label, with scores and reasons
        labelled.jsonl         their labels, where a person or a judge gives them
        stages/select, stages/label
      model/, metrics.json …  those of the last round, with the learning curve; recipe.yaml is that of the last round

Each round's recipe is the user's without its rounds, with all labels so far as further training pairs, and with
the run before as ``interpolate.before``. Killed at any point, the same command goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from darl.dasa.strategies import make_strategy
from darl.errors import RecipeError, RunError
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.data import Source
from darl.recipe.file import recipe_to_yaml
from darl.recipe.rounds import RoundsSettings
from darl.recipe.settings import Recipe
from darl.storage import atomic_file, atomic_write_json, atomic_write_text, storage_errors
from darl.training.learning_curve import curve_rows, curve_text
from darl.training.one_run import FitResult, fit_one, publish
from darl.training.processes import barrier, is_main
from darl.training.round_judge import require_judge
from darl.training.round_labels import LABELLED, label_stage
from darl.training.round_picks import picks_of, select_stage
from darl.training.run import RecipeFolder, Run, Stage
from darl.training.splits import load_splits

ROUNDS = "rounds"


def fit_rounds(recipe: Recipe, folder: Path, reporter: Reporter, *, redo: bool = False) -> FitResult:
    """Run every round that is not done, and make the last one's model that of the run.

    Raises:
        LabelsAwaitedError: a round has picked, and its labels are not there yet.
        RunError: the folder holds an ordinary run, or one of another recipe.
    """
    settings = recipe.rounds
    assert settings is not None
    make_strategy(settings.strategy)  # an unknown one is refused before the work
    if recipe.method == "verbalizer" and settings.weight != 1:
        raise RecipeError(
            "the verbalizer's loss, that of a language model, takes no weights",
            where="rounds.weight",
            mend="take rounds.weight=1, or method=head",
        )
    if settings.judge is not None and not _labelled(folder, settings.count):
        require_judge(settings.judge)
    if (folder / "recipe.yaml").exists() and not _has_rounds(folder):
        raise RunError(
            "the folder holds a run without rounds", where=folder, mend="choose another folder with --run or `output`"
        )
    with RecipeFolder(folder / ROUNDS, recipe, redo=redo):
        results: list[FitResult] = []
        for number in range(settings.count + 1):
            of = f" of {settings.count}" if number else ", without labels from the pool"
            reporter.say(f"round {number}{of}")
            sub = round_recipe(recipe, folder, number)
            with Run(round_folder(folder, number), sub, redo=redo) as run:
                made = _label(recipe, settings, folder, number, run, reporter) if number else ()
                results.append(fit_one(sub, run, reporter, made=made))
        found = _publish(recipe, folder, results) if is_main() else FitResult(folder, folder, {}, None, "")
        barrier()
    return found


def refuse_rounds_in(folder: Path) -> None:
    """Refuse to write an ordinary run over one with rounds.

    Raises:
        RunError: the folder holds one.
    """
    if _has_rounds(folder):
        raise RunError(
            "the folder holds a run with rounds, and the recipe has none",
            where=folder,
            mend="run the recipe that has `rounds`, or choose another folder with --run or `output`",
        )


def _has_rounds(folder: Path) -> bool:
    return (folder / ROUNDS / "recipe.yaml").exists()


def _labelled(folder: Path, number: int) -> bool:
    """Whether a round has its labels, so that nobody is asked for it any more."""
    return (round_folder(folder, number) / "stages" / "label" / "stage.json").is_file()


def round_folder(folder: Path, number: int) -> Path:
    """Where round ``number`` lies; 0 is the fit without labels from the pool."""
    return folder / ROUNDS / str(number)


def round_recipe(recipe: Recipe, folder: Path, number: int) -> Recipe:
    """The ordinary recipe that round ``number`` of a recipe with rounds runs."""
    settings = recipe.rounds
    assert settings is not None
    root = folder.resolve()  # a recipe is read from its own folder: its paths must stand alone
    labelled = [
        Source(
            path=str(round_folder(root, n) / "stages" / "label" / LABELLED),
            weight=settings.weight,
            columns={},
            cut=False,
        )
        for n in range(1, number + 1)
    ]
    data = recipe.data.model_copy(update={"train": [*recipe.data.train, *labelled]})
    changes: dict[str, Any] = {"name": f"{recipe.name}-round-{number}", "data": data, "rounds": None}
    if number and recipe.match.reuse is None:  # its texts are the same in every round
        changes["match"] = recipe.match.model_copy(update={"reuse": str(round_folder(root, 0))})
    if number and settings.fall_back:
        before = str(round_folder(root, number - 1))
        changes["interpolate"] = recipe.interpolate.model_copy(update={"before": before})
    return recipe.model_copy(update=changes)


def _label(
    recipe: Recipe, settings: RoundsSettings, folder: Path, number: int, run: Run, reporter: Reporter
) -> tuple[Stage, ...]:
    """Pick and label for round ``number``, with the model of the round before."""
    before = round_folder(folder, number - 1)
    splits = load_splits(round_recipe(recipe, folder, number - 1))
    earlier = [picks_of(round_folder(folder, n) / "stages" / "select") for n in range(1, number)]
    already: PairTable | None = earlier[0].concat(*earlier[1:]) if earlier else None
    picked = select_stage(
        recipe, settings, number, before=before, splits=splits, already=already, run=run, reporter=reporter
    )
    labelled = label_stage(
        recipe,
        settings,
        before=before,
        columns=splits.train.column_names,
        dev=splits.dev_id,
        picked=picked,
        run=run,
        reporter=reporter,
    )
    return picked, labelled


def _publish(recipe: Recipe, folder: Path, results: list[FitResult]) -> FitResult:
    """Make the last round's files those of the whole run; ``metrics.json`` comes last and says that it is whole."""
    last, number = results[-1], len(results) - 1
    curve = curve_rows([result.evaluation for result in results], [result.metrics for result in results])
    metrics = {
        **last.metrics,
        "name": recipe.name,
        "rounds": [f"{ROUNDS}/{n}" for n in range(len(results))],
        "curve": curve,
        "seconds": sum(result.metrics["seconds"] for result in results),
    }
    summary = "\n\n".join([last.summary, curve_text([result.metrics for result in results], curve)])
    sub = round_recipe(recipe, folder, number).model_copy(update={"name": recipe.name})
    publish(last.model_path, folder / "model")
    with storage_errors(folder):
        for path in (*last.folder.glob("predictions-*.npz"), last.folder / "versions.json"):
            with atomic_file(folder / path.name) as scratch:
                shutil.copyfile(path, scratch)
        atomic_write_text(folder / "recipe.yaml", recipe_to_yaml(sub))
        atomic_write_text(folder / "summary.txt", summary + "\n")
        atomic_write_json(folder / "metrics.json", metrics)
    return FitResult(folder, folder / "model", metrics, last.evaluation, summary)

"""fit: from a recipe to a model, by one run or by rounds of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from darl.errors import RecipeError
from darl.progress import Reporter, quiet_libraries
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.training.one_run import FitResult, fit_one
from darl.training.processes import is_main
from darl.training.rounds import fit_rounds, refuse_rounds_in
from darl.training.run import Run


def fit(
    recipe: Recipe | str | Path,
    *,
    run: str | Path | None = None,
    overrides: Sequence[str] = (),
    redo: bool = False,
    quiet: bool = False,
) -> FitResult:
    """Train, interpolate, calibrate and judge one model; with ``rounds`` in the recipe, do so in rounds of labels.

    Args:
        recipe: a :class:`Recipe` or the path of a YAML file.
        run: the run folder; default the recipe's ``output``.
        overrides: ``key=value`` changes to the recipe.
        redo: do the stages again that a changed recipe or changed data affects.
        quiet: say nothing.

    Raises:
        LabelsAwaitedError: a round has picked pairs, and their labels are not there yet.
        DarlError: whatever was wrong, with the mend; what was finished stays and the same call resumes.
    """
    quiet_libraries()
    if not isinstance(recipe, Recipe):
        recipe = load_recipe(recipe, overrides)
    elif overrides:
        raise RecipeError("overrides go with a recipe file, not with a Recipe", mend="use recipe.model_copy")
    folder = Path(run or recipe.output.replace("{name}", recipe.name))
    reporter = Reporter(quiet=quiet or not is_main())
    if recipe.rounds is not None:
        return fit_rounds(recipe, folder, reporter, redo=redo)
    refuse_rounds_in(folder)
    with Run(folder, recipe, redo=redo) as opened:
        return fit_one(recipe, opened, reporter)


__all__ = ["FitResult", "fit"]

"""What can be known to be wrong before any work is done, is said then: a fit may take hours."""

from __future__ import annotations

import difflib

from darl.errors import ModelError, RecipeError
from darl.losses import make_loss
from darl.model.saving import FACTS, model_folder
from darl.ood import make_detector
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.splits import Splits
from darl.training.starts import check_backbone


def check_recipe(recipe: Recipe) -> None:
    """Find out before any work what would stop the stages later.

    Raises:
        BackboneError: the backbone cannot be had, or the verbalizer cannot use it.
        ModelError: a model that the recipe names is not there.
        RecipeError: the template, the words, the loss, the detector or their settings do not fit.
    """
    check_backbone(recipe)
    scale = recipe.grades.scale()
    if recipe.method == "head":
        make_loss(recipe.loss.name, scale.size, scale, **recipe.loss.params)
    chosen = recipe.loss.class_weights
    if not isinstance(chosen, str) and len(chosen) != scale.size:
        raise RecipeError(
            f"{len(chosen)} weights for {scale.size} grades", where="loss.class_weights", mend="give one weight a grade"
        )
    if recipe.ood.enabled and recipe.ood.detector != "auto":
        make_detector(recipe.ood.detector, **recipe.ood.params)
    for key, named in (("start", recipe.interpolate.start), ("before", recipe.interpolate.before)):
        if named not in (None, "start") and not (model_folder(named) / FACTS).is_file():
            raise ModelError(
                f"there is no darl model at {named}", where=f"interpolate.{key}", mend="name a run or a saved model"
            )


def check_splits(recipe: Recipe, splits: Splits) -> None:
    """Whether what the recipe names in its data is there.

    Raises:
        RecipeError: a column to slice by that no test has; the verbalizer and pairs of unlike weights.
    """
    tests = list(splits.tests.values())
    for column in recipe.data.slices if tests else []:
        if not any(table.has(column) for table in tests):
            raise _no_such_slice(column, tests)
    weights = splits.train.weights
    if recipe.method == "verbalizer" and weights is not None and weights.min() < weights.max():
        raise RecipeError(
            "training pairs have weights, and the verbalizer's loss, that of a language model, takes none",
            where="method",
            mend="take method=head, or leave the weights out",
        )


def _no_such_slice(column: str, tests: list[PairTable]) -> RecipeError:
    known = sorted({name for table in tests for name in table.column_names})
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.5)
    return RecipeError(
        f"no test set has a column {column!r}",
        where="data.slices",
        mend=(f"did you mean {near[0]!r}? " if near else "") + f"They have: {', '.join(known)}",
    )

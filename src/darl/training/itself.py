"""The student before it is taught: its backbone fitted on the graded pairs alone, one of its own teachers.

A teacher that knows less of these pairs than a student finds out by itself makes the student worse. Asked beside the
teachers, with a weight of dev_id like theirs (:mod:`darl.training.opinion_pool`), the student's own earlier opinion
outweighs such a teacher, and where both know something their mixture knows more than either. A network taught by
itself: Furlanello et al. 2018, *Born-Again Neural Networks*.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from darl.errors import EmptySplitError, MissingGradeError
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.training.finish import finish_stage
from darl.training.learn import learn_stages
from darl.training.run import Run
from darl.training.splits import Splits, require_every_grade

ALONE = "alone"  # in the student's run: a run of its own, with stages that resume


def fit_itself(
    recipe: Recipe, splits: Splits, own: np.ndarray, dev: PairTable, run: Run, reporter: Reporter
) -> Path | None:
    """The folder of the model fitted on graded pairs alone, or None, with the reason said, where they do not suffice.

    Args:
        own: which training pairs have a grade, bool (n,). dev: the graded pairs of dev_id.
    """
    train = splits.train.where(own)
    if len(train) == 0 or len(dev) == 0:
        return None  # nothing to learn from, or nothing to weigh it by
    try:
        require_every_grade(train, dev, recipe.grades.scale())
    except (EmptySplitError, MissingGradeError) as error:
        reporter.say(f"alone: not asked, the graded pairs do not suffice: {error.where}: {error.what}")
        return None
    reporter.say(f"alone: {recipe.backbone.name} on the {len(train)} graded pairs, to be one of the teachers")
    itself = recipe_alone(recipe)
    with Run(run.folder / ALONE, itself, redo=run.redo) as inside:
        # matching reads the other texts too, so that the student can take the matched backbone over
        graded = replace(splits, train=train, dev_id=dev, ungraded=None if own.all() else splits.train.where(~own))
        learned = learn_stages(itself, graded, inside, reporter)
        return finish_stage(itself, graded, inside, learned, reporter).folder / "model"


def recipe_alone(recipe: Recipe) -> Recipe:
    """The student's recipe without teachers, rounds, a model from before, or an OOD reference, which no pupil asks."""
    return recipe.model_copy(
        update={
            "teacher": None,
            "rounds": None,
            "interpolate": recipe.interpolate.model_copy(update={"before": None}),
            "ood": recipe.ood.model_copy(update={"enabled": False}),
        }
    )

"""Distillation: a teacher grades the training pairs, and its probabilities become the student's targets.

    target of a pair = (1 − s) · its own grade + s · the teacher's probabilities,   s = 1 where it has no grade

After Hinton et al. 2015 (*Distilling the Knowledge in a Neural Network*): a teacher's doubt between two grades says
more of a pair than a grade does, and it can be asked about pairs that nobody labelled.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from darl.errors import MissingGradeError, RecipeError
from darl.model import RelevanceModel
from darl.model.saving import model_folder
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import sha256_file
from darl.training.processes import device
from darl.training.run import Run, Stage
from darl.training.splits import SoftTargets, Splits, require_every_grade

IDENTITY = ("darl.json", "config.json", "tokenizer.json", "model.safetensors")  # what a teacher's answers depend on


def teach(recipe: Recipe, splits: Splits, run: Run, reporter: Reporter) -> tuple[Splits, Stage]:
    """The splits with every training and dev pair graded and the teacher's targets beside, and the stage done.

    Dev pairs keep their own grades; the teacher grades those that have none.

    Raises:
        ModelError: the teacher cannot be loaded. RecipeError: its grades are others.
        MissingGradeError: with the teacher's grades too, train or dev lacks one.
    """
    assert recipe.teacher is not None
    folder = model_folder(recipe.teacher.model)
    inputs = {
        "teacher": {name: sha256_file(folder / name) for name in IDENTITY if (folder / name).is_file()},
        "grades": recipe.grades.model_dump(mode="json"),
        "data": splits.fingerprints(),
    }
    stage = run.stage("teacher", inputs, lambda into: _ask(recipe, splits, folder, into, reporter))
    said = load_file(stage.folder / "said.safetensors")
    train = graded(splits.train, said["train_grades"])
    dev = graded(splits.dev_id, said["dev_id_grades"]) if "dev_id_grades" in said else splits.dev_id
    try:
        require_every_grade(train, dev, recipe.grades.scale())
    except MissingGradeError as error:
        mend = "the teacher gives that grade to no ungraded pair either: add graded pairs of it"
        raise MissingGradeError(error.what, where=error.where, mend=mend) from None
    own = has_grade(splits.train)
    share = np.where(own, recipe.teacher.share, 1.0).astype(np.float32)
    reporter.say(
        f"teacher: grades {int((~own).sum())} of {len(own)} training pairs, and counts {recipe.teacher.share:g} "
        f"on the others{' (done before)' if stage.reused else ''}"
    )
    return replace(splits, train=train, dev_id=dev, taught=SoftTargets(said["train_probabilities"], share)), stage


def has_grade(table: PairTable) -> np.ndarray:
    """Which pairs have a grade of their own, bool (n,)."""
    if not table.has("grade"):
        return np.zeros(len(table), dtype=bool)
    return ~table.arrow.column("grade").is_null().to_numpy()


def graded(table: PairTable, grades: np.ndarray) -> PairTable:
    """The same pairs, each ungraded one with the grade given for it; grades (n,)."""
    own = has_grade(table)
    if own.all():
        return table
    kept = np.zeros(len(table), dtype=np.int64)
    if own.any():
        kept[own] = table.where(own).grades
    return table.with_column("grade", np.where(own, kept, grades).astype(np.int64))


def _ask(recipe: Recipe, splits: Splits, folder: Path, into: Path, reporter: Reporter) -> dict[str, Any]:
    teacher = RelevanceModel.from_pretrained(
        folder, device=device(), trust_remote_code=recipe.backbone.trust_remote_code
    )
    scale = recipe.grades.scale()
    if teacher.scale.names != scale.names:
        raise RecipeError(
            f"the teacher grades {', '.join(teacher.scale.names)}, the recipe {', '.join(scale.names)}",
            where="teacher.model",
            mend="give `grades:` the teacher's names in its order",
        )
    asked = {"train": splits.train}
    if not has_grade(splits.dev_id).all():
        asked["dev_id"] = splits.dev_id
    said = {}
    for name, table in asked.items():
        with reporter.bar(f"teacher: {name}", len(table)) as advance:
            scores = teacher.score(table, ood=False, progress=advance)
        said[f"{name}_grades"] = scores.grades.astype(np.int64)
        said[f"{name}_probabilities"] = scores.probabilities.astype(np.float32)
    save_file(said, into / "said.safetensors")
    return {"model": str(folder), "pairs": {name: len(table) for name, table in asked.items()}}

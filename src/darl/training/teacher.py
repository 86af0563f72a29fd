"""Distillation: a teacher grades the training pairs, and its probabilities become the student's targets.

    target of a pair = (1 − s) · its own grade + s · the teacher's probabilities,   s = 1 where it has no grade

After Hinton et al. 2015 (*Distilling the Knowledge in a Neural Network*): a teacher's doubt between two grades says
more of a pair than a grade does, and it can be asked about pairs that nobody labelled. Several teachers speak as one:
:mod:`darl.training.opinion_pool`, with weights of dev_id.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from darl.errors import MissingGradeError, RecipeError
from darl.evaluation import macro_f1, nll
from darl.model import RelevanceModel
from darl.model.saving import model_folder
from darl.model.scores import Scores
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import sha256_file
from darl.training.opinion_pool import pool_weights, pooled, vote
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
    folders = [model_folder(model) for model in recipe.teacher.model]
    inputs = {
        "teacher": [
            {name: sha256_file(folder / name) for name in IDENTITY if (folder / name).is_file()} for folder in folders
        ],
        "grades": recipe.grades.model_dump(mode="json"),
        "data": splits.fingerprints(),
    }
    stage = run.stage("teacher", inputs, lambda into: _ask(recipe, splits, folders, into, reporter))
    said = load_file(stage.folder / "said.safetensors")
    train = graded(splits.train, said["train_grades"])
    dev = graded(splits.dev_id, said["dev_id_grades"])
    try:
        require_every_grade(train, dev, recipe.grades.scale())
    except MissingGradeError as error:
        mend = "the teacher gives that grade to no ungraded pair either: add graded pairs of it"
        raise MissingGradeError(error.what, where=error.where, mend=mend) from None
    own = has_grade(splits.train)
    share = np.where(own, recipe.teacher.share, 1.0).astype(np.float32)
    for one in stage.result["teachers"]:
        if "dev_macro_f1" in one:
            weight = f", weight {one['weight']:.2f}" if len(folders) > 1 else ""
            reporter.say(
                f"teacher {one['model']}: dev_id macro-F1 {one['dev_macro_f1']:.3f}, NLL {one['dev_nll']:.3f}{weight}"
            )
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


def _ask(recipe: Recipe, splits: Splits, folders: list[Path], into: Path, reporter: Reporter) -> dict[str, Any]:
    asked = {"train": splits.train, "dev_id": splits.dev_id}
    answers = [_answers(recipe, folder, asked, reporter) for folder in folders]
    opinions = {name: np.stack([one[name].probabilities for one in answers]) for name in asked}
    choices = {name: np.stack([one[name].grades for one in answers]) for name in asked}
    dev, own = splits.dev_id, has_grade(splits.dev_id)
    weights = np.full(len(folders), 1 / len(folders))
    facts: list[dict[str, Any]] = [{"model": str(folder)} for folder in folders]
    if own.any():
        grades = dev.where(own).grades
        weights = pool_weights(grades, opinions["dev_id"][:, own])
        for fact, opinion, choice in zip(facts, opinions["dev_id"][:, own], choices["dev_id"][:, own], strict=True):
            fact |= {"dev_macro_f1": macro_f1(grades, choice, recipe.grades.scale().size)}
            fact |= {"dev_nll": nll(grades, opinion)}
    for fact, weight in zip(facts, weights, strict=True):
        fact["weight"] = float(weight)
    said = {}
    for name in asked:
        said[f"{name}_grades"] = vote(choices[name], opinions[name], weights).astype(np.int64)
        said[f"{name}_probabilities"] = pooled(opinions[name], weights).astype(np.float32)
    save_file(said, into / "said.safetensors")
    return {"teachers": facts, "pairs": {name: len(table) for name, table in asked.items()}}


def _answers(recipe: Recipe, folder: Path, asked: dict[str, PairTable], reporter: Reporter) -> dict[str, Scores]:
    """What one teacher says of each table."""
    teacher = RelevanceModel.from_pretrained(
        folder, device=device(), trust_remote_code=recipe.backbone.trust_remote_code
    )
    scale, answers = recipe.grades.scale(), {}
    if teacher.scale.names != scale.names:
        raise RecipeError(
            f"the teacher grades {', '.join(teacher.scale.names)}, the recipe {', '.join(scale.names)}",
            where="teacher.model",
            mend="give `grades:` the teacher's names in its order",
        )
    for name, table in asked.items():
        with reporter.bar(f"teacher: {name}", len(table)) as advance:
            answers[name] = teacher.score(table, ood=False, progress=advance)
    return answers

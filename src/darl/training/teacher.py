"""Distillation: a teacher grades the training pairs, and its probabilities become the student's targets.

    target of a pair = (1 − s) · its own grade + s · the teacher's probabilities,   s = 1 where it has no grade

After Hinton et al. 2015 (*Distilling the Knowledge in a Neural Network*): a teacher's doubt between two grades says
more of a pair than a grade does, and it can be asked about pairs that nobody labelled. Several teachers speak as one:
:mod:`darl.training.opinion_pool`, with weights of dev_id. One of them is the student's own backbone:
:mod:`darl.training.itself`.
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
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import sha256_file
from darl.training.itself import ALONE, fit_itself
from darl.training.opinion_pool import pool_weights, pooled, vote
from darl.training.processes import device
from darl.training.run import Run, Stage
from darl.training.splits import SoftTargets, Splits, has_grade, require_every_grade

TEACHER = "teacher"
IDENTITY = ("darl.json", "config.json", "tokenizer.json", "model.safetensors")  # what a teacher's answers depend on


def teach(recipe: Recipe, splits: Splits, run: Run, reporter: Reporter) -> tuple[Splits, tuple[Stage, ...]]:
    """The splits with every training and dev pair graded and the teachers' targets beside, and the stages done.

    Dev pairs keep their own grades; the teachers grade those that have none. Each teacher is a stage of its own.

    Raises:
        ModelError: a teacher cannot be loaded. RecipeError: its grades are others.
        MissingGradeError: with the teachers' grades too, train or dev lacks one.
    """
    assert recipe.teacher is not None
    folders = [model_folder(model) for model in recipe.teacher.model]
    names = [TEACHER if number == 1 else f"{TEACHER}-{number}" for number in range(1, len(folders) + 1)]
    stages = [_asked(recipe, splits, *one, run, reporter) for one in zip(folders, names, strict=True)]
    own = has_grade(splits.train)
    if recipe.teacher.itself:
        graded_dev = splits.dev_id.where(has_grade(splits.dev_id))
        alone = fit_itself(recipe, splits, own, graded_dev, run, reporter)
        if alone is not None:
            folders.append(alone)
            stages.append(_asked(recipe, splits, alone, ALONE, run, reporter))
    said = [load_file(stage.folder / "said.safetensors") for stage in stages]
    opinions, choices = (
        {name: np.stack([one[f"{name}_{what}"] for one in said]) for name in ("train", "dev_id")}
        for what in ("probabilities", "grades")
    )
    weights = _weights(splits.dev_id, opinions["dev_id"])
    train, dev = (
        graded(table, vote(choices[name], opinions[name], weights))
        for name, table in (("train", splits.train), ("dev_id", splits.dev_id))
    )
    try:
        require_every_grade(train, dev, recipe.grades.scale())
    except MissingGradeError as error:
        mend = "the teacher gives that grade to no ungraded pair either: add graded pairs of it"
        raise MissingGradeError(error.what, where=error.where, mend=mend) from None
    share = np.where(own, recipe.teacher.share, 1.0).astype(np.float32)
    for stage, weight in zip(stages, weights, strict=True):
        worth = "".join(f", dev_id {name} {stage.result['dev'][name]:.3f}" for name in stage.result["dev"])
        counts = f", weight {weight:.2f}" if len(stages) > 1 else ""
        reporter.say(f"{stage.name} {stage.result['model']}{worth}{counts}{' (done before)' if stage.reused else ''}")
    ungraded = int((~own).sum())
    reporter.say(
        f"teacher: grades {ungraded} of {len(own)} training pairs, and counts {recipe.teacher.share:g} on the others"
    )
    by_model = dict(zip(map(str, folders), weights.tolist(), strict=True))
    targets = SoftTargets(pooled(opinions["train"], weights).astype(np.float32), share, by_model)
    return replace(splits, train=train, dev_id=dev, taught=targets), tuple(stages)


def graded(table: PairTable, grades: np.ndarray) -> PairTable:
    """The same pairs, each ungraded one with the grade given for it; grades (n,)."""
    own = has_grade(table)
    if own.all():
        return table
    kept = np.zeros(len(table), dtype=np.int64)
    if own.any():
        kept[own] = table.where(own).grades
    return table.with_column("grade", np.where(own, kept, grades).astype(np.int64))


def _asked(recipe: Recipe, splits: Splits, folder: Path, name: str, run: Run, reporter: Reporter) -> Stage:
    """The stage that holds what one teacher says of train and dev_id."""
    inputs = {
        "teacher": {name: sha256_file(folder / name) for name in IDENTITY if (folder / name).is_file()},
        "grades": recipe.grades.model_dump(mode="json"),
        "data": splits.fingerprints(),
    }
    return run.stage(name, inputs, lambda into: _ask(recipe, splits, folder, name, into, reporter))


def _ask(recipe: Recipe, splits: Splits, folder: Path, name: str, into: Path, reporter: Reporter) -> dict[str, Any]:
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
    said = {}
    for split, table in (("train", splits.train), ("dev_id", splits.dev_id)):
        with reporter.bar(f"{name}: {split}", len(table)) as advance:
            scores = teacher.score(table, ood=False, progress=advance)
        said[f"{split}_grades"] = scores.grades.astype(np.int64)
        said[f"{split}_probabilities"] = scores.probabilities.astype(np.float32)
    save_file(said, into / "said.safetensors")
    return {"model": str(folder), "dev": _on_dev(splits.dev_id, said, scale.size)}


def _on_dev(dev: PairTable, said: dict[str, np.ndarray], size: int) -> dict[str, float]:
    """What the teacher is worth on the graded pairs of dev_id; empty where there is none."""
    own = has_grade(dev)
    if not own.any():
        return {}
    grades = dev.where(own).grades
    return {
        "macro-F1": macro_f1(grades, said["dev_id_grades"][own], size),
        "NLL": nll(grades, said["dev_id_probabilities"][own]),
    }


def _weights(dev: PairTable, opinions: np.ndarray) -> np.ndarray:
    """How much each teacher counts, (M,): by the grades of dev_id, or all alike where it has none."""
    own = has_grade(dev)
    if not own.any():
        return np.full(len(opinions), 1 / len(opinions))
    return pool_weights(dev.where(own).grades, opinions[:, own])

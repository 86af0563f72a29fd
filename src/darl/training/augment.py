"""After new labels: the model from before them, the new one, or a mix of both; chosen on dev.

θ(α) = (1 − α)·θ_before + α·θ_new. The rule is that of :func:`~darl.training.interpolate.choose`, held against the model
before: what is kept loses at most ε on dev_id, and gains something on dev_ood or dev_id. Labels that harm are not used.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save_file

from darl.errors import RecipeError
from darl.evaluation import ece
from darl.model import RelevanceModel
from darl.model.relevance_model import softmax
from darl.model.saving import model_folder
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import link_or_copy
from darl.training.content_keys import model_key
from darl.training.dev import DevJudge
from darl.training.interpolate import choose, interpolate
from darl.training.processes import device
from darl.training.run import Run, Stage
from darl.training.splits import Splits
from darl.training.starts import WEIGHTS, state_of

NAME = "augment"
BEFORE, NEW = 0.0, 1.0


def augment_stage(recipe: Recipe, splits: Splits, run: Run, new: Stage, reporter: Reporter) -> Stage:
    """The choice between ``interpolate.before`` and the weights of the stage ``new``."""
    settings = recipe.interpolate.model_dump(mode="json", exclude={"before", "start"})
    inputs = recipe.model_dump(mode="json", include={"objective", "decide", "calibrate"})
    inputs |= {"before": model_key(str(recipe.interpolate.before)), "interpolate": settings}
    return run.stage(NAME, inputs, lambda folder: _augment(recipe, splits, folder, new, reporter), after=(new,))


def kept_before(stage: Stage) -> bool:
    """Whether a stage chose the model from before, unmixed."""
    return stage.name == NAME and stage.result["alpha"] == BEFORE


def before_model(recipe: Recipe) -> RelevanceModel:
    """The model of ``interpolate.before``.

    Raises:
        ModelError: there is none, or it cannot be read. RecipeError: it has other grades.
    """
    return model_of_same_grades(recipe, str(recipe.interpolate.before), "interpolate.before")


def model_of_same_grades(recipe: Recipe, path: str, key: str) -> RelevanceModel:
    """A saved model that the recipe names under ``key``.

    Raises:
        ModelError: there is none, or it cannot be read. RecipeError: it has other grades.
    """
    folder, grades = model_folder(path), recipe.grades.scale().names
    model = RelevanceModel.from_pretrained(folder, device=device(), trust_remote_code=recipe.backbone.trust_remote_code)
    if model.scale.names != grades:
        raise RecipeError(
            f"the model there grades {', '.join(model.scale.names)}, the recipe {', '.join(grades)}",
            where=f"{key}: {folder}",
            mend="name a run with the recipe's grades",
        )
    return model


def _augment(recipe: Recipe, splits: Splits, folder: Path, new: Stage, reporter: Reporter) -> dict[str, Any]:
    settings, judge = recipe.interpolate, DevJudge(recipe, splits)
    earlier = before_model(recipe)
    earlier.undo_calibration()  # both ends uncalibrated: the mix is calibrated anew
    ends = state_of(earlier), load_file(new.folder / WEIGHTS)
    alphas = sorted({BEFORE, NEW, *(settings.alphas if settings.enabled else ())})
    with reporter.bar("augment: dev", len(alphas) * judge.pairs) as advance:
        candidates = [judge.candidate("before", a, interpolate(*ends, a), advance) for a in alphas]
    before, after = candidates[0], candidates[-1]
    best, why = choose(
        candidates,
        plain=before,
        max_id_loss=settings.max_id_loss,
        min_gain=settings.min_gain,
        called="the model from before the labels",
    )
    save_file(interpolate(*ends, best.alpha), folder / WEIGHTS)
    out = "" if after.ood_value is None else f", dev_ood {after.ood_value - (before.ood_value or 0.0):+.4f}"
    why += f". The new labels alone moved dev_id {after.id_value - before.id_value:+.4f}{out}"
    return {"start": best.start, "alpha": best.alpha, "why": why, "candidates": [vars(c) for c in candidates]}


def finish_as_before(recipe: Recipe, splits: Splits, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """The finishing stage where the model from before was kept: ``folder/model`` is that model, file by file."""
    model, dev = before_model(recipe), splits.dev_id
    with reporter.bar("calibrate: dev", len(dev)) as advance:
        logits = model.logits(model.encode(dev), progress=advance)
    before = (logits - (np.array(model.shifts) if model.shifts else 0.0)) * model.temperature
    shutil.copytree(model_folder(str(recipe.interpolate.before)), folder / "model", copy_function=link_or_copy)
    return {
        "temperature": model.temperature,
        "shifts": list(model.shifts),
        "calibrate_reason": "as in the model from before the labels",
        "dev_ece_before": float(ece(dev.grades, softmax(before))),
        "dev_ece_after": float(ece(dev.grades, softmax(logits))),
        "rule": model.rule.to_dict(),
        "rule_reason": "as in the model from before the labels",
        "rules": [],
    }

"""The OOD reference of a finished model: a detector on the training pairs, ranked on dev_id."""

from __future__ import annotations

from typing import Any

import numpy as np

from darl.errors import RecipeError
from darl.model import RelevanceModel
from darl.model.features import FeatureSpec
from darl.ood import OODReference, fit_reference, make_detector
from darl.ood.choice import choose_detector
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.training.frozen import load_frozen
from darl.training.run import Stage
from darl.training.splits import Splits

AUTO = "auto"


def make_reference(
    recipe: Recipe,
    splits: Splits,
    model: RelevanceModel,
    dev_logits: np.ndarray,
    learned: list[Stage],
    reporter: Reporter,
) -> tuple[OODReference, np.ndarray, dict[str, Any]]:
    """The reference, the features of dev_id that it ranks by, and what was chosen where the recipe says ``auto``.

    Args:
        dev_logits: of dev_id, for detectors that read logits.
        learned: stages that may have kept the features.

    Raises:
        RecipeError: ``auto`` with parameters, or an unknown detector.
    """
    settings, train, dev = recipe.ood, splits.train, splits.dev_id
    kept = reference_rows(recipe, len(train))
    detector = None if settings.detector == AUTO else make_detector(settings.detector, **settings.params)
    if detector is None and settings.params:
        raise RecipeError(
            "auto tries detectors with parameters of their own", where="ood.params", mend="name one, or leave them out"
        )
    if detector is not None and detector.reads == "logits":
        with reporter.bar("ood: logits of train", len(kept)) as advance:
            rows = model.logits(model.encode(train.take(kept)), progress=advance)
        return fit_reference(rows, dev_logits, detector, feature_spec={"source": "logits"}), dev_logits, {}
    spec = FeatureSpec(settings.source, settings.layer, settings.pooling)
    frozen = load_frozen(learned, spec)
    if frozen is not None:
        rows, held_out = frozen["train"][kept], frozen["dev_id"]
    else:
        with reporter.bar("ood: features", len(kept) + len(dev)) as advance:
            rows = model.features(model.encode(train.take(kept)), spec, progress=advance)
            held_out = model.features(model.encode(dev), spec, progress=advance)
    grades = train.grades[kept]
    if detector is not None:
        found = fit_reference(rows, held_out, detector, grades=grades, feature_spec=spec.to_dict())
        return found, held_out, {}
    shifted = None
    if splits.dev_ood is not None:
        with reporter.bar("ood: features of dev_ood", len(splits.dev_ood)) as advance:
            shifted = model.features(model.encode(splits.dev_ood), spec, progress=advance)
    choice = choose_detector(rows, held_out, shifted, grades=grades)
    found = OODReference(choice.detector, choice.detector.score(held_out), spec.to_dict())
    return found, held_out, {"detector": repr(choice.detector), "why": choice.why, "table": list(choice.table)}


def reference_rows(recipe: Recipe, count: int) -> np.ndarray:
    """Which of ``count`` training pairs the OOD reference is fitted on, in its order."""
    most = recipe.ood.max_reference
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(recipe.seed).choice(count, most, replace=False))

"""What calibration and a rule alone make of a plainly fine-tuned model: its own fit, finished afterwards.

Nobody who serves a model leaves it as cross-entropy makes it. So two more baselines stand beside the plain one, made
of the same weights:

- ``temperature``: one temperature, by the NLL of dev_id (Guo et al. 2017), and the likeliest grade;
- ``finished``: darl's own calibration and rule, chosen on dev_id and dev_ood as for its own models. What darl gains
  over this one is the model's doing: loss, stages, and texts of the pool.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from darl.decisions import DecisionRule
from darl.model import RelevanceModel
from darl.model.relevance_model import softmax
from darl.recipe.settings import Recipe
from darl.training.calibrate import Scaling, calibrate
from darl.training.decide import calibrate_on, decide_on, dev_logits
from darl.training.splits import load_splits

DERIVED = ("temperature", "finished")
Prediction = Mapping[str, np.ndarray]


def derived(run: Path, recipe: Recipe, tests: Mapping[str, Prediction]) -> dict[str, dict[str, Prediction]]:
    """{method: {tier: prediction}} of each kind.

    Args:
        run: the folder of the plain fit.
        recipe: of darl on the same data; its dev sets and settings finish the model.
        tests: the plain model's predictions by tier.
    """
    splits = load_splits(recipe)
    devs = {"dev_id": splits.dev_id, **({"dev_ood": splits.dev_ood} if splits.dev_ood is not None else {})}
    logits = _dev_logits(run, devs)
    known = dev_logits(splits.dev_id, logits["dev_id"])
    shifted = None if splits.dev_ood is None else dev_logits(splits.dev_ood, logits["dev_ood"])
    one, _ = calibrate(known, None, share=0, shifts=False, seed=recipe.seed)
    scaling, _ = calibrate_on(recipe, known, shifted)
    rule = decide_on(recipe, splits.train, known, shifted, scaling).rule
    return {
        "temperature": {tier: _decided(found, one, DecisionRule()) for tier, found in tests.items()},
        "finished": {tier: _decided(found, scaling, rule) for tier, found in tests.items()},
    }


def _decided(found: Prediction, scaling: Scaling, rule: DecisionRule) -> dict[str, np.ndarray]:
    """The same pairs anew; log p stands for the logits, which a constant a pair does not change."""
    probabilities = softmax(scaling.of(np.log(np.maximum(found["probabilities"], 1e-12))))
    return {**found, "probabilities": probabilities, "predicted": rule.decide(probabilities)}


def _dev_logits(run: Path, devs: dict) -> dict[str, np.ndarray]:
    """The plain model's logits on the dev sets, kept beside its predictions."""
    kept, fingerprints = run / "dev-logits.npz", {f"key.{name}": table.fingerprint() for name, table in devs.items()}
    if kept.exists():
        found = dict(np.load(kept))
        if all(str(found.get(name)) == key for name, key in fingerprints.items()):
            return {name: found[name] for name in devs}
    model = RelevanceModel.from_pretrained(run / "model")
    logits = {name: model.logits(model.encode(table)) for name, table in devs.items()}
    np.savez(kept, **logits, **fingerprints)  # type: ignore[arg-type]
    return logits

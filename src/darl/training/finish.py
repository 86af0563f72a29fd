"""The finishing stage: calibrate, choose the decision rule, build the OOD reference, save the model."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from darl.decisions import DecisionRule
from darl.evaluation import ece
from darl.model import RelevanceModel
from darl.model.constant import constant_direction
from darl.model.features import head_features, head_logits
from darl.model.head import head_of
from darl.model.relevance_model import softmax
from darl.ood import OODReference
from darl.ood.knn import unit_rows
from darl.ood.known import KnownPairs, chosen_rows, count_by_query
from darl.ood.novelty import WordingNovelty
from darl.pairs import PairTable
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.training.augment import finish_as_before, kept_before
from darl.training.content_keys import columns_content
from darl.training.decide import calibrate_on, decide_on, dev_logits
from darl.training.reference import make_reference
from darl.training.run import Run, Stage, versions
from darl.training.splits import Splits
from darl.training.starts import fresh_model, load_weights

MOST_OFF = 0.05  # of a constant: a shift of one nat is then wrong by .05
NO_SLICE = (
    *("query", "item", "grade", "weight", "query_id", "item_id", "split", "time", "file", "row"),
    *("round", "strategy", "labelled_by", "labelled_at", "label_agreement"),  # of labelled picks
)


def finish_stage(recipe: Recipe, splits: Splits, run: Run, learned: list[Stage], reporter: Reporter) -> Stage:
    """Calibrated, decided, with an OOD reference: ``folder/model`` is the model a user loads."""
    inputs = recipe.model_dump(mode="json", include={"calibrate", "decide", "ood", "objective", "seed"})
    if recipe.ood.enabled:
        inputs |= columns_content([splits.train, splits.dev_id], sliced(splits.train.concat(splits.dev_id)))
    stage = run.stage(
        "finish",
        inputs,
        lambda folder: (
            finish_as_before(recipe, splits, folder, reporter)
            if kept_before(learned[-1])
            else _finish(recipe, splits, folder, learned, reporter)
        ),
        after=(learned[-1],),
    )
    calibrated = f"T={stage.result['temperature']:.3f}, {stage.result['calibrate_reason']}"
    reporter.say(f"calibrate: {calibrated}; decide: {stage.result['rule_reason']}")
    if "why" in stage.result.get("ood", {}):
        reporter.say(f"ood: {stage.result['ood']['why']}")
    return stage


def sliced(table: PairTable) -> list[str]:
    """The columns by whose values drift is told: of pairs, but no text, label or number of theirs."""
    return [name for name in table.column_names if name not in NO_SLICE]


def _finish(recipe: Recipe, splits: Splits, folder: Path, learned: list[Stage], reporter: Reporter) -> dict[str, Any]:
    chosen, dev = learned[-1], splits.dev_id
    model = load_weights(fresh_model(recipe), chosen)
    read = {"dev": dev} | ({"dev_ood": splits.dev_ood} if splits.dev_ood is not None else {})
    features: dict[str, np.ndarray] = {}
    for name, table in read.items():
        with reporter.bar(f"calibrate: {name}", len(table)) as advance:
            features[name] = head_features(model.network, model.encoder, model.encode(table), progress=advance)
    shiftable, off = _make_shiftable(model, np.concatenate(list(features.values())))
    before = {name: head_logits(model.network, found) for name, found in features.items()}
    known, logits = dev_logits(dev, before["dev"]), before["dev"]
    shifted = dev_logits(splits.dev_ood, before["dev_ood"]) if splits.dev_ood is not None else None
    scaling, why = calibrate_on(recipe, known, shifted, shiftable=shiftable)
    if recipe.calibrate.enabled:
        model.divide_logits(scaling.temperature)
        if scaling.shifts:
            model.shift_logits(scaling.shifts)
    result: dict[str, Any] = {
        "temperature": scaling.temperature,
        "shifts": list(scaling.shifts),
        "calibrate_reason": why,
        "constant_off": off,
        "dev_ece_before": float(ece(dev.grades, softmax(logits))),
    }
    logits = head_logits(model.network, features["dev"])
    probabilities = softmax(logits)
    result["dev_ece_after"] = float(ece(dev.grades, probabilities))
    decision = decide_on(recipe, splits.train, known, shifted, scaling)
    model.rule = decision.rule
    result |= {"rule": decision.rule.to_dict(), "rule_reason": decision.reason, "rules": decision.table}
    if recipe.ood.enabled:
        model.ood, held_out, result["ood"] = make_reference(recipe, splits, model, logits, learned, reporter)
        model.ood.known = _known(recipe, splits, model.ood, held_out, probabilities, model.rule)
    model.provenance = {
        "recipe": recipe.model_dump(mode="json"),
        "start": chosen.result["start"],
        "alpha": chosen.result["alpha"],
        "data": splits.fingerprints(),
        "sizes": splits.sizes(),
        "versions": versions(),
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    model.save_pretrained(folder / "model")
    return result


def _make_shiftable(model: RelevanceModel, features: np.ndarray) -> tuple[bool, float | None]:
    """Whether each grade's logit can be shifted; a head without bias is given a constant, and how far off it is."""
    if head_of(model.network).bias is not None:
        return True, None
    if len(features) < 2:
        return False, None
    direction, off = constant_direction(features)
    if off <= MOST_OFF:
        model.constant = direction.tolist()
    return off <= MOST_OFF, off


def _known(
    recipe: Recipe,
    splits: Splits,
    reference: OODReference,
    held_out: np.ndarray,
    probabilities: np.ndarray,
    rule: DecisionRule,
) -> KnownPairs:
    """dev_id as the finished model sees it, and the wording and columns of all known pairs: what drift needs."""
    train, dev = splits.train, splits.dev_id
    rows = chosen_rows(dev.query_groups(), recipe.seed)
    wording, item_wording = WordingNovelty.fit(train.query_names()), WordingNovelty.fit(train.items)
    both = train.concat(dev)
    return KnownPairs(
        groups=np.unique(dev.query_groups()[rows], return_inverse=True)[1],
        ood_scores=reference.score(held_out[rows]),
        probabilities=probabilities[rows],
        decided=rule.decide(probabilities)[rows],
        grades=dev.grades[rows],
        features=unit_rows(held_out[rows]),
        novelty=wording.score(np.array(dev.query_names())[dev.query_groups()[rows]].tolist()),
        wording=wording,
        item_novelty=item_wording.score(dev.take(rows).items),
        item_wording=item_wording,
        columns=count_by_query(both.query_groups(), {name: both.column(name) for name in sliced(both)}),
        queries=len(both.query_names()),
    )

"""The learning stages of a run: match, probe, tune from each start, and the choice of start and α on dev."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from darl.model import RelevanceModel
from darl.model.features import head_and_pooled_features
from darl.model.head import head_of
from darl.progress import Reporter
from darl.recipe.settings import Recipe
from darl.storage import atomic_write_json, read_json
from darl.training.augment import augment_stage, model_of_same_grades
from darl.training.calm import calm
from darl.training.content_keys import backbone_content, model_key
from darl.training.dev import DevJudge
from darl.training.frozen import base_features_wanted, save_frozen
from darl.training.interpolate import Candidate, choose, interpolate
from darl.training.match import match_stage
from darl.training.probe import fit_probe
from darl.training.processes import is_main
from darl.training.run import Run, Stage
from darl.training.splits import Splits
from darl.training.starts import (
    WEIGHTS,
    class_weights,
    fresh_model,
    load_matched,
    make_recipe_loss,
    start_model,
    starts_of,
    state_of,
)
from darl.training.trainer import total_steps
from darl.training.tune import objective_value, tune_model
from darl.training.verbalizer import tune_verbalizer

Begin = Callable[[str], RelevanceModel]
"""What tuning starts from, by its name, to the model as it is then."""


def learn_stages(
    recipe: Recipe, splits: Splits, run: Run, reporter: Reporter, *, before: tuple[Stage, ...] = ()
) -> list[Stage]:
    """Run match, probe, tune and interpolate, and where the recipe names a model from before new labels, the choice
    between that one and this; the last stage's folder holds the chosen weights.

    Args:
        before: stages that the splits depend on.
    """
    settings = recipe.model_dump(mode="json", include={"seed", "grades", "backbone", "method", "words", "loss"})
    inputs = settings | {"data": splits.fingerprints()} | backbone_content(recipe)
    tuning = inputs | {"tune": recipe.tune.model_dump(mode="json", exclude={"start", "report_to", "checkpoints"})}
    if recipe.tune.keep == "best" or recipe.tune.patience:
        tuning["objective"] = recipe.objective
    if recipe.teacher is not None:
        tuning["share"] = recipe.teacher.share
    stages: list[Stage] = []
    starts, probe, matched = starts_of(recipe), None, None
    if "probe" in starts:
        found = match_stage(recipe, splits, run, reporter, before=before)
        matched = found if found and found.result["used"] else None
        stages += [found] if found else []
        probe = run.stage(
            "probe",
            inputs
            | {"probe": recipe.probe.model_dump(mode="json"), "dropout": recipe.tune.dropout}
            | {"objective": recipe.objective},
            lambda folder: _probe(recipe, splits, folder, matched, reporter),
            after=(found,) if found else before,
        )
        stages.append(probe)
        reporter.say(
            f"probe: λ={probe.result['l2']:g}, "
            f"dev {probe.result['objective']} {probe.result['dev_objective']:.4f}{_again(probe)}"
        )
    begin = partial(start_model, recipe, probe=probe, matched=matched)
    tuned = []
    for start in starts:
        stage = run.stage(
            f"tune-{start}",
            tuning,
            lambda folder, start=start: _tune(recipe, splits, folder, start, begin, reporter),
            after=(probe,) if probe and start == "probe" else before,
            collective=True,
        )
        if stage.reused:
            reporter.say(f"tune from {start}: {stage.result['steps']} steps{_again(stage)}")
        tuned.append(stage)
        stages.append(stage)
    judging = recipe.model_dump(mode="json", include={"objective", "decide", "calibrate"})
    if recipe.interpolate.start != "start":
        judging["end"] = model_key(recipe.interpolate.start)
    chosen = run.stage(
        "interpolate",
        judging | {"interpolate": recipe.interpolate.model_dump(mode="json", exclude={"before"})},
        lambda folder: _interpolate(recipe, splits, folder, dict(zip(starts, tuned, strict=True)), begin, reporter),
        after=tuple(stages),
    )
    reporter.say(f"interpolate: {chosen.result['why']}{_again(chosen)}")
    if recipe.interpolate.before is None:
        return [*stages, chosen]
    augmented = augment_stage(recipe, splits, run, chosen, reporter)
    reporter.say(f"augment: {augmented.result['why']}{_again(augmented)}")
    return [*stages, chosen, augmented]


def _again(stage: Stage) -> str:
    return " (done before)" if stage.reused else ""


def _probe(recipe: Recipe, splits: Splits, folder: Path, matched: Stage | None, reporter: Reporter) -> dict[str, Any]:
    model = fresh_model(recipe)
    features, frozen, spec = {}, {}, base_features_wanted(recipe)
    if matched is not None:  # then these are no features of the frozen base
        load_matched(model, matched)
        spec = None
    for name, table in (("train", splits.train), ("dev_id", splits.dev_id)):
        with reporter.bar(f"probe: features of {name}", len(table)) as advance:
            features[name], frozen[name] = head_and_pooled_features(
                model.network, model.encoder, model.encode(table), spec, progress=advance
            )
    if spec is not None:
        save_frozen(folder, spec, frozen)
    dev_grades, K = splits.dev_id.grades, model.scale.size

    def objective(logits: np.ndarray) -> float:
        return objective_value(recipe.objective, dev_grades, logits.argmax(1), K)

    probe = fit_probe(
        features["train"],
        splits.train.grades,
        features["dev_id"],
        dev_grades,
        make_recipe_loss(recipe, splits.train),
        l2=recipe.probe.l2,
        bias=head_of(model.network).bias is not None,
        weights=splits.train.weights,
        class_weights=class_weights(recipe, splits.train),
        max_iterations=recipe.probe.max_iterations,
        judge=objective,
    )
    probe = calm(probe, features["train"], model, splits.train, recipe)
    head = {"weight": probe.weight} | ({"bias": probe.bias} if probe.bias is not None else {})
    save_file(head, folder / "head.safetensors")
    value = objective(probe.logits(features["dev_id"]))
    return {"l2": probe.l2, "table": probe.table, "objective": recipe.objective, "dev_objective": value}


def _tune(recipe: Recipe, splits: Splits, folder: Path, start: str, begin: Begin, reporter: Reporter) -> dict[str, Any]:
    train, dev, finished = splits.train, splits.dev_id, folder / "logged.json"
    if finished.is_file():  # killed between the last step and the end of the stage
        if is_main():
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return read_json(finished)
    model = begin(start)
    encoded = model.encode(train)
    kind = "" if recipe.tune.kind == "full" else f", {recipe.tune.kind}"
    logged: dict[str, Any] = {"steps": 0}
    steps = total_steps(len(train), recipe.tune) if recipe.tune.epochs > 0 else 0
    with reporter.bar(f"tune from {start}{kind}", steps, "steps") as advance:
        if recipe.tune.epochs == 0:
            pass
        elif recipe.method == "verbalizer":
            logged = tune_verbalizer(model, encoded, train.grades, recipe, folder, advance=advance)
        else:
            logged = tune_model(
                model,
                encoded,
                train.grades,
                make_recipe_loss(recipe, train),
                recipe,
                folder,
                start=start,
                weights=train.weights,
                class_weights=class_weights(recipe, train),
                taught=splits.taught,
                dev=(model.encode(dev), dev.grades) if recipe.tune.keep == "best" or recipe.tune.patience else None,
                advance=advance,
            )
    if is_main():
        save_file(state_of(model), folder / WEIGHTS)
        atomic_write_json(finished, logged)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return logged


def _interpolate(
    recipe: Recipe,
    splits: Splits,
    folder: Path,
    tuned: dict[str, Stage],
    begin: Begin,
    reporter: Reporter,
) -> dict[str, Any]:
    settings = recipe.interpolate
    alphas = [1.0] if not settings.enabled else sorted({*settings.alphas, 1.0}, reverse=True)
    judge = DevJudge(recipe, splits)
    candidates: list[Candidate] = []
    places = [(s, a) for s in tuned for a in alphas if _worth_judging(s, a, list(tuned), settings.start)]
    worth_choosing = len(places) > 1
    with reporter.bar("interpolate: dev", len(places) * judge.pairs if worth_choosing else 0) as advance:
        for start, stage in tuned.items():
            ends = _start_state(recipe, start, begin, settings.start), load_file(stage.folder / WEIGHTS)
            for alpha in (a for s, a in places if s == start):
                candidates.append(
                    judge.candidate(start, alpha, interpolate(*ends, alpha), advance)
                    if worth_choosing
                    else Candidate(start, alpha, 0.0, None)
                )
    plain = next(c for c in candidates if c.alpha == 1.0 and c.start == next(iter(tuned)))
    best, why = choose(candidates, plain=plain, max_id_loss=settings.max_id_loss, min_gain=settings.min_gain)
    if not worth_choosing:
        why = f"nothing to choose: tuned from {plain.start}, no interpolation"
    ends = _start_state(recipe, best.start, begin, settings.start), load_file(tuned[best.start].folder / WEIGHTS)
    save_file(interpolate(*ends, best.alpha), folder / WEIGHTS)
    return {
        "start": best.start,
        "alpha": best.alpha,
        "why": why,
        "candidates": [vars(c) for c in candidates],
    }


def _worth_judging(start: str, alpha: float, starts: list[str], end: str) -> bool:
    """Whether a mix may be kept. A random head says nothing before it is tuned, so without one that does the pretrained
    body alone is mixed in; beside a start that knows something, such mixes only win by chance where dev is small
    (experiment 48)."""
    if start != "random" or end != "start" or alpha == 1:
        return True
    return alpha > 0 and starts == ["random"]


def _start_state(recipe: Recipe, start: str, begin: Begin, end: str) -> dict[str, torch.Tensor]:
    if end == "start":
        return state_of(begin(start))
    saved = model_of_same_grades(recipe, end, "interpolate.start")
    saved.undo_calibration()  # both ends uncalibrated: the mix is calibrated anew
    return state_of(saved)

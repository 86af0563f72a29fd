"""From the predictions of the rungs to rows: figures with intervals, and paired differences between rungs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from ablation_rungs import RUNGS, comparisons
from ablation_runs import CALIBRATION, Setting, about_of, read_predictions, settings_of
from darl.evaluation.intervals import statistics_draws
from darl.grades import GradeScale
from darl.training.calibrate import evidence_of, fit_temperature
from paired import DRAWS, Figures, Prediction, difference, level_of, middle_recall, over_seeds, statistics_of

AS_MADE = ("accuracy", "macro_f1", "qwk", "ece", "nll")
CALIBRATED = ("ece", "nll")
METRICS = (*AS_MADE, "ece_calibrated", "nll_calibrated", "middle_recall", "gap")
RATIOS = ("ece", "gap")
MEAN = "mean"  # the tier that stands for the mean of all
LEAST = 1e-12
Found = Mapping[str, Mapping[int, Path]]  # rung → seed → folder


def calibrated(prediction: Prediction, held_out: Prediction) -> dict[str, np.ndarray]:
    """The prediction at the temperature that `darl fit` would find on held-out pairs; the grades stay."""
    grades = held_out["grades"]
    evidence = evidence_of(np.ones(len(grades)), held_out["groups"])
    T = fit_temperature(np.log(np.maximum(held_out["probabilities"], LEAST)), grades, evidence=evidence)
    logits = np.log(np.maximum(prediction["probabilities"], LEAST))
    return {**prediction, "probabilities": softmax(logits / T, axis=1)}


def tier_figures(prediction: Prediction, held_out: Prediction, scale: GradeScale, draws: int = DRAWS) -> Figures:
    """Every metric of one test set but the gap, (1 + B,) each."""
    both = [statistics_of(p, scale) for p in (prediction, calibrated(prediction, held_out))]
    (raw, after), now = statistics_draws(both, draws), [one.values() for one in both]
    figures = {name: np.concatenate([now[0][name][:1], raw[name]]) for name in AS_MADE}
    figures |= {f"{name}_calibrated": np.concatenate([now[1][name][:1], after[name]]) for name in CALIBRATED}
    return figures | {"middle_recall": middle_recall(prediction, scale.size, draws)}


def with_gap(tiers: dict[str, Figures]) -> dict[str, Figures]:
    """Adds to each shifted tier how much macro-F1 it loses against `id`, and the tier of the means."""
    home = tiers["id"]["macro_f1"]
    out = [name for name in tiers if name != "id"]
    for name in out:
        # the draws of one set against those of the other in reverse: nothing ties the two samples together
        theirs = tiers[name]["macro_f1"]
        tiers[name]["gap"] = home - np.concatenate([theirs[:1], theirs[:0:-1]])
    mean = {metric: np.mean([tiers[name][metric] for name in tiers], axis=0) for metric in tiers["id"]}
    mean["gap"] = np.mean([tiers[name]["gap"] for name in out], axis=0)
    return {**tiers, MEAN: mean}


def figures_of_runs(
    found: Found, tiers: tuple[str, ...], scale: GradeScale
) -> dict[str, dict[int, dict[str, Figures]]]:
    """rung → seed → tier → metric → (1 + B,)."""
    out: dict[str, dict[int, dict[str, Figures]]] = {}
    for name, seeds in found.items():
        for seed, folder in seeds.items():
            held_out = read_predictions(folder, CALIBRATION)
            judged = {tier: tier_figures(read_predictions(folder, tier), held_out, scale) for tier in tiers}
            out.setdefault(name, {})[seed] = with_gap(judged)
    return out


def make_rows(
    setting: Setting, found: Found, scale: GradeScale, *, preset: str | None, decoder: bool
) -> list[dict[str, Any]]:
    """One row a rung and tier, then one a comparison and tier."""
    figures = figures_of_runs(found, setting.tiers, scale)
    common = {
        "suite": setting.suite,
        "backbone": setting.backbone,
        "decoder": decoder,
        "tune": setting.kind,
        "preset": preset,
        "train": setting.train,
        "set": list(setting.set),
        "baseline": list(setting.baseline),
        "test": setting.test,
    }
    rows: list[dict[str, Any]] = []
    tiers = (*setting.tiers, MEAN)
    for name, seeds in figures.items():
        for tier in tiers:
            runs = {seed: judged[tier] for seed, judged in seeds.items()}
            rows.append({"kind": "rung", **common, **_described(setting, name, found), "tier": tier, **_row(runs)})
    for ours, against in comparisons(list(figures), decoder):
        for tier in tiers:
            a, b = ({seed: judged[tier] for seed, judged in figures[name].items()} for name in (against, ours))
            shared = sorted(set(a) & set(b))
            if not shared:
                continue
            metrics = [metric for metric in METRICS if metric in a[shared[0]]]
            rows.append(
                {
                    "kind": "comparison",
                    **common,
                    "ours": ours,
                    "against": against,
                    "tier": tier,
                    "seeds": shared,
                    "differences": {metric: difference(a, b, metric, seeds_too=True) for metric in metrics},
                    "ratios": {
                        metric: difference(a, b, metric, seeds_too=True, ratio=True)
                        for metric in RATIOS
                        if metric in metrics
                    },
                }
            )
    return rows


def _row(runs: Mapping[int, Figures]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": sorted(runs)}
    for metric in (metric for metric in METRICS if metric in next(iter(runs.values()))):
        row[metric], row[f"{metric}_sd"] = over_seeds(runs, metric)
        row[f"{metric}_interval"] = level_of(runs, metric)[1:]
    return row


def _described(setting: Setting, name: str, found: Found) -> dict[str, Any]:
    """The rung and what it cost: seconds of its own and of what it shares, the mean over runs that went through."""
    rung = RUNGS[name]
    whole = [seconds for seconds in (_seconds(found, name, seed) for seed in found[name]) if seconds is not None]
    labels = {"by": rung.labels, "budget": setting.budget, "pool_share": setting.pool_share}
    if rung.labels == "dasa":
        labels["strategy"] = setting.strategy
    return {
        "rung": name,
        "title": rung.title,
        "peer": rung.peer,
        "overrides": [text for text in settings_of(setting, rung, 0) if not text.startswith("seed=")],
        "labels": labels if rung.labels else None,
        "seconds": float(np.mean([wall for wall, _ in whole])) if whole else None,
        "cpu_seconds": float(np.mean([cpu for _, cpu in whole])) if whole else None,
        "commit": about_of(next(iter(found[name].values())))["commit"],
    }


def _seconds(found: Found, name: str, seed: int) -> tuple[float, float] | None:
    about = about_of(found[name][seed])
    if about["resumed"]:
        return None
    own = about["seconds"], about["cpu_seconds"]
    shared = RUNGS[name].shares
    if shared is None:
        return own
    if seed not in found.get(shared, {}):
        return None
    before = _seconds(found, shared, seed)
    return None if before is None else (own[0] + before[0], own[1] + before[1])


def show(rows: list[dict[str, Any]]) -> None:
    """The table for people: figures a rung and tier, then the ladder's differences."""
    first = rows[0]
    print(
        f"\n{first['suite']}, {first['backbone']} ({first['tune']}), {first['train']} training pairs"
        f"{', ' + ' '.join(first['set']) if first['set'] else ''}"
        f"{'; baselines: ' + ' '.join(first['baseline']) if first['baseline'] else ''}"
    )
    tiers = list(dict.fromkeys(row["tier"] for row in rows))
    for tier in tiers:
        print(
            f"\n{tier:<5} {'':<42}  acc.  macro-F1 [95 %]       QWK    ECE → T      NLL → T      middle  gap     "
            "seconds seeds"
        )
        for row in (row for row in rows if row["kind"] == "rung" and row["tier"] == tier):
            low, high = row["macro_f1_interval"]
            gap = f"{row['gap']:+.3f}" if "gap" in row else "      "
            seconds = "   –" if row["seconds"] is None else f"{row['seconds']:4.0f}"
            print(
                f"  {'· ' if row['peer'] else ''}{row['title']:<{44 if row['peer'] else 46}}"
                f"{row['accuracy']:.3f}  {row['macro_f1']:.3f} [{low:.3f}, {high:.3f}]  {row['qwk']:.3f}  "
                f"{row['ece']:.3f} {row['ece_calibrated']:.3f}  {row['nll']:.3f} {row['nll_calibrated']:.3f}  "
                f"{row['middle_recall']:.3f}  {gap}  {seconds}  {','.join(map(str, row['seeds']))}"
            )
    print("\ndifferences, ours − against, queries and seeds resampled")
    for row in (row for row in rows if row["kind"] == "comparison" and row["tier"] in ("id", "far", "shift")):
        cells = [
            f"{metric} {triple(row['differences'][metric])}" for metric in ("macro_f1", "qwk", "ece", "middle_recall")
        ]
        print(f"  {row['tier']:<5} {row['ours']} − {row['against']}: " + "  ".join(cells))


def triple(values: list[float | None]) -> str:
    """
    >>> triple([0.0123, -0.01, 0.03])
    '+0.012 [-0.010, +0.030]'
    """
    figure, low, high = (f"{value:+.3f}" if value is not None else "–" for value in values)
    return f"{figure} [{low}, {high}]"

"""What changed at each stage: matching, probe, tuning, choice of start and α, calibration, decision rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from darl.evaluation import ece, macro_f1
from darl.report.parts import Chart, Part, Table
from darl.report.reliability import scaling_of, uncalibrated
from darl.report.runs import FinishedRun
from darl.report.sweep import ID, OOD
from darl.report.theme import Style, line_layers, scale_of
from darl.report.words import figure


@dataclass(frozen=True)
class Step:
    """One stage as a row: what was done, and the objective on dev after it (None: not measured there)."""

    stage: str
    what: str
    id_value: float | None
    ood_value: float | None = None


def stages_part(run: FinishedRun) -> Part:
    """Objective on dev after each stage; on the tests, what calibration and the decision rule changed."""
    steps = steps_of(run)
    measured = [step for step in steps if step.id_value is not None]
    rows = [[step.stage, step.what, figure(step.id_value), figure(step.ood_value)] for step in steps]
    tables = [
        Table(
            ["stage", "what was done", f"{run.recipe.objective} dev ID", f"{run.recipe.objective} dev OOD"],
            rows,
            f"On dev, up to {run.recipe.interpolate.dev_limit:,} pairs a set; the decision rule is cross-fitted "
            "on the whole of dev_id. Dev figures made the choices, so they flatter: judge by the test sets.",
            wide=frozenset({1}),
            numbers=frozenset({2, 3}),
        )
    ]
    if run.predictions:
        tables.append(_on_tests(run))
    return Part(
        "stages",
        "What did each stage bring?",
        reads=_reads(measured),
        then=_then(measured),
        charts=[_chart(run, measured)] if len(measured) > 1 else [],
        tables=tables,
    )


def steps_of(run: FinishedRun) -> list[Step]:
    """The stages of a run in their order."""
    chosen, finish, probe = run.choice("interpolate"), run.choice("finish"), run.choice("probe")
    candidates = chosen.get("candidates", [])
    judged = candidates if len(candidates) > 1 else []  # one candidate alone is not judged; its figures are fillers
    steps = []
    if matched := run.choice("match"):
        steps.append(Step("match", matched["why"], None))
    if probe:
        at_start = _find(judged, "probe", 0.0)
        value = at_start["id_value"] if at_start else probe.get("dev_objective")
        out = at_start["ood_value"] if at_start else None
        steps.append(Step("probe", f"a linear head on the frozen backbone, λ = {probe['l2']:g}", value, out))
    starts = list(dict.fromkeys(one["start"] for one in candidates))
    for start in starts:
        tuned = _find(judged, start, 1.0)
        did = run.choice(f"tune-{start}").get("steps")
        what = f"from {start}" + (f", {did:,} steps" if did else ", no steps: as it was")
        steps.append(Step(f"tune {start}", what, *((tuned["id_value"], tuned["ood_value"]) if tuned else (None, None))))
    if judged:
        best = _find(judged, chosen["start"], chosen["alpha"])
        what = f"chosen: {chosen['start']}, α = {chosen['alpha']:g}"
        steps.append(Step("interpolate", what, *((best["id_value"], best["ood_value"]) if best else (None, None))))
    against = run.choice("augment")
    if against:
        best = next(one for one in against["candidates"] if one["alpha"] == against["alpha"])
        kept = {0.0: "the model from before the labels", 1.0: "the new model"}
        mixed = f"a mix of the model from before the labels and the new one, α = {best['alpha']:g}"
        what = f"kept: {kept.get(best['alpha'], mixed)}"
        steps.append(Step("augment", what, best["id_value"], best["ood_value"]))
    if "temperature" in finish:
        also = " and a shift for each grade" if finish.get("shifts") else ""
        what = (
            f"T = {finish['temperature']:.3f}{also}; ECE on dev_id {figure(finish.get('dev_ece_before'))} → "
            f"{figure(finish.get('dev_ece_after'))}" + ("" if also else "; grades stay")
        )
        steps.append(Step("calibrate", what, None))
    if finish.get("rule_reason"):
        steps.append(Step("decide", finish["rule_reason"], _rule_value(finish)))
    return steps


def _find(candidates: list[dict[str, Any]], start: str, alpha: float) -> dict[str, Any] | None:
    return next((one for one in candidates if one["start"] == start and one["alpha"] == alpha), None)


def _rule_value(finish: dict[str, Any]) -> float | None:
    reason = str(finish.get("rule_reason", ""))
    rules = sorted(finish.get("rules", []), key=lambda row: -len(row["rule"]))  # the longer name first: τ=0.5, τ=0.25
    return next((row["figure"] for row in rules if reason.startswith(row["rule"])), None)


def _reads(measured: list[Step]) -> str:
    if len(measured) < 2:
        return "The run had nothing to choose between on dev, so there is one figure and no course of figures."
    course = " → ".join(f"{step.stage} {figure(step.id_value)}" for step in measured)
    out = " → ".join(f"{step.stage} {figure(step.ood_value)}" for step in measured if step.ood_value is not None)
    return f"On dev_id: {course}" + (f"; on dev_ood: {out}." if out else ".")


def _then(measured: list[Step]) -> str:
    tuned = [step for step in measured if step.stage.startswith("tune") and step.id_value is not None]
    probe = next((step for step in measured if step.stage == "probe"), None)
    if probe and tuned and probe.id_value is not None:
        best = max(step.id_value or 0.0 for step in tuned)
        if best - probe.id_value < 0.02:
            return "Tuning adds next to nothing to the probe: train longer, at another rate, or with more pairs."
    return "A stage that brings nothing on your data can be switched off in the recipe."


def _on_tests(run: FinishedRun) -> Table:
    temperature, shifts = scaling_of(run)
    rows = []
    for name, found in run.predictions.items():
        raw = uncalibrated(found.probabilities, temperature, shifts)
        argmax = raw.argmax(1)
        before, after = (macro_f1(found.grades, guess, run.scale.size) for guess in (argmax, found.predicted))
        loose = ece(found.grades, raw)
        tight = ece(found.grades, found.probabilities)
        rows.append([name, f"{figure(loose)} → {figure(tight)}", f"{figure(before)} → {figure(after)}"])
    return Table(
        ["test set", "ECE: calibrate", "macro-F1: likeliest grade → decision rule"],
        rows,
        "What the last two stages changed on the tests.",
        numbers=frozenset({1, 2}),
    )


def _chart(run: FinishedRun, steps: list[Step]) -> Chart:
    names = [f"{at + 1} {step.stage}" for at, step in enumerate(steps)]
    data = [
        {"stage": name, "set": who, "objective": round(value, 4), "what": step.what}
        for name, step in zip(names, steps, strict=True)
        for who, value in ((ID, step.id_value), (OOD, step.ood_value))
        if value is not None
    ]
    styles = {ID: Style("@id", "circle", [1, 0]), OOD: Style("@ood", "triangle-up", [6, 3])}
    styles = {name: style for name, style in styles.items() if any(row["set"] == name for row in data)}
    spec = {
        "encoding": {
            "x": {"field": "stage", "type": "ordinal", "sort": names, "title": None, "axis": {"labelAngle": -20}},
            "y": {
                "field": "objective",
                "type": "quantitative",
                "title": f"{run.recipe.objective} on dev",
                "scale": {"zero": False, "padding": 12},
            },
            "color": scale_of(styles, "color"),
        },
        "layer": [
            *line_layers(styles),
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {
                    "shape": scale_of(styles, "shape"),
                    "tooltip": [
                        {"field": "stage"},
                        {"field": "what"},
                        {"field": "set"},
                        {"field": "objective", "type": "quantitative", "format": ".4f"},
                    ],
                },
            },
        ],
    }
    said = "; ".join(f"{row['set']} after {row['stage']} {row['objective']:.3f}" for row in data)
    return Chart("stages", "Objective on dev after each stage", spec, data, f"By stage: {said}", 260)

"""Reliability: stated confidence against the share that is right, before and after calibration.

Calibration divides the logits by one temperature T and may shift each grade by b_k, and a softmax keeps the logits up
to a constant. So the probabilities before it follow from the saved ones p without a second pass of the model:

    before_k ∝ (p_k / exp(b_k))^T
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darl.evaluation import ReliabilityBin, ece, reliability
from darl.report.parts import Chart, Part, Table, lacking
from darl.report.runs import FinishedRun
from darl.report.theme import set_styles
from darl.report.words import figure, listed, share

BINS = 10
AFTER, BEFORE = "after", "before"
_LOUD = 0.05  # an ECE from which a confidence misleads in use: one answer in twenty is claimed or doubted wrongly


def uncalibrated(probabilities: np.ndarray, temperature: float, shifts: Sequence[float] = ()) -> np.ndarray:
    """Probabilities (n, K) as they were before a temperature was divided out and each grade shifted.

    >>> z = np.array([[2.0, 0.0, -1.0]]); softmax = lambda z: np.exp(z) / np.exp(z).sum()
    >>> bool(np.allclose(uncalibrated(softmax(z / 1.7), 1.7), softmax(z)))
    True
    """
    logs = np.log(np.clip(np.asarray(probabilities, dtype=np.float64), 1e-300, None))
    logs = temperature * (logs - (np.array(shifts) if len(shifts) else 0.0))
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def scaling_of(run: FinishedRun) -> tuple[float, list[float]]:
    """The temperature and the shifts of a run."""
    finish = run.choice("finish")
    return float(finish.get("temperature", 1.0)), [float(shift) for shift in finish.get("shifts", ())]


def calibration_part(run: FinishedRun) -> Part:
    """One reliability diagram a test set, before and after calibration."""
    title = "Can its confidence be trusted?"
    if not run.predictions:
        return lacking(
            "calibration",
            title,
            "The run has no predictions of a test set, so nothing can be said.",
            then="Name test sets under data.tests in the recipe and fit again.",
        )
    temperature, shifts = scaling_of(run)
    charts, rows, errors, lean = [], [], {}, {}
    for name, found in run.predictions.items():
        before = uncalibrated(found.probabilities, temperature, shifts)
        errors[name] = ece(found.grades, before), ece(found.grades, found.probabilities)
        lean[name] = float(found.probabilities.max(1).mean() - (found.probabilities.argmax(1) == found.grades).mean())
        charts.append(_chart(run, name, found.grades, before, found.probabilities))
        rows.append([name, figure(errors[name][0]), figure(errors[name][1]), _lean(lean[name])])
    loud = [name for name in errors if errors[name][1] > _LOUD]
    outside = [name for name in loud if name != run.id_name]
    if outside:
        sample = "" if run.recipe.data.dev_ood else "add a graded sample of it as data.dev_ood, "
        then = (
            f"On traffic like {listed(outside)} do not use the confidence as it is: {sample}give dev_ood weight with "
            "calibrate.shift_share, or label more of that traffic."
        )
    elif loud:
        then = "The dev set does not speak for this test set: look at how the two were drawn."
    else:
        then = "Confidence can be used for thresholds on these sets; look again when the traffic moves."
    also = " and shifting each grade" if shifts else ""
    said = listed([f"{figure(a)} → {figure(b)} on {name}" for name, (a, b) in errors.items()])
    return Part(
        "calibration",
        title,
        reads=f"Dividing the logits by T = {temperature:.2f}{also} moves the ECE {said}; "
        "points below the diagonal claim more than they keep.",
        then=then,
        urgency=2 if outside else 1 if loud else 0,
        charts=charts,
        tables=[
            Table(
                ["set", "ECE before", "ECE after", "on the whole"],
                rows,
                "Expected calibration error in 15 equal widths; smaller is better.",
                numbers=frozenset({1, 2}),
            )
        ],
    )


def _lean(value: float) -> str:
    if abs(value) < 0.005:
        return "neither over- nor under-confident"
    return f"{'over' if value > 0 else 'under'}-confident by {share(abs(value))}"


def bin_rows(found: list[ReliabilityBin], when: str) -> list[dict]:
    """The bins that hold a pair, as marks."""
    return [
        {
            "when": when,
            "confidence": round(row.confidence, 4),
            "share right": round(row.accuracy, 4),
            "pairs": row.pairs,
        }
        for row in found
        if row.pairs
    ]


def _chart(run: FinishedRun, name: str, grades: np.ndarray, before: np.ndarray, after: np.ndarray) -> Chart:
    data = bin_rows(reliability(grades, before, BINS), BEFORE) + bin_rows(reliability(grades, after, BINS), AFTER)
    legend = {"orient": "top", "title": None}
    domain = [BEFORE, AFTER]
    axis = {"format": "%", "tickCount": 5}
    spec = {
        "layer": [
            {
                "data": {"values": [{"x": 0, "y": 0}, {"x": 1, "y": 1}]},
                "mark": {"type": "line", "color": "@muted", "strokeDash": [2, 3], "strokeWidth": 1},
                "encoding": {"x": {"field": "x", "type": "quantitative"}, "y": {"field": "y", "type": "quantitative"}},
            },
            *(
                {
                    "transform": [{"filter": {"field": "when", "equal": when}}],
                    "mark": {"type": "line", "strokeWidth": 2, "strokeDash": dash},
                }
                for when, dash in ((BEFORE, [4, 3]), (AFTER, [1, 0]))
            ),
            {
                "mark": {"type": "point", "filled": True, "opacity": 0.95},
                "encoding": {
                    "size": {"field": "pairs", "type": "quantitative", "scale": {"range": [25, 220]}, "legend": None},
                    "shape": {
                        "field": "when",
                        "scale": {"domain": domain, "range": ["square", "circle"]},
                        "legend": legend,
                    },
                    "tooltip": [
                        {"field": "when"},
                        {"field": "confidence", "type": "quantitative", "format": ".1%"},
                        {"field": "share right", "type": "quantitative", "format": ".1%"},
                        {"field": "pairs", "type": "quantitative"},
                    ],
                },
            },
        ],
        "encoding": {
            "x": {
                "field": "confidence",
                "type": "quantitative",
                "title": "confidence",
                "axis": axis,
                "scale": {"domain": [0, 1]},
            },
            "y": {
                "field": "share right",
                "type": "quantitative",
                "title": "share right",
                "axis": axis,
                "scale": {"domain": [0, 1]},
            },
            "color": {
                "field": "when",
                "scale": {
                    "domain": domain,
                    "range": ["@baseline", set_styles(run.id_name, list(run.splits))[name].color],
                },
                "legend": legend,
            },
        },
    }
    said = "; ".join(f"at {r['confidence']:.2f} {r['share right']:.2f} right" for r in data if r["when"] == AFTER)
    return Chart(f"reliability-{name}", name, spec, data, f"Reliability on {name} after calibration: {said}", 250)

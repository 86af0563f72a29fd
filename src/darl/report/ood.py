"""How far out the sets are: distributions of the OOD score of train, ID, OOD, pool and picked pairs."""

from __future__ import annotations

import numpy as np

from darl.ood.separation import auroc
from darl.report.coverage import PICKED, POOL, TRAIN, Coverage, PlacedSet
from darl.report.parts import Chart, Part, Table, lacking
from darl.report.runs import FinishedRun, TestPredictions
from darl.report.theme import Style, scale_of, set_styles
from darl.report.words import figure, listed, share

FAR = 95.0
HELD_OUT = "held-out ID"
BINS = 24


def ood_part(run: FinishedRun, coverage: Coverage) -> Part:
    """Distributions, and for each set the share beyond the 95th percentile of held-out ID pairs."""
    title = "Does it know what it does not know?"
    if coverage.problem and not coverage.sets:
        return lacking(
            "ood",
            title,
            coverage.problem,
            then="Put the files back where the recipe names them, or build the report again."
            if coverage.detector
            else "Fit with ood.enabled: true, so that the model says how far out a pair is.",
        )
    scores = {HELD_OUT: coverage.held_out} | {name: one.scores for name, one in coverage.sets.items()}
    edge = float(np.percentile(coverage.held_out, FAR))
    id_name = f"test {run.id_name}"
    outside = [f"test {name}" for name in run.ood_names if f"test {name}" in coverage.sets]
    rows = []
    for name, values in scores.items():
        placed = coverage.sets.get(name)
        beyond = 1 - FAR / 100 if placed is None else float((placed.percentiles > FAR).mean())
        apart = figure(auroc(scores[id_name], values)) if id_name in scores and name in (*outside, POOL) else "–"
        counted = f"{len(values):,}" + (f" of {placed.total:,}" if placed and placed.total > len(values) else "")
        says = run.predictions.get(name.removeprefix("test ")) if name.startswith("test ") else None
        right = right_share(says, placed) if says and placed else None
        rows.append(
            [
                name,
                counted,
                f"{np.median(values):.3g}",
                "5 % (by definition)" if placed is None else share(beyond),
                apart,
                " → ".join(share(part) if np.isfinite(part) else "none" for part in right) if right else "–",
            ]
        )
    reads, then, command, urgency = _words(run, coverage, scores, id_name, outside)
    note = (
        "Train pairs share queries with their neighbours, so they lie closer than any new pair can."
        if coverage.detector == "knn"
        else "The detector was fitted on the train pairs, so they lie closer than any new pair can."
    )
    return Part(
        "ood",
        title,
        reads=reads,
        then=then,
        command=command,
        urgency=urgency,
        charts=[_chart(run, scores, edge, coverage.detector)],
        tables=[
            Table(
                [
                    "set",
                    "pairs measured",
                    "median score",
                    "beyond the 95th percentile",
                    "AUROC against ID test",
                    "right, nearer → beyond",
                ],
                rows,
                f"OOD score by {coverage.detector}, larger is further out. {note} {coverage.problem}".strip(),
                numbers=frozenset({1, 2, 3, 4, 5}),
            )
        ],
    )


def _words(
    run: FinishedRun, coverage: Coverage, scores: dict[str, np.ndarray], id_name: str, outside: list[str]
) -> tuple[str, str, str, int]:
    command = f"darl select {run.folder} POOL --budget 500 -o to_label.jsonl"
    far = {name: float((coverage.sets[name].percentiles > FAR).mean()) for name in coverage.sets if name != TRAIN}
    if not far:
        return (
            f"Only the reference is at hand: no test pair was placed. {coverage.problem}".strip(),
            "Put the files back where the recipe names them, or give the report more time (--seconds).",
            "",
            0,
        )
    said = listed([f"{share(value)} of {name}" for name, value in far.items()])
    reads = f"{said} lies beyond the 95th percentile of known pairs, where 5 % is usual."
    if outside and id_name in scores:
        weakest = min(outside, key=lambda name: auroc(scores[id_name], scores[name]))
        value = auroc(scores[id_name], scores[weakest])
        reads += f" Hardest to tell from the ID test is {weakest}, with AUROC {figure(value)} (chance is .500)."
        if value < 0.6:
            then = f"The score hardly sees {weakest}: try another ood.detector, ood.layer or ood.source in the recipe."
            return reads, then, "", 1
    if far.get(POOL, 0.0) > 0.075:
        return reads, "Much of the pool is unknown to the model: pick from it and label.", command, 2
    return reads, "Pairs beyond the line are unlike the training pairs: pick among them to label.", command, 1


def histogram(values: np.ndarray, edges: np.ndarray) -> list[float]:
    """Share of the values in each bin; what lies outside the edges counts to the first and last.

    >>> histogram(np.array([-1.0, 0.5, 1.5, 9.0]), np.array([0.0, 1.0, 2.0]))
    [0.5, 0.5]
    """
    at = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    return (np.bincount(at, minlength=len(edges) - 1) / max(1, len(values))).tolist()


def styles_of(run: FinishedRun, names: list[str]) -> dict[str, Style]:
    """Styles of the sets of this part and of the map."""
    tests = set_styles(run.id_name, list(run.splits))
    known = {
        TRAIN: Style("@train", "circle", [1, 0]),
        HELD_OUT: Style("@ink", "circle", [3, 3]),
        POOL: Style("@pool", "cross", [10, 3]),
        PICKED: Style("@picked", "diamond", [1, 0]),
    } | {f"test {name}": style for name, style in tests.items()}
    return {name: known[name] for name in known if name in names}


def right_share(says: TestPredictions, placed: PlacedSet) -> tuple[float, float]:
    """Share of the placed pairs graded right, up to the 95th percentile and beyond; NaN where there is no pair."""
    right = (says.predicted == says.grades)[placed.rows]
    beyond = placed.percentiles > FAR
    near, far = right[~beyond], right[beyond]
    return float(near.mean()) if len(near) else np.nan, float(far.mean()) if len(far) else np.nan


def _chart(run: FinishedRun, scores: dict[str, np.ndarray], edge: float, detector: str) -> Chart:
    scores = {name: values for name, values in scores.items() if name != PICKED}  # far by choice: they hide the rest
    every = np.concatenate(list(scores.values()))
    low, high = float(every.min()), float(np.percentile(every, 99.5))
    edges = np.linspace(low, max(high, low + 1e-9), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    data = [
        {"set": name, "OOD score": float(f"{x:.4g}"), "share of the set": round(part, 4)}
        for name, values in scores.items()
        for x, part in zip(middles, histogram(values, edges), strict=True)
    ]
    styles = styles_of(run, list(scores))
    right = edge > (low + high) / 2
    spec = {
        "layer": [
            {
                "mark": {"type": "line", "strokeWidth": 2, "interpolate": "monotone"},
                "encoding": {
                    "x": {
                        "field": "OOD score",
                        "type": "quantitative",
                        "title": f"OOD score ({detector})",
                        "scale": {"zero": False},
                    },
                    "y": {"field": "share of the set", "type": "quantitative", "axis": {"format": "%", "tickCount": 4}},
                    "color": scale_of(styles, "color"),
                    "strokeDash": scale_of(styles, "dash"),
                    "tooltip": [
                        {"field": "set"},
                        {"field": "OOD score", "type": "quantitative", "format": ".3f"},
                        {"field": "share of the set", "type": "quantitative", "format": ".1%"},
                    ],
                },
            },
            {
                "data": {"values": [{"x": edge, "text": "95th percentile"}]},
                "layer": [
                    {
                        "mark": {"type": "rule", "strokeDash": [2, 3], "color": "@muted"},
                        "encoding": {"x": {"field": "x", "type": "quantitative"}},
                    },
                    {
                        "mark": {
                            "type": "text",
                            "align": "right" if right else "left",
                            "dx": -5 if right else 5,
                            "baseline": "top",
                            "color": "@muted",
                        },
                        "encoding": {
                            "x": {"field": "x", "type": "quantitative"},
                            "y": {"value": 2},
                            "text": {"field": "text"},
                        },
                    },
                ],
            },
        ],
    }
    said = "; ".join(f"{name} median {np.median(values):.3g}" for name, values in scores.items())
    return Chart("ood-scores", "OOD score by set", spec, data, f"OOD scores: {said}; 95th percentile {edge:.3g}", 270)

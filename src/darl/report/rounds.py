"""The learning curve: quality over rounds of labelling, by the number of training pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darl.evaluation import metric_info
from darl.report.headline import DECIDING, compare_runs
from darl.report.parts import Chart, Part, Table, lacking
from darl.report.runs import FinishedRun
from darl.report.theme import line_layers, scale_of, set_styles
from darl.report.words import figure, label, listed, signed, with_interval


def rounds_part(run: FinishedRun, earlier: Sequence[FinishedRun]) -> Part:
    """Earlier runs of the same task, and this one last."""
    title = "Do more labels help?"
    if not earlier:
        return lacking(
            "rounds",
            title,
            "One run is one point: no earlier round was named.",
            then="After the next labels, fit again and name this run as the earlier round.",
            command=f"darl report NEXT_RUN --round {run.folder}",
        )
    runs = [*earlier, run]
    names = [name for name in run.splits if all(name in one.splits for one in runs)]
    data = round_rows(runs, names)
    if not names:
        return lacking(
            "rounds",
            title,
            "The rounds were judged on test sets of different names, so no line joins them.",
            then="Judge every round on the same test sets.",
        )
    rows = [
        [
            f"{at + 1} {one.name}",
            f"{one.size('train'):,}",
            *(with_interval(one.splits[name].metrics.get(DECIDING)) for name in names),
        ]
        for at, one in enumerate(runs)
    ]
    labels = run.size("train") - runs[-2].size("train")
    compared = compare_runs(run, runs[-2], name="the round before")
    steps = {name: compared[name].metrics[DECIDING] for name in names if name in compared}
    said = listed(
        [f"{signed(step.difference.difference.estimate)} on {name} ({step.verdict})" for name, step in steps.items()]
        or ["an amount that cannot be tested, for the test pairs are others"]
    )
    before = f"With {labels:+,} training pairs" if labels else "With as many training pairs"
    helped = any(step.better == "b" for step in steps.values())
    return Part(
        "rounds",
        title,
        reads=f"{before}, the last round moved {metric_info(DECIDING).label} by {said}.",
        then="The last round helped: another one is likely to be worth its labels."
        if helped
        else "No gain can be shown: label other traffic, or look at the guideline, before you label more of the same.",
        command=f"darl select {run.folder} POOL --budget 500 -o to_label.jsonl",
        charts=[_chart(run, names, data)],
        tables=[
            Table(
                ["round", "training pairs", *(f"{label(DECIDING)} {name}" for name in names)],
                rows,
                "Intervals over queries, of each round alone; the sentence above tests the last step, pair by pair.",
                numbers=frozenset(range(1, 2 + len(names))),
            )
        ],
    )


def round_rows(runs: Sequence[FinishedRun], names: Sequence[str]) -> list[dict]:
    """One mark a round and test set."""
    rows = []
    for at, one in enumerate(runs):
        for name in names:
            found = one.splits[name].metrics.get(DECIDING)
            if found is None or not np.isfinite(found.estimate):
                continue
            ends = {} if np.isnan(found.low) else {"low": round(found.low, 4), "high": round(found.high, 4)}
            rows.append(
                {
                    "round": f"{at + 1} {one.name}",
                    "training pairs": one.size("train"),
                    "set": name,
                    "figure": round(found.estimate, 4),
                    **ends,
                }
            )
    return rows


def _chart(run: FinishedRun, names: list[str], data: list[dict]) -> Chart:
    styles = set_styles(run.id_name, names)
    sizes = list({row["round"]: row["training pairs"] for row in data}.values())
    grows = sorted(set(sizes)) == sizes  # else two rounds would stand on one place of the axis
    by_size = {
        "field": "training pairs",
        "type": "quantitative",
        "scale": {"zero": False, "padding": 24, "nice": False},
    }
    by_round = {"field": "round", "type": "ordinal", "sort": None, "axis": {"labelAngle": -20}}
    y = {"type": "quantitative", "title": label(DECIDING), "scale": {"zero": False, "padding": 10}}
    spec = {
        "encoding": {
            "x": by_size if grows else by_round,
            "color": scale_of(styles, "color"),
        },
        "layer": [
            *line_layers(styles, {"y": {"field": "figure", **y}}),
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 1.5},
                "encoding": {"y": {"field": "low", **y}, "y2": {"field": "high"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {
                    "y": {"field": "figure", **y},
                    "shape": scale_of(styles, "shape"),
                    "tooltip": [{"field": "round"}, {"field": "training pairs"}, {"field": "set"}, {"field": "figure"}],
                },
            },
        ],
    }
    said = "; ".join(f"{r['training pairs']} pairs, {r['set']} {figure(r['figure'])}" for r in data)
    return Chart(
        "rounds",
        "Quality by number of training pairs" if grows else "Quality by round",
        spec,
        data,
        f"Learning curve: {said}",
        260,
    )

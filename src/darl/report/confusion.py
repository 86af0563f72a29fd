"""Grade confusion: which grades are taken for which, by test set."""

from __future__ import annotations

import numpy as np

from darl.report.parts import Chart, Part, Table, lacking
from darl.report.runs import FinishedRun
from darl.report.words import figure, share


def confusion_part(run: FinishedRun) -> Part:
    """One matrix a test set; each row, a true grade, sums to 1."""
    title = "Which grades does it mix up?"
    if not run.splits:
        return lacking(
            "confusion",
            title,
            "The run was not judged on a test set.",
            then="Name test sets under data.tests in the recipe and fit again.",
        )
    charts, tables = [], []
    for name, split in run.splits.items():
        counts = np.asarray(split.confusion, dtype=np.int64)
        charts.append(_chart(name, counts, list(split.grades)))
        rows = [
            [
                grade,
                f"{int(split.per_grade['support'][k]):,}",
                *(figure(split.per_grade[what][k]) for what in ("precision", "recall", "f1")),
            ]
            for k, grade in enumerate(split.grades)
        ]
        header = ["grade", "pairs", "precision", "recall", "F1"]
        tables.append(Table(header, rows, f"By grade on {name}.", numbers=frozenset({1, 2, 3, 4})))
    worst = min(
        (
            (split.per_grade["recall"][k], name, grade)
            for name, split in run.splits.items()
            for k, grade in enumerate(split.grades)
            if split.per_grade["support"][k] > 0
        ),
        default=None,
    )
    gross = {name: far_share(np.asarray(split.confusion)) for name, split in run.splits.items()}
    reads = "; ".join(f"{share(value)} of {name} is two or more grades off" for name, value in gross.items())
    if run.scale.size == 2:
        reads = "each cell is the share of a true grade that gets the predicted one"
    then = ""
    if worst:
        recall, name, grade = worst
        reads += f"; least found is “{grade}” on {name} ({share(recall)} of its pairs)"
        then = f"Read the mistakes on “{grade}” below: a vague guideline and too few examples of it look the same here."
    return Part("confusion", title, reads[0].upper() + reads[1:] + ".", then, charts=charts, more=tables)


def far_share(counts: np.ndarray) -> float:
    """Share of the pairs whose predicted grade is two or more off; counts (K, K), truth in rows.

    >>> far_share(np.array([[2, 0, 1], [0, 0, 0], [1, 0, 0]]))
    0.5
    """
    K = len(counts)
    distance = np.abs(np.arange(K)[:, None] - np.arange(K)[None, :])
    return float(counts[distance >= 2].sum() / max(1, counts.sum()))


def cells(counts: np.ndarray, grades: list[str]) -> list[dict]:
    """One mark a cell, with the share of its row.

    >>> cells(np.array([[3, 1], [0, 0]]), ["no", "yes"])[1]
    {'true': 'no', 'predicted': 'yes', 'pairs': 1, 'share': 0.25}
    """
    totals = counts.sum(axis=1)
    return [
        {
            "true": grades[i],
            "predicted": grades[j],
            "pairs": int(counts[i, j]),
            "share": round(float(counts[i, j] / totals[i]), 4) if totals[i] else 0.0,
        }
        for i in range(len(grades))
        for j in range(len(grades))
    ]


def _chart(name: str, counts: np.ndarray, grades: list[str]) -> Chart:
    data = cells(counts, grades)
    spec = {
        "encoding": {
            "x": {
                "field": "predicted",
                "type": "nominal",
                "sort": grades,
                "axis": {"orient": "top", "labelAngle": 0 if len(grades) <= 4 else -35, "labelLimit": 90},
            },
            "y": {"field": "true", "type": "nominal", "sort": grades, "axis": {"labelLimit": 100}},
            "tooltip": [
                {"field": "true"},
                {"field": "predicted"},
                {"field": "pairs", "type": "quantitative"},
                {"field": "share", "type": "quantitative", "format": ".1%"},
            ],
        },
        "layer": [
            {
                "mark": {"type": "rect", "stroke": "@paper", "strokeWidth": 2},
                "encoding": {
                    "color": {
                        "field": "share",
                        "type": "quantitative",
                        "scale": {"domain": [0, 1], "range": ["@low", "@high"]},
                        "legend": None,
                    }
                },
            },
            {
                "mark": {"type": "text", "fontSize": 13},
                "encoding": {
                    "text": {"field": "share", "type": "quantitative", "format": ".0%"},
                    "color": {"condition": {"test": "datum.share > 0.8", "value": "@on-high"}, "value": "@ink"},
                },
            },
        ],
    }
    said = "; ".join(f"{r['true']} as {r['predicted']} {r['share']:.0%}" for r in data if r["pairs"])
    return Chart(f"confusion-{name}", name, spec, data, f"Confusion on {name}: {said}", 60 + 44 * len(grades))

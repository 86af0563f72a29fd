"""Quality by slice, sorted by harm: where do most grade steps of error come from beyond what is usual?

The **harm** of a slice of n pairs of a test set of N is its excess of the ordinal MAE over the ID test's, weighted
with its size:

    harm = n / N · (MAE_slice − MAE_ID)

in grade steps a pair of the whole set; the harms of a column's slices add up to MAE_set − MAE_ID where no slice
is left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.evaluation import Interval, SliceEvaluation
from darl.report.parts import Chart, Part, Table, cut, lacking
from darl.report.runs import FinishedRun
from darl.report.theme import scale_of, set_styles
from darl.report.words import figure, label, listed, share, signed, with_interval

METRIC, ERROR = "macro_f1", "ordinal_mae"
SHOWN = 15  # slices drawn; the table holds them all


@dataclass(frozen=True)
class HarmedSlice:
    """A slice of a test set with its harm, in grade steps a pair of the set."""

    set: str
    found: SliceEvaluation
    part: float
    harm: float

    @property
    def name(self) -> str:
        return f"{self.set} · {self.found.column} = {self.found.value}"

    @property
    def quality(self) -> Interval | None:
        return self.found.metrics.get(METRIC)


def slices_part(run: FinishedRun) -> Part:
    """The slices that the recipe names, the most harmful first."""
    title = "Where does it hurt?"
    ranked = by_harm(run)
    if not ranked:
        named = run.recipe.data.slices
        why = (
            f"No value of {listed(list(named))} has {run.recipe.evaluate.min_slice} pairs in a test set."
            if named
            else "The recipe names no column to slice by."
        )
        return lacking(
            "slices",
            title,
            why,
            then="Name columns under data.slices (domain, language, source …) and fit again: the stages are kept.",
        )
    worst = ranked[0]
    rows = [
        [
            cut(one.name, 80),
            f"{one.found.pairs:,}",
            share(one.part),
            with_interval(one.quality),
            figure(one.found.metrics[ERROR].estimate),
            signed(one.harm),
        ]
        for one in ranked
    ]
    left_out = sum(sum(split.slices_left_out.values()) for split in run.splits.values())
    caption = (
        "Harm: share of the set × (ordinal MAE of the slice − ordinal MAE of the ID test), in grade steps a pair."
        + (
            f" {left_out:,} slices of fewer than {run.recipe.evaluate.min_slice} pairs are left out."
            if left_out
            else ""
        )
    )
    bad = worst.harm > 0
    return Part(
        "slices",
        title,
        reads=f"Most harm comes from {cut(worst.name, 60)}: {share(worst.part)} of its set, {label(METRIC)[:-2]} "
        f"{with_interval(worst.quality)}."
        if bad
        else "No slice is worse than the ID test as a whole.",
        then="Label more pairs of the first slices, or mend their guideline; far slices are what a selection looks for."
        if bad
        else "Slice by another column, where you fear a weakness.",
        command=f"darl select {run.folder} POOL --budget 500 -o to_label.jsonl" if bad else "",
        urgency=2 if worst.harm > 0.02 else 0,
        charts=[_chart(run, ranked[:SHOWN])],
        tables=[
            Table(
                ["slice", "pairs", "share", label(METRIC), "ordinal MAE ↓", "harm"],
                rows[:SHOWN],
                caption,
                numbers=frozenset({1, 2, 3, 4, 5}),
            )
        ],
        more=[Table(["slice", "pairs", "share", label(METRIC), "ordinal MAE ↓", "harm"], rows[SHOWN:], "The rest.")]
        if len(rows) > SHOWN
        else [],
    )


def by_harm(run: FinishedRun) -> list[HarmedSlice]:
    """Every reported slice, the most harmful first."""
    if run.id_name is None:
        return []
    usual = run.splits[run.id_name].metrics[ERROR].estimate
    found = [
        HarmedSlice(
            name, one, one.pairs / split.pairs, harm(one.metrics[ERROR].estimate, usual, one.pairs / split.pairs)
        )
        for name, split in run.splits.items()
        for one in split.slices
    ]
    return sorted(found, key=lambda one: -one.harm)


def harm(error: float, usual: float, part: float) -> float:
    """Grade steps of error a pair of the set that a slice adds beyond the usual.

    >>> harm(0.9, 0.4, 0.5)
    0.25
    """
    return part * (error - usual)


def _chart(run: FinishedRun, ranked: list[HarmedSlice]) -> Chart:
    data = []
    for one in ranked:
        found = one.quality
        if found is None or not np.isfinite(found.estimate):
            continue
        ends = {} if np.isnan(found.low) else {"low": round(found.low, 4), "high": round(found.high, 4)}
        data.append(
            {
                "slice": cut(f"{one.found.value} ({one.set})", 40),
                "set": one.set,
                "figure": round(found.estimate, 4),
                **ends,
                "pairs": one.found.pairs,
                "harm": round(one.harm, 4),
            }
        )
    styles = set_styles(run.id_name, [name for name in run.splits if any(row["set"] == name for row in data)])
    x = {"type": "quantitative", "title": label(METRIC), "scale": {"zero": False, "padding": 10}}
    hover = [{"field": name} for name in ("slice", "figure", "low", "high", "pairs", "harm")]
    spec = {
        "encoding": {
            "y": {
                "field": "slice",
                "type": "nominal",
                "sort": [row["slice"] for row in data],
                "title": None,
                "axis": {"labelLimit": 150},
            },
            "color": scale_of(styles, "color"),
        },
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 2},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, "tooltip": hover},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 80, "opacity": 1},
                "encoding": {"x": {"field": "figure", **x}, "shape": scale_of(styles, "shape"), "tooltip": hover},
            },
        ],
    }
    said = "; ".join(f"{row['slice']} {figure(row['figure'])}" for row in data)
    return Chart(
        "slices", "macro-F1 by slice, most harm first", spec, data, f"By slice: {said}", 60 + 24 * max(2, len(data))
    )

"""The headline: quality in and out of distribution, the gap, and the distance to a baseline, with intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from darl.errors import RunError
from darl.evaluation import Comparison, Interval, Predictions, compare_predictions, metric_info
from darl.report.parts import Chart, Part, Table, Tile, lacking
from darl.report.runs import FinishedRun
from darl.report.words import figure, label, listed, signed, with_interval

SHOWN = ("macro_f1", "qwk", "ordinal_mae", "nll", "ece", "ndcg@10")
DRAWN = ("macro_f1", "qwk", "ece")
DECIDING = "macro_f1"
THIS, OTHER = "this run", "baseline"


def headline(run: FinishedRun, baseline: FinishedRun | None, *, bootstrap: int = 500) -> Part:
    """The first part of the page.

    Args:
        baseline: a run with the same test sets, as the naive LLM's.
        bootstrap: resamples for the differences between the two.

    Raises:
        RunError: the baseline has other grades.
    """
    if run.evaluation is None:
        return lacking(
            "headline",
            "How good is it?",
            "The recipe names no test set, so nothing was judged.",
            then="Name test sets under data.tests in the recipe, the one like the training data first, and fit again.",
        )
    if baseline is not None and baseline.scale.names != run.scale.names:
        raise RunError(
            f"the baseline has other grades: {listed(list(baseline.scale.names))}",
            where=baseline.folder,
            mend="name a run with the same grades",
        )
    compared = compare_runs(run, baseline, bootstrap=bootstrap) if baseline else {}
    metrics = [name for name in SHOWN if any(name in split.metrics for split in run.splits.values())]
    return Part(
        "headline",
        "How good is it?",
        reads=_reads(run, baseline, compared),
        then=_then(run, baseline),
        command="" if baseline else f"darl report {run.folder} --baseline RUN",
        urgency=0 if baseline else 1,
        tiles=_tiles(run, compared),
        charts=[_chart(run, baseline, name) for name in DRAWN if name in metrics],
        tables=[_figures(run, metrics)],
        more=[_against(run, baseline, compared, metrics)] if baseline else [],
    )


def compare_runs(
    run: FinishedRun, baseline: FinishedRun, *, name: str = OTHER, bootstrap: int = 500
) -> dict[str, Comparison]:
    """This run against another, called ``name``, by each test set on which both judged the same pairs.

    This run is b.
    """
    found = {}
    for split, mine in run.predictions.items():
        theirs = baseline.predictions.get(split)
        if theirs is None or not np.array_equal(mine.grades, theirs.grades):
            continue
        if not np.array_equal(mine.groups, theirs.groups):
            continue
        found[split] = compare_predictions(
            Predictions(theirs.probabilities, theirs.predicted, name=name),
            Predictions(mine.probabilities, mine.predicted, name=THIS),
            grades=mine.grades,
            scale=run.scale,
            groups=mine.groups,
            metrics=SHOWN,
            bootstrap=bootstrap,
        )
    return found


def _reads(run: FinishedRun, baseline: FinishedRun | None, compared: dict[str, Comparison]) -> str:
    info = metric_info(DECIDING)
    scores = [f"{with_interval(run.splits[name].metrics.get(DECIDING))} on {name}" for name in run.splits]
    text = f"{info.label} is {listed(scores)}"
    lost = [
        (name, gap[DECIDING]) for name, gap in (run.evaluation.gap if run.evaluation else {}).items() if DECIDING in gap
    ]
    if lost:
        name, worst = max(lost, key=lambda pair: pair[1].estimate)
        shown = "" if worst.low > 0 else ", which these queries cannot tell from none"
        text += f"; {figure(worst.estimate)} is lost on {name}{shown}"
    if baseline is None:
        return text + ". Without a baseline nothing says whether that is much."
    if not compared:
        return text + ". The baseline was judged on other pairs, so the two stand side by side without a difference."
    verdicts = [
        f"{signed(found.metrics[DECIDING].difference.difference.estimate)} on {name} "
        f"({found.metrics[DECIDING].verdict})"
        for name, found in compared.items()
        if DECIDING in found.metrics
    ]
    return text + (f". Against the baseline: {listed(verdicts)}." if verdicts else ".")


def _then(run: FinishedRun, baseline: FinishedRun | None) -> str:
    if baseline is None:
        return "Fit a naive baseline on the same data (method: verbalizer, or loss: cross_entropy) and name its run."
    if not run.ood_names:
        return "Add a test set of shifted traffic: one set cannot say how the model does out of distribution."
    return "Judge by the deciding metric that you named beforehand; the others are there to warn."


def _tiles(run: FinishedRun, compared: dict[str, Comparison]) -> list[Tile]:
    tiles = []
    for name, split in run.splits.items():
        found = split.metrics.get(DECIDING)
        kind = "in distribution" if name == run.id_name else "out of distribution"
        ends = "" if found is None or not np.isfinite(found.low) else f"{figure(found.low)} to {figure(found.high)}"
        detail = f"{kind}, {split.pairs:,} pairs" + (f", {ends}" if ends else "")
        tiles.append(Tile(f"{metric_info(DECIDING).label} · {name}", figure(found.estimate if found else None), detail))
    for name, found in compared.items():
        if DECIDING in found.metrics:
            row = found.metrics[DECIDING]
            tiles.append(Tile(f"gain over the baseline · {name}", _diff(row.difference.difference), row.verdict))
    return tiles


def _diff(found: Interval) -> str:
    return signed(found.estimate)


def _figures(run: FinishedRun, metrics: Sequence[str]) -> Table:
    header = ["", *run.splits, *(f"gap to {name}" for name in run.ood_names)]
    gaps = run.evaluation.gap if run.evaluation else {}
    rows = [
        [
            label(metric),
            *(with_interval(split.metrics.get(metric)) for split in run.splits.values()),
            *(with_interval(gaps.get(name, {}).get(metric), sign=True) for name in run.ood_names),
        ]
        for metric in metrics
    ]
    level = next(iter(run.splits.values())).level
    caption = (
        f"Figures with {level:.0%} intervals over queries. The gap is ID minus OOD. ↑ larger is better, ↓ smaller."
    )
    return Table(header, rows, caption, numbers=frozenset(range(1, len(header))))


def _against(run: FinishedRun, baseline: FinishedRun, compared: dict[str, Comparison], metrics: Sequence[str]) -> Table:
    rows = []
    for name in run.splits:
        theirs = baseline.splits.get(name)
        for metric in metrics:
            found = compared[name].metrics.get(metric) if name in compared else None
            rows.append(
                [
                    name,
                    label(metric),
                    with_interval(run.splits[name].metrics.get(metric)),
                    with_interval(theirs.metrics.get(metric)) if theirs else "–",
                    with_interval(found.difference.difference, sign=True) if found else "–",
                    found.verdict if found else "not judged on the same pairs",
                ]
            )
    caption = f"This run against {baseline.name}, on the same pairs; the difference's interval is paired by query."
    return Table(
        ["set", "metric", THIS, OTHER, "difference", "verdict"],
        rows,
        caption,
        wide=frozenset({5}),
        numbers=frozenset({2, 3, 4}),
    )


def _chart(run: FinishedRun, baseline: FinishedRun | None, metric: str) -> Chart:
    data = []
    for who, one in ((THIS, run), (OTHER, baseline)):
        for name, split in one.splits.items() if one else ():
            found = split.metrics.get(metric)
            if found is None or not np.isfinite(found.estimate) or name not in run.splits:
                continue
            ends = {} if np.isnan(found.low) else {"low": round(found.low, 4), "high": round(found.high, 4)}
            data.append({"set": name, "who": who, "figure": round(found.estimate, 4), **ends})
    who = [THIS, OTHER] if baseline else [THIS]
    place = {
        "y": {"field": "set", "type": "nominal", "sort": list(run.splits), "title": None},
        "yOffset": {"field": "who", "sort": who},
        "color": {
            "field": "who",
            "scale": {"domain": who, "range": ["@id", "@baseline"][: len(who)]},
            "legend": {"orient": "top", "title": None} if baseline else None,
        },
    }
    hover = [{"field": key, "type": kind} for key, kind in _HOVER]
    x = {"type": "quantitative", "title": label(metric), "scale": {"zero": False, "padding": 12, "nice": True}}
    spec = {
        "encoding": place,
        "layer": [
            {
                "transform": [{"filter": "isValid(datum.low)"}],
                "mark": {"type": "rule", "strokeWidth": 2.5},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, "tooltip": hover},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
                "encoding": {
                    "x": {"field": "figure", **x},
                    "shape": {
                        "field": "who",
                        "scale": {"domain": who, "range": ["circle", "square"][: len(who)]},
                        "legend": {"orient": "top", "title": None} if baseline else None,
                    },
                    "tooltip": hover,
                },
            },
        ],
    }
    said = "; ".join(f"{row['who']} on {row['set']} {row['figure']:.3f}" for row in data)
    height = 34 + len(run.splits) * (44 if baseline else 30)
    return Chart(f"headline-{metric}".replace("@", "-"), label(metric), spec, data, f"{label(metric)}: {said}", height)


_HOVER = (
    ("set", "nominal"),
    ("who", "nominal"),
    ("figure", "quantitative"),
    ("low", "quantitative"),
    ("high", "quantitative"),
)

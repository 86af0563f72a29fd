"""A map of what is covered: training, test, pool and picked pairs in the two directions in which they differ most."""

from __future__ import annotations

import numpy as np
from sklearn.decomposition import PCA

from darl.ood.knn import unit_rows
from darl.report.coverage import PICKED, POOL, TRAIN, Coverage, PlacedSet
from darl.report.ood import styles_of
from darl.report.parts import Chart, Part, cut, lacking
from darl.report.runs import FinishedRun
from darl.report.theme import scale_of
from darl.report.words import listed, share

LONGEST = 110
HOVER = ("set", "query", "item", "OOD percentile", "reason")


def map_part(run: FinishedRun, coverage: Coverage, *, picked_named: bool) -> Part:
    """One point a pair, its texts on hover."""
    title = "What is covered, and what is not?"
    sets = {name: one for name, one in coverage.sets.items() if len(one) > 0}
    if len(sets) < 2 or sum(map(len, sets.values())) < 3:
        why = coverage.problem or "Fewer than two sets of pairs could be placed."
        then = "Fit with ood.enabled: true, and keep the files where the recipe names them."
        return lacking("map", title, why, then=then)
    places, explained = project(sets)
    data = map_rows(sets, places)
    rank = {TRAIN: 0, POOL: 1, PICKED: 3}  # the later a set is drawn, the more it is on top
    order = sorted(sets, key=lambda name: rank.get(name, 2))
    wanted = {POOL: "a pool", PICKED: "picked pairs"}
    absent = [what for name, what in wanted.items() if name not in sets and name not in coverage.late]
    reads = (
        "Each point is a pair; near points look alike to the frozen model. "
        f"{share(explained)} of the variation lies in this plane, so near is a hint and the OOD score is the measure."
    )
    if absent:
        reads += f" Not shown, because the run and the call name none: {listed(absent)}."
    if coverage.problem:
        reads += f" {coverage.problem}"
    then = (
        "Picked pairs should lie where pool or traffic has points and training has none: hover over them."
        if PICKED in sets
        else "Look for regions with traffic and no training points, and pick pairs there."
    )
    command = "" if picked_named else f"darl report {run.folder} --picked to_label.jsonl"
    chart = _chart(run, order, data)
    return Part("map", title, reads=reads, then=then, command=command, charts=[chart])


def project(sets: dict[str, PlacedSet]) -> tuple[dict[str, np.ndarray], float]:
    """Each set's features in the plane of the first two principal components (Pearson 1901) of all sets together,
    and the share of the variance in that plane. Rows are set to length 1 first, as the k-nearest-neighbour
    score reads them; every set has the same weight, whatever its size.

    Returns:
        name → (m, 2), and a share in [0, 1].
    """
    rows = {name: unit_rows(one.features) for name, one in sets.items()}
    largest = max(map(len, rows.values()))
    even = [np.resize(part, (largest, part.shape[1])) for part in rows.values()]  # smaller sets are repeated
    plane = PCA(n_components=2, svd_solver="covariance_eigh").fit(np.concatenate(even))
    explained = float(np.nan_to_num(plane.explained_variance_ratio_).sum())
    return {name: plane.transform(part) for name, part in rows.items()}, explained


def map_rows(sets: dict[str, PlacedSet], places: dict[str, np.ndarray]) -> list[dict]:
    """One mark a pair, with its texts where they are at hand."""
    marks = []
    for name, one in sets.items():
        pairs = one.table.take(one.rows) if one.table is not None else None
        queries = pairs.queries if pairs is not None else [""] * len(one)
        items = pairs.items if pairs is not None else [""] * len(one)
        reasons = pairs.column("reason") if pairs is not None and pairs.has("reason") else [None] * len(one)
        for at, (x, y) in enumerate(places[name]):
            mark = {"set": name, "x": round(float(x), 3), "y": round(float(y), 3)}
            if pairs is not None:
                mark |= {"query": cut(queries[at], LONGEST), "item": cut(items[at], LONGEST)}
            mark["OOD percentile"] = round(float(one.percentiles[at]), 1)
            if reasons[at]:
                mark["reason"] = cut(str(reasons[at]), LONGEST)
            marks.append(mark)
    return marks


def _chart(run: FinishedRun, order: list[str], data: list[dict]) -> Chart:
    rank = {name: at for at, name in enumerate(order)}
    data = sorted(data, key=lambda row: rank[row["set"]])
    known = styles_of(run, order)
    styles = {name: known[name] for name in order}
    hidden = {"labels": False, "ticks": False, "domain": False, "grid": True, "tickCount": 5}
    spec = {
        "params": [{"name": "shown", "select": {"type": "point", "fields": ["set"]}, "bind": "legend"}],
        "mark": {"type": "point", "filled": True, "strokeWidth": 0.8},
        "encoding": {
            "x": {
                "field": "x",
                "type": "quantitative",
                "title": "first component",
                "axis": hidden,
                "scale": {"zero": False},
            },
            "y": {
                "field": "y",
                "type": "quantitative",
                "title": "second component",
                "axis": hidden,
                "scale": {"zero": False},
            },
            "color": scale_of(styles, "color"),
            "shape": scale_of(styles, "shape"),
            "size": {"condition": {"test": f"datum.set === '{PICKED}'", "value": 90}, "value": 34},
            "stroke": {"condition": {"test": f"datum.set === '{PICKED}'", "value": "@paper"}, "value": None},
            "opacity": {"condition": {"param": "shown", "value": 0.75}, "value": 0.05},
            "tooltip": [{"field": name} for name in HOVER if any(name in row for row in data)],
        },
    }
    counts = {name: sum(row["set"] == name for row in data) for name in order}
    said = ", ".join(f"{count} of {name}" for name, count in counts.items())
    return Chart(
        "map", "Pairs by likeness (tap a name to single it out)", spec, data, f"Map of pairs: {said}", 440, canvas=True
    )

"""The α sweep: each model between start and tuned, judged on dev in and out of distribution, and the chosen one."""

from __future__ import annotations

from typing import Any

from darl.report.parts import Chart, Part, lacking
from darl.report.runs import FinishedRun
from darl.report.theme import Style, line_layers, scale_of

ID, OOD = "dev ID", "dev OOD"


def sweep_part(run: FinishedRun) -> Part:
    """One chart a start; the chosen point wears a ring."""
    title = "Which mix of start and tuned weights?"
    found = run.choice("interpolate")
    candidates = found.get("candidates", [])
    if len(candidates) < 2:
        return lacking(
            "sweep",
            title,
            "There was nothing to choose: the run has one start and no interpolation.",
            then="Set interpolate.enabled: true with several alphas to sweep.",
        )
    has_ood = any(one["ood_value"] is not None for one in candidates)
    data = sweep_rows(candidates, found["start"], found["alpha"])
    alphas = {one["alpha"] for one in candidates}
    then = (
        "The choice stands at the edge of the sweep: try values beyond it."
        if 0 < found["alpha"] == min(alphas)
        else "Keep it unless dev and test disagree in the tables above."
    )
    if not has_ood:
        then = "Name a small graded sample of shifted traffic as data.dev_ood, so that the choice can look beyond ID."
    starts = list(dict.fromkeys(one["start"] for one in candidates))
    low = min(row["objective"] for row in data)
    high = max(row["objective"] for row in data)
    return Part(
        "sweep",
        title,
        reads=f"α = 0 is the model before tuning, α = 1 after it. {_sentence(found['why'])}",
        then=then,
        urgency=0 if has_ood else 1,
        charts=[_chart(run, start, [r for r in data if r["start"] == start], (low, high)) for start in starts],
    )


def sweep_rows(candidates: list[dict[str, Any]], start: str, alpha: float) -> list[dict[str, Any]]:
    """One mark a candidate and dev set.

    >>> sweep_rows([{"start": "probe", "alpha": 1.0, "id_value": 0.5, "ood_value": None}], "probe", 1.0)
    [{'start': 'probe', 'α': 1.0, 'set': 'dev ID', 'objective': 0.5, 'chosen': True}]
    """
    return [
        {
            "start": one["start"],
            "α": one["alpha"],
            "set": name,
            "objective": round(one[key], 4),
            "chosen": one["start"] == start and one["alpha"] == alpha,
        }
        for name, key in ((ID, "id_value"), (OOD, "ood_value"))
        for one in sorted(candidates, key=lambda one: one["alpha"])
        if one[key] is not None
    ]


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _chart(run: FinishedRun, start: str, data: list[dict], span: tuple[float, float]) -> Chart:
    styles = {ID: Style("@id", "circle", [1, 0]), OOD: Style("@ood", "triangle-up", [6, 3])}
    styles = {name: style for name, style in styles.items() if any(row["set"] == name for row in data)}
    pad = max(0.01, 0.08 * (span[1] - span[0]))
    hover = [
        {"field": "set"},
        {"field": "α", "type": "quantitative"},
        {"field": "objective", "type": "quantitative", "format": ".4f"},
        {"field": "chosen"},
    ]
    spec = {
        "encoding": {
            "x": {"field": "α", "type": "quantitative", "scale": {"domain": [0, 1]}, "title": "α (start → tuned)"},
            "y": {
                "field": "objective",
                "type": "quantitative",
                "title": f"{run.recipe.objective} on dev",
                "scale": {"domain": [round(span[0] - pad, 3), round(span[1] + pad, 3)], "nice": True},
            },
            "color": scale_of(styles, "color"),
        },
        "layer": [
            *line_layers(styles),
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"shape": scale_of(styles, "shape"), "tooltip": hover},
            },
            {
                "transform": [{"filter": "datum.chosen"}],
                "mark": {"type": "point", "size": 320, "strokeWidth": 2.5, "filled": False, "color": "@ink"},
                "encoding": {"color": {"value": "@ink"}, "shape": {"value": "circle"}},
            },
            {
                "transform": [{"filter": f"datum.chosen && datum.set === '{ID}'"}],
                "mark": {"type": "text", "dy": -18, "text": "chosen", "align": "right", "fontWeight": 600},
                "encoding": {"color": {"value": "@ink"}},
            },
        ],
    }
    said = "; ".join(f"{r['set']} at α={r['α']:g} {r['objective']:.3f}" for r in data)
    return Chart(f"sweep-{start}", f"tuned from {start}", spec, data, f"Sweep from {start}: {said}", 250)

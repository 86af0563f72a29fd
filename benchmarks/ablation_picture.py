"""One picture of a ladder: macro-F1 in distribution against macro-F1 far out, a point a rung."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from darl.report.parts import Chart
from darl.report.pictures import vega, whole_spec
from darl.report.theme import VEGA_LITE, Style, scale_of
from darl.storage import atomic_write_text

KEY_MARGIN = 40  # the longest title is wider than vega reckons
STYLES = {"the ladder": Style("@id", "circle", [1, 0]), "peers": Style("@ood", "square", [2, 2])}


def chart_of(rows: list[dict[str, Any]]) -> Chart:
    """The chart of one setting's rows; ``shift`` stands in for ``far`` where dev sets were read."""
    rungs = [row for row in rows if row["kind"] == "rung"]
    out = "far" if any(row["tier"] == "far" for row in rungs) else "shift"
    found: dict[str, dict[str, Any]] = {}
    for row in rungs:
        if row["tier"] in ("id", out):
            found.setdefault(row["rung"], {"row": row})[row["tier"]] = row["macro_f1"]
    data, step, peer = [], 0, 0
    for one in found.values():
        row = one["row"]
        if row["peer"]:
            mark = "abcdefghijklmnopqrstuvwxyz"[peer]
            peer += 1
        else:
            step += 1
            mark = str(step)
        data.append(
            {
                "rung": row["title"],
                "mark": mark,
                "key": f"{mark}  {row['title']}",
                "set": "peers" if row["peer"] else "the ladder",
                "ID": round(one["id"], 4),
                "OOD": round(one[out], 4),
                "step": step,
            }
        )
    for row in data:  # rungs that end in the same place share one label
        same = [other["mark"] for other in data if (other["ID"], other["OOD"]) == (row["ID"], row["OOD"])]
        row["label"] = ", ".join(same) if row["mark"] == same[0] else ""
    styles = {name: style for name, style in STYLES.items() if any(row["set"] == name for row in data)}
    axis = {"type": "quantitative", "scale": {"zero": False, "padding": 24}}
    spec = {
        "encoding": {
            "x": {"field": "ID", "title": "macro-F1 in distribution", **axis},
            "y": {"field": "OOD", "title": f"macro-F1 {'far out' if out == 'far' else 'on shifted dev pairs'}", **axis},
        },
        "layer": [
            {
                "transform": [{"filter": {"field": "set", "equal": "the ladder"}}],
                "mark": {"type": "line", "strokeWidth": 1.5, "color": "@id", "opacity": 0.5},
                "encoding": {"order": {"field": "step", "type": "quantitative"}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"color": scale_of(styles, "color"), "shape": scale_of(styles, "shape")},
            },
            {
                "mark": {"type": "text", "dx": 9, "dy": -8, "fontSize": 12, "fontWeight": 600, "color": "@ink"},
                "encoding": {"text": {"field": "label", "type": "nominal"}},
            },
            *_key(data),
        ],
    }
    first = rungs[0]
    said = "; ".join(f"{row['rung']}: ID {row['ID']:.3f}, OOD {row['OOD']:.3f}" for row in data)
    title = f"{first['suite']}, {first['backbone']}: quality in and out of distribution by rung"
    name = "-".join(part for part in ("ablation", first["preset"], first["suite"], first["backbone"]) if part)
    return Chart(name, title, spec, data, said, 420)


def _key(data: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each mark stands for, in a column to the right of the plot."""
    return [
        {
            "transform": [{"filter": {"field": "mark", "equal": row["mark"]}}],
            "mark": {"type": "text", "align": "left", "fontSize": 12, "color": "@ink"},
            "encoding": {
                "x": {"value": {"expr": "width + 16"}},
                "y": {"value": 8 + 20 * place},
                "text": {"field": "key", "type": "nominal"},
            },
        }
        for place, row in enumerate(data)
    ]


def write_picture(rows: list[dict[str, Any]], folder: Path) -> Path:
    """Draw it as ``folder/ablation-SUITE-BACKBONE.svg``, the short ladder's as ``ablation-short-SUITE-BACKBONE.svg``.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    chart = chart_of(rows)
    path = folder / f"{chart.name}.svg"
    spec = whole_spec(chart, width=460) | {"padding": {"left": 5, "top": 5, "bottom": 5, "right": KEY_MARGIN}}
    atomic_write_text(path, vega().vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[]))
    return path

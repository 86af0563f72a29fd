"""One look for every picture: roles of colour in light and dark, shapes and dashes beside them, fonts, grids.

The colours are those of Okabe and Ito (2008), chosen to be told apart without full colour vision; in dark mode
lighter ones of the same hues. No picture relies on them alone: sets also differ in shape or dash.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

VEGA_LITE = "6.4"
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"

PALETTES: dict[str, dict[str, str]] = {
    "light": {
        "@paper": "#ffffff",
        "@ink": "#1d2129",
        "@muted": "#5a6270",
        "@grid": "#e3e6eb",
        "@id": "#0072b2",
        "@ood": "#c24e00",
        "@ood2": "#9b4f96",
        "@ood3": "#8a6d00",
        "@baseline": "#6b7280",
        "@train": "#9aa1ac",
        "@pool": "#3fa0dc",
        "@picked": "#00785a",
        "@low": "#f3f6fa",
        "@high": "#0072b2",
        "@on-high": "#ffffff",
    },
    "dark": {
        "@paper": "#171a20",
        "@ink": "#e8eaee",
        "@muted": "#a5adba",
        "@grid": "#30353f",
        "@id": "#56b4e9",
        "@ood": "#ff8f4a",
        "@ood2": "#dd9fd8",
        "@ood3": "#e8c547",
        "@baseline": "#9aa3b2",
        "@train": "#7b8494",
        "@pool": "#a9cdf5",
        "@picked": "#36d3a6",
        "@low": "#20252e",
        "@high": "#1f6fa3",
        "@on-high": "#ffffff",
    },
}
_OOD = (("@ood", "triangle-up", [6, 3]), ("@ood2", "square", [2, 2]), ("@ood3", "triangle-down", [8, 3, 2, 3]))


@dataclass(frozen=True)
class Style:
    """How one set of pairs looks everywhere: the role of its colour, its shape, its dash."""

    color: str
    shape: str
    dash: list[int]


def set_styles(id_name: str | None, names: Sequence[str]) -> dict[str, Style]:
    """A style for each test set: the ID one first, the others in turn.

    >>> {name: style.shape for name, style in set_styles("id", ["id", "near", "far"]).items()}
    {'id': 'circle', 'near': 'triangle-up', 'far': 'square'}
    """
    others = [name for name in names if name != id_name]
    styles = {name: Style(*_OOD[at % len(_OOD)]) for at, name in enumerate(others)}
    known = {id_name: Style("@id", "circle", [1, 0])} if id_name in names else {}
    return {name: (known | styles)[name] for name in names}


def scale_of(styles: dict[str, Style], what: str, *, title: str | None = None, legend: bool = True) -> dict[str, Any]:
    """The Vega-Lite encoding of a set's ``color``, ``shape`` or ``dash``."""
    shown: Any = {"orient": "top", "title": title, "columns": 3, "labelLimit": 220} if legend else None
    values = [getattr(style, what) for style in styles.values()]
    return {
        "field": "set",
        "type": "nominal",
        "scale": {"domain": list(styles), "range": values},
        "legend": shown,
    }


def line_layers(styles: dict[str, Style], encoding: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """A layer with a line for each set, dashed in its way; the color comes from the encoding around them.

    The name of a set stands in a predicate, not in an expression: it is a user's text.
    """
    return [
        {
            "transform": [{"filter": {"field": "set", "equal": name}}],
            "mark": {"type": "line", "strokeWidth": 2, "strokeDash": style.dash},
            "encoding": encoding or {},
        }
        for name, style in styles.items()
    ]


def config() -> dict[str, Any]:
    """Vega-Lite's configuration, with roles for colours."""
    return {
        "background": "@paper",
        "font": FONT,
        "aria": False,
        "mark": {"aria": False},
        "view": {"stroke": None},
        "axis": {
            "aria": False,
            "labelColor": "@muted",
            "titleColor": "@ink",
            "gridColor": "@grid",
            "domainColor": "@muted",
            "tickColor": "@grid",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "labelLimit": 160,
        },
        "axisQuantitative": {"tickCount": 5},
        "legend": {
            "aria": False,
            "labelColor": "@ink",
            "titleColor": "@muted",
            "labelFontSize": 12,
            "titleFontSize": 12,
        },
        "title": {"aria": False, "color": "@ink", "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 8},
        "text": {"color": "@ink", "fontSize": 12},
        "rule": {"color": "@muted"},
    }


def resolved(spec: Any, theme: str) -> Any:
    """The spec with roles replaced by the colours of ``light`` or ``dark``.

    >>> resolved({"mark": {"color": "@id"}, "size": [3, "@ink"]}, "light")
    {'mark': {'color': '#0072b2'}, 'size': [3, '#1d2129']}
    """
    palette = PALETTES[theme]
    if isinstance(spec, dict):
        return {key: resolved(value, theme) for key, value in spec.items()}
    if isinstance(spec, list):
        return [resolved(value, theme) for value in spec]
    return palette.get(spec, spec) if isinstance(spec, str) else spec

"""From parts to one self-contained page: no network, opens from disk, texts escaped.

Texts go through Jinja's autoescape or a JSON script element; a content security policy in the page forbids every
request, so that even a mistake could not make one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any

from darl.report.parts import Chart, Part, Table
from darl.report.pictures import file_names, vega
from darl.report.theme import PALETTES, VEGA_LITE, config

NUMBERS_SHOWN = 80  # rows of a chart's data that the page also gives as a table


def render_page(
    parts: Sequence[Part],
    *,
    title: str,
    about: str,
    footer: str,
    appendix: Sequence[tuple[str, str]] = (),
) -> str:
    """The page as HTML.

    Args:
        parts: its sections in order.
        title, about, footer: texts. appendix: (name, text) that is folded away at the end.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.

    >>> from darl.report.parts import lacking
    >>> page = render_page([lacking("a", "A", "<b>none</b>")], title="T", about="", footer="")
    >>> "&lt;b&gt;none&lt;/b&gt;" in page, "<b>none" in page
    (True, False)
    """
    from jinja2 import Environment, FunctionLoader
    from markupsafe import Markup

    env = Environment(loader=FunctionLoader(_asset), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    table = env.get_template("table.html").module.table  # type: ignore[attr-defined]
    charts = [chart for part in parts for chart in part.charts]
    names = file_names(charts)
    data = {
        "charts": {
            chart.name: {
                "spec": chart.spec,
                "data": chart.data,
                "height": chart.height,
                "canvas": chart.canvas,
                "file": names[chart.name],
                "alt": chart.alt,
            }
            for chart in charts
        },
        "config": config(),
        "palettes": PALETTES,
    }
    return env.get_template("page.html").render(
        title=title,
        about=about,
        footer=footer,
        appendix=appendix,
        parts=parts,
        next_steps=sorted((part for part in parts if part.urgency > 0), key=lambda part: -part.urgency)[:4],
        numbers={chart.name: numbers_of(chart) for chart in charts},
        table=table,
        data=Markup(_script_json(data)),
        css=Markup(_asset("page.css")),
        script=Markup(_asset("page.js")),
        library=Markup(_library()),
    )


def numbers_of(chart: Chart) -> Table | None:
    """A chart's data as a table, or None where there is too much of it to read.

    >>> numbers_of(Chart("c", "C", {}, [{"a": 1, "b": 0.5}], "")).rows
    [['1', '0.5']]
    """
    if not 0 < len(chart.data) <= NUMBERS_SHOWN:
        return None
    header = list(dict.fromkeys(key for row in chart.data for key in row))
    rows = [[_shown(row.get(key)) for key in header] for row in chart.data]
    numeric = {
        at for at, key in enumerate(header) if all(isinstance(row.get(key, 0), (int, float)) for row in chart.data)
    }
    return Table(header, rows, numbers=frozenset(numeric))


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in, nor begin another.

    >>> _script_json({"q": "</script><!--"})
    '{"q":"\\\\u003c/script\\\\u003e\\\\u003c!--"}'
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return (files("darl.report") / "assets" / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return vega().javascript_bundle(vl_version=VEGA_LITE).replace("</script", "<\\/script")

"""The charts as PNG and SVG files, drawn by the same library as in the page and without a browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darl.errors import MissingExtraError
from darl.report.parts import Chart
from darl.report.theme import VEGA_LITE, config, resolved
from darl.storage import atomic_file, atomic_write_text

WIDTH = 620


def vega() -> Any:
    """The drawing library.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import vl_convert
    except ImportError as error:
        raise MissingExtraError(
            "drawing needs the package vl-convert-python", where="report", mend="pip install 'darl[report]'"
        ) from error
    return vl_convert


def whole_spec(chart: Chart, *, theme: str = "light", width: int = WIDTH) -> dict[str, Any]:
    """A chart as a Vega-Lite specification that stands alone, in the colours of ``light`` or ``dark``."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        **resolved(chart.spec, theme),
        "title": chart.title,
        "description": chart.alt,
        "config": resolved(config(), theme),
        "data": {"values": chart.data},
        "width": width,
        "height": chart.height,
    }


def write_pictures(charts: Sequence[Chart], folder: Path, *, theme: str = "light") -> list[Path]:
    """Write each chart as ``folder/NAME.svg`` and ``folder/NAME.png`` (twice the size in pixels).

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
        StorageError: the folder cannot be written.
    """
    draw, written = vega(), []
    for name, chart in zip(file_names(charts).values(), charts, strict=True):
        spec = whole_spec(chart, theme=theme)
        svg = draw.vegalite_to_svg(spec, vl_version=VEGA_LITE, allowed_base_urls=[])
        png = draw.svg_to_png(svg, scale=2)
        atomic_write_text(folder / f"{name}.svg", svg)
        with atomic_file(folder / f"{name}.png") as scratch:
            scratch.write_bytes(png)
        written += [folder / f"{name}.svg", folder / f"{name}.png"]
    return written


def file_names(charts: Sequence[Chart]) -> dict[str, str]:
    """A file name for each chart, by its name: letters, digits, dash and underscore, no two the same.

    >>> from darl.report.parts import Chart
    >>> file_names([Chart("a/b", "", {}, [], ""), Chart("a b", "", {}, [], "")])
    {'a/b': 'a_b', 'a b': 'a_b-2'}
    """
    found: dict[str, str] = {}
    for chart in charts:
        stem = name = re.sub(r"[^\w-]+", "_", chart.name)[:80]
        at = 2
        while name in found.values():
            name, at = f"{stem}-{at}", at + 1
        found[chart.name] = name
    return found

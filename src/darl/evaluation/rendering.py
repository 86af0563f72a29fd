"""Rendering of an evaluation or a comparison as text for a terminal, markdown, or JSON."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from darl.errors import DataError
from darl.evaluation.catalogue import HEADLINE, metric_info
from darl.evaluation.comparison import Comparison
from darl.evaluation.intervals import Interval
from darl.evaluation.report import Evaluation, SplitEvaluation

FORMATS = ("text", "markdown", "json")
SLICE_METRICS = ("macro_f1", "accuracy", "qwk", "ece", "ndcg@10")


@dataclass(frozen=True)
class Sheet:
    """A table between the objects and the formats: the columns `left` are words, the rest numbers."""

    title: str
    header: list[str]
    rows: list[list[str]]
    left: tuple[int, ...] = (0,)
    note: str = ""


def render(found: Evaluation | SplitEvaluation | Comparison, fmt: str = "text", *, width: int | None = None) -> str:
    """The object as `text` (aligned tables), `markdown` or `json` (plain numbers, null where not defined).

    Args:
        width: columns of the text; default what the widest table needs, at most 160.

    Raises:
        DataError: an unknown format.

    >>> from darl.evaluation.intervals import Difference
    >>> from darl.evaluation.comparison import MetricComparison
    >>> row = MetricComparison(Difference(0.5, 0.6, Interval(0.1, 0.05, 0.15, 0.02), 0.002), "b", "B is better")
    >>> print(render(Comparison("A", "B", 900, 100, 0.95, {"qwk": row}), "markdown").splitlines()[4])
    | QWK ↑ | 0.500 | 0.600 | +0.100 [+0.050, +0.150] | 0.002 | B is better |
    """
    if fmt not in FORMATS:
        raise DataError(f"unknown format {fmt!r}", mend=f"use one of {', '.join(FORMATS)}")
    if fmt == "json":
        return json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    sheets = _sheets(found)
    return "\n\n".join(_markdown(sheet) for sheet in sheets) if fmt == "markdown" else _text(sheets, width)


def _sheets(found: Evaluation | SplitEvaluation | Comparison) -> list[Sheet]:
    if isinstance(found, Comparison):
        return [_comparison_sheet(found)]
    if isinstance(found, SplitEvaluation):
        found = Evaluation({"split": found})
    sheets = [_figures_sheet(found)]
    for name, split in found.splits.items():
        sheets.append(_grades_sheet(name, split))
        if split.slices:
            sheets.append(_slices_sheet(name, split))
    return sheets


def _figures_sheet(found: Evaluation) -> Sheet:
    names = [name for name in HEADLINE if any(name in split.metrics for split in found.splits.values())]
    header = ["metric", *(f"{name} (n={s.pairs}, Q={s.queries})" for name, s in found.splits.items())]
    header += [f"gap {found.id_split} − {name}" for name in found.gap]
    rows = []
    for name in names:
        cells = [_interval(split.metrics.get(name)) for split in found.splits.values()]
        gaps = [_interval(gap.get(name), signed=True) for gap in found.gap.values()]
        rows.append([_title(name), *cells, *gaps])
    level = next((split.level for split in found.splits.values()), 0.95)
    note = f"[ ] {level:.0%} intervals over resampled queries; ↑ larger is better, ↓ smaller; n pairs, Q queries"
    chance = [
        f"{name} {_number(split.metrics['ece_by_chance'].estimate)}"
        for name, split in found.splits.items()
        if "ece_by_chance" in split.metrics
    ]
    if chance:
        note += f"; ECE that exact confidences would have on so many pairs: {', '.join(chance)}"
    return Sheet("Figures", header, rows, note=note)


def _grades_sheet(name: str, split: SplitEvaluation) -> Sheet:
    columns = ("precision", "recall", "f1")
    rows = [
        [grade, *(_number(split.per_grade[column][k]) for column in columns), str(split.per_grade["support"][k])]
        for k, grade in enumerate(split.grades)
    ]
    return Sheet(f"Grades of {name}", ["grade", "precision", "recall", "F1", "pairs"], rows)


def _slices_sheet(name: str, split: SplitEvaluation) -> Sheet:
    shown = [metric for metric in SLICE_METRICS if any(metric in one.metrics for one in split.slices)]
    rows = [
        [one.column, one.value, str(one.pairs), *(_interval(one.metrics.get(metric)) for metric in shown)]
        for one in split.slices
    ]
    left_out = ", ".join(f"{count} of {column}" for column, count in split.slices_left_out.items())
    note = f"values with too few pairs, not shown: {left_out}" if left_out else ""
    return Sheet(f"Slices of {name}", ["column", "value", "pairs", *map(_title, shown)], rows, (0, 1), note)


def _comparison_sheet(found: Comparison) -> Sheet:
    rows = []
    for name, row in found.metrics.items():
        d = row.difference
        rows.append(
            [_title(name), _number(d.a), _number(d.b), _interval(d.difference, signed=True), _number(d.p), row.verdict]
        )
    header = ["metric", found.a, found.b, f"{found.b} − {found.a}", "p", "verdict"]
    note = (
        f"{found.pairs} pairs of {found.queries} queries; [ ] {found.level:.0%} intervals of the paired difference "
        "over resampled queries, each metric on its own"
    )
    return Sheet(f"{found.b} against {found.a}", header, rows, (0, 5), note)


def _title(name: str) -> str:
    info = metric_info(name)
    return f"{info.label} {'↑' if info.higher_is_better else '↓'}"


def _number(value: float, signed: bool = False) -> str:
    if math.isnan(value):
        return "–"
    text = f"{value:+.3f}" if signed else f"{value:.3f}"
    return "0.000" if text in ("+0.000", "-0.000") else text


def _interval(interval: Interval | None, signed: bool = False) -> str:
    if interval is None or math.isnan(interval.estimate):
        return "–"
    text = _number(interval.estimate, signed)
    if math.isnan(interval.low):
        return text
    return f"{text} [{_number(interval.low, signed)}, {_number(interval.high, signed)}]"


def _markdown(sheet: Sheet) -> str:
    def line(cells: list[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    rule = ["---" if at in sheet.left else "---:" for at in range(len(sheet.header))]
    lines = [f"**{sheet.title}**", "", line(sheet.header), line(rule), *map(line, sheet.rows)]
    return "\n".join(lines + (["", sheet.note] if sheet.note else []))


def _text(sheets: list[Sheet], width: int | None) -> str:
    console = Console(
        file=io.StringIO(), width=width or 160, color_system=None, markup=False, emoji=False, highlight=False
    )
    tables = []
    for sheet in sheets:
        table = Table(title=sheet.title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
        for at, name in enumerate(sheet.header):
            table.add_column(name, justify="left" if at in sheet.left else "right", overflow="fold")
        for row in sheet.rows:
            table.add_row(*row)
        tables.append(table)
    if width is None:
        console.width = min(160, max([80, *(console.measure(table).maximum for table in tables)]))
    with console.capture() as captured:
        for sheet, table in zip(sheets, tables, strict=True):
            console.print(table)
            if sheet.note:
                console.print(sheet.note)
            console.print()
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n") + "\n"

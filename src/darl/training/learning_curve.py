"""The learning curve over rounds of labels: quality by the number of training pairs, and what each round kept."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from darl.evaluation import Evaluation, metric_info

METRIC = "macro_f1"


def curve_rows(
    evaluations: Sequence[Evaluation | None], metrics: Sequence[dict[str, Any]], metric: str = METRIC
) -> list[dict[str, Any]]:
    """One row a round and test set, as the report's chart of rounds draws them.

    Args:
        evaluations, metrics: of each round, from round 0.
        metric: the figure.

    Returns:
        rows of ``round``, ``training pairs``, ``set``, ``figure`` and, where there are intervals, ``low`` and ``high``.
    """
    rows = []
    for number, (found, said) in enumerate(zip(evaluations, metrics, strict=True)):
        for name, split in (found.splits if found else {}).items():
            value = split.metrics.get(metric)
            if value is None or not math.isfinite(value.estimate):
                continue
            row = {
                "round": number,
                "training pairs": said["sizes"]["train"],
                "set": name,
                "figure": round(value.estimate, 4),
            }
            if math.isfinite(value.low):
                row |= {"low": round(value.low, 4), "high": round(value.high, 4)}
            rows.append(row)
    return rows


def kept_in_words(metrics: dict[str, Any]) -> str:
    """Which model a round kept.

    >>> kept_in_words({"choices": {"augment": {"alpha": 0.0}}}), kept_in_words({"choices": {}})
    ('the one before', 'the new one')
    """
    alpha = metrics["choices"].get("augment", {}).get("alpha", 1.0)
    return {0.0: "the one before", 1.0: "the new one"}.get(alpha, f"a mix, α = {alpha:g}")


def curve_text(metrics: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]], metric: str = METRIC) -> str:
    """The curve as an aligned table."""
    names = list(dict.fromkeys(row["set"] for row in rows))
    figures = {(row["round"], row["set"]): row for row in rows}
    title = f"Learning curve: {metric_info(metric).label} by round"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for header in ("round", "labels", "training pairs", *names):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("model kept", no_wrap=True)
    for number, said in enumerate(metrics):
        labels = said["choices"].get("label", {}).get("labelled", 0)
        cells = [_cell(figures.get((number, name))) for name in names]
        kept = kept_in_words(said) if number else ""
        table.add_row(str(number), f"{labels:,}", f"{said['sizes']['train']:,}", *cells, kept)
    console = Console(file=io.StringIO(), width=200, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "–"
    ends = f" [{row['low']:.3f}, {row['high']:.3f}]" if "low" in row else ""
    return f"{row['figure']:.3f}{ends}"

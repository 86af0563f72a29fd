"""Picked: the chosen pairs with what the model thinks of them, and for each a reason in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from darl.dasa.nearest import Nearest
from darl.dasa.report import report_text
from darl.dasa.strategies import Context, Strategy
from darl.pairs import PairTable

_SHOWN = 60  # characters of a text that a reason quotes


@dataclass(frozen=True)
class Selection:
    """The pairs to label next.

    Attributes:
        pairs: the picks in order. The pool's columns, and ``rank`` (from 1), ``ood_score``, ``ood_percentile``,
            ``predicted_grade`` (its name), ``predicted_relevance``, ``p_max`` (probability of the likeliest
            grade) and ``reason``; where a training table was given also ``nearest_train_query``,
            ``nearest_train_item`` and ``nearest_distance``.
        report: what was dropped and why, how far out pool and picks are, the predicted grades, warnings.
    """

    pairs: PairTable
    report: dict[str, Any] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.pairs)

    def to_text(self, show: int = 5) -> str:
        """The report for people, with the first ``show`` picks."""
        lines = [report_text(self.report)]
        rows = self.pairs.take(np.arange(min(show, len(self)))).arrow.to_pylist()
        if rows:
            lines.append("first picks:")
        for row in rows:
            lines.append(f"  {row['rank']}. {quoted(row['query'])} / {quoted(row['item'])}: {row['reason']}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """``report`` and ``pairs`` (one dictionary a pick), fit for JSON where the pool's own columns are."""
        return {"report": self.report, "pairs": self.pairs.arrow.to_pylist()}


def picked_pairs(
    strategy: Strategy, context: Context, rows: np.ndarray, nearest: Nearest | None, train: PairTable | None
) -> PairTable:
    """The pool rows ``rows`` (m,), in this order, with the columns that :class:`Selection` names."""
    says, pairs = context.candidates, context.pool.take(rows)
    reasons = [strategy.why(context, int(row)) for row in rows]
    columns: dict[str, list] = {
        "rank": list(range(1, len(rows) + 1)),
        "ood_score": says.ood_scores[rows].tolist(),
        "ood_percentile": says.ood_percentiles[rows].tolist(),
        "predicted_grade": [says.scale.names[grade] for grade in says.grades[rows]],
        # Not plain `relevance`: readers take that for a label.
        "predicted_relevance": says.relevance[rows].tolist(),
        "p_max": says.p_max[rows].tolist(),
    }
    if nearest is not None and train is not None:
        known = train.take(nearest.rows)
        columns["nearest_train_query"], columns["nearest_train_item"] = known.queries, known.items
        columns["nearest_distance"] = nearest.distances.tolist()
        reasons = [
            f"{reason}; nearest known pair: {quoted(query)} / {quoted(item)} at distance {_short(distance)}"
            for reason, query, item, distance in zip(
                reasons, known.queries, known.items, columns["nearest_distance"], strict=True
            )
        ]
    for name, values in {**columns, "reason": reasons}.items():
        pairs = pairs.with_column(name, values)
    return pairs


def _short(distance: float) -> str:
    return f"{distance:.2g}" if distance >= 0.001 else "below 0.001"


def quoted(text: str, limit: int = _SHOWN) -> str:
    """A text on one line in quotation marks, cut where it is long.

    >>> quoted("red\\nshoes"), quoted("abcdef", 4)
    ('“red shoes”', '“abc…”')
    """
    text = " ".join(text.split())
    return f"“{text if len(text) <= limit else text[: limit - 1] + '…'}”"

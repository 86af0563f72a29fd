"""The judge held against gold labels: agreement with intervals, confusion, bias, and what its confidence is worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from darl.decisions.agreement import accuracy, qwk
from darl.evaluation.intervals import Interval, interval_of, resamples
from darl.grades import GradeScale
from darl.labelling.figures import Agreement, agree, cohen_kappa, finite
from darl.labelling.judge.votes import Judgement

Measure = Literal["accuracy", "kappa", "qwk"]
MEASURES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"accuracy": accuracy, "kappa": cohen_kappa, "qwk": qwk}
_NAMES = {"accuracy": "same grade", "kappa": "kappa", "qwk": "QWK"}


@dataclass(frozen=True)
class GoldAgreement:
    """How far the judge says what the gold labels say.

    Attributes:
        scale: the grades. pairs: gold pairs. queries: their distinct queries.
        agreement: over the pairs that the judge graded, as between two annotators.
        intervals: of ``accuracy``, ``kappa``, ``qwk``: 95 %, by drawing whole queries (bootstrap, 1,000 draws).
        confusion: (K, K), gold in rows, judge in columns.
        bias: mean of judge − gold over the pairs of each gold grade, (K,), in grades; NaN for a grade without a pair.
        mean_bias: the same over all.
        by_confidence: (share of the samples, pairs, share of them with the gold grade), the most confident first.
    """

    scale: GradeScale
    pairs: int
    queries: int
    agreement: Agreement
    intervals: dict[str, Interval]
    confusion: np.ndarray
    bias: np.ndarray
    mean_bias: float
    by_confidence: list[tuple[float, int, float]]

    def value(self, measure: Measure) -> float:
        """The estimate of a measure."""
        return self.intervals[measure].estimate

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON; what is not defined is None."""
        found = {"pairs": self.pairs, "graded": self.agreement.n, "queries": self.queries}
        found |= {"agreement": asdict(self.agreement)}
        found |= {"intervals": {name: one.to_dict() for name, one in self.intervals.items()}}
        found |= {"grades": list(self.scale.names), "confusion": self.confusion.tolist()}
        found |= {"bias": dict(zip(self.scale.names, self.bias.tolist(), strict=True)), "mean_bias": self.mean_bias}
        steps = [{"share": share, "pairs": pairs, "right": right} for share, pairs, right in self.by_confidence]
        return finite({**found, "by_confidence": steps})

    def to_text(self) -> str:
        """For people."""
        figures = ", ".join(f"{_NAMES[name]} {_said(self.intervals[name])}" for name in MEASURES)
        lines = [f"on {self.agreement.n:,} of {self.pairs:,} gold pairs ({self.queries:,} queries): {figures}"]
        lines += self._table()
        lines.append(f"bias: mean of judge − gold in grades, {_number(self.mean_bias, '+.2f')} over all")
        if len(self.by_confidence) > 1:
            steps = (f"{share:.0%} of samples agree: {right:.0%} of {n:,}" for share, n, right in self.by_confidence)
            lines.append("right by confidence: " + " · ".join(steps))
        return "\n".join(lines)

    def _table(self) -> list[str]:
        """The confusion with the bias of each gold grade, as aligned lines."""
        names = [name if len(name) <= 14 else name[:13] + "…" for name in self.scale.names]
        cells = [["gold ↓ judge →", *names, "bias"]]
        for name, row, bias in zip(names, self.confusion, self.bias, strict=True):
            cells.append([name, *(f"{count:,}" for count in row), _number(bias, "+.2f")])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        return ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in cells]


def gold_agreement(
    scale: GradeScale,
    gold: Sequence[int],
    found: Sequence[Judgement],
    groups: np.ndarray,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> GoldAgreement:
    """The figures of n gold pairs.

    Args:
        scale: the grades.
        gold: the true grades, (n,).
        found: the judge's, (n,); pairs that it could not grade count in ``pairs`` only.
        groups: dense codes of the queries, (n,).
        draws: bootstrap resamples. seed: of them.

    >>> said = [Judgement(grade, 1.0, (grade,)) for grade in (0, 1, 1, 1)]
    >>> figures = gold_agreement(GradeScale(("bad", "good")), [0, 1, 1, 0], said, np.arange(4))
    >>> figures.value("accuracy"), figures.bias.tolist()
    (0.75, [0.5, 0.0])
    """
    size = scale.size
    both = list(zip(gold, found, strict=True))
    rows = [(int(truth), one.grade, one.share) for truth, one in both if one.grade is not None]
    kept = [row for row, one in enumerate(found) if one.grade is not None]
    truth = np.array([row[0] for row in rows], dtype=np.int64)
    said = np.array([row[1] for row in rows], dtype=np.int64)
    queries, group = np.unique(np.asarray(groups)[kept], return_inverse=True)
    per_query = np.zeros((max(1, len(queries)), size, size))
    np.add.at(per_query, (group, truth, said), 1.0)
    intervals = _intervals(per_query, draws, seed)
    confusion = per_query.sum(axis=0)
    with np.errstate(invalid="ignore"):
        bias = confusion @ np.arange(size) / confusion.sum(axis=1) - np.arange(size)
    steps = []
    for share in sorted({row[2] for row in rows}, reverse=True):
        right = [row[0] == row[1] for row in rows if row[2] == share]
        steps.append((share, len(right), sum(right) / len(right)))
    return GoldAgreement(
        scale,
        len(found),
        len(np.unique(groups)),
        agree(list(zip(truth.tolist(), said.tolist(), strict=True)), size),
        intervals,
        confusion.astype(np.int64),
        bias,
        float((said - truth).mean()) if len(rows) else math.nan,
        steps,
    )


def _intervals(per_query: np.ndarray, draws: int, seed: int) -> dict[str, Interval]:
    """Each measure with its interval, from the confusion of each query, (Q, K, K)."""
    count, size, _ = per_query.shape
    flat = per_query.reshape(count, -1)
    sums = [(chunk @ flat).reshape(-1, size, size) for chunk in resamples(count, draws, seed)]
    found = {}
    for name, measure in MEASURES.items():
        drawn = np.concatenate([measure(one) for one in sums]) if sums else np.empty(0)
        found[name] = interval_of(float(measure(per_query.sum(axis=0))), drawn)
    return found


def _said(interval: Interval) -> str:
    low, high = _number(interval.low, ".2f"), _number(interval.high, ".2f")
    return f"{_number(interval.estimate, '.3f')} [{low}, {high}]"


def _number(value: float, form: str) -> str:
    return format(value, form) if math.isfinite(value) else "–"

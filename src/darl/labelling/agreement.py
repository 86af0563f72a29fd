"""How far annotators can be trusted: right on gold pairs, true to themselves, and of one mind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np

from darl.decisions.agreement import accuracy, qwk
from darl.labelling.answers import Answer, Answers
from darl.labelling.tables import CANNOT_TELL

_Z = 1.959964  # the 97.5 % point of the normal distribution


@dataclass(frozen=True)
class Agreement:
    """How often two lists of grades agree.

    Attributes:
        n: pairs with a grade on both sides.
        share: of them with the same grade; low, high: its 95 % Wilson interval.
        kappa: Cohen's, unweighted. qwk: quadratic weighted kappa. NaN where chance alone agrees throughout.
    """

    n: int
    share: float
    low: float
    high: float
    kappa: float
    qwk: float


@dataclass(frozen=True)
class AnnotatorReport:
    """One annotator: answers, "cannot tell" among them, median seconds, and the hidden checks."""

    annotator: str
    answers: int
    cannot_tell: int
    median_seconds: float | None
    gold: Agreement
    itself: Agreement


@dataclass(frozen=True)
class AgreementReport:
    """Every annotator, every two who share pairs, and the mean over these twos weighted by shared pairs."""

    annotators: list[AnnotatorReport]
    between: dict[tuple[str, str], Agreement]
    mean_share: float
    mean_kappa: float
    mean_qwk: float

    def to_dict(self) -> dict[str, Any]:
        """Fit for JSON; what is not defined is None."""
        between = [{"a": a, "b": b, **asdict(figures)} for (a, b), figures in self.between.items()]
        means = {"share": self.mean_share, "kappa": self.mean_kappa, "qwk": self.mean_qwk}
        return _finite({"annotators": [asdict(one) for one in self.annotators], "between": between, "mean": means})

    def to_text(self) -> str:
        """For people."""
        lines = ["annotator: answers · right on gold pairs · the same again on repeats · seconds a pair"]
        for one in self.annotators:
            pace = "–" if one.median_seconds is None else f"{one.median_seconds:.0f} s"
            unsure = f" ({one.cannot_tell} cannot tell)" if one.cannot_tell else ""
            lines.append(f"  {one.annotator}: {one.answers}{unsure} · {_said(one.gold)} · {_said(one.itself)} · {pace}")
        lines.append("between annotators: same grade · kappa · QWK")
        for (a, b), figures in self.between.items():
            lines.append(f"  {a}, {b}: {_said(figures)} · {_number(figures.kappa)} · {_number(figures.qwk)}")
        if not self.between:
            lines.append("  no two annotators graded the same pair (--labels-per-pair or --overlap asks for it)")
        elif len(self.between) > 1:
            means = f"{_number(self.mean_share)} · {_number(self.mean_kappa)} · {_number(self.mean_qwk)}"
            lines.append(f"  mean, weighted by shared pairs: {means}")
        return "\n".join(lines)


def agreement_report(found: Answers) -> AgreementReport:
    """Accuracy on gold, self-agreement and agreement between annotators, from the answers with a grade.

    Between annotators first answers count, on pairs to label and gold pairs alike.
    """
    size = found.scale.size
    by_name: dict[str, list[Answer]] = {}
    for one in found.rows:
        by_name.setdefault(one.annotator, []).append(one)
    firsts = {name: _grades(rows, attempt=0) for name, rows in by_name.items()}
    reports = []
    for name, rows in by_name.items():
        golden = [(one.gold, one.grade) for one in rows if one.gold is not None and one.grade is not None]
        again = _grades(rows, attempt=1)
        both = [(firsts[name][key], grade) for key, grade in again.items() if key in firsts[name]]
        times = [one.seconds for one in rows if one.seconds is not None]
        untold = sum(one.outcome == CANNOT_TELL for one in rows)
        pace = statistics.median(times) if times else None
        reports.append(AnnotatorReport(name, len(rows), untold, pace, _agree(golden, size), _agree(both, size)))
    between = {}
    for a, b in combinations(by_name, 2):
        shared = [(grade, firsts[b][key]) for key, grade in firsts[a].items() if key in firsts[b]]
        if shared:
            between[a, b] = _agree(shared, size)
    means = (_mean(between, name) for name in ("share", "kappa", "qwk"))
    return AgreementReport(reports, between, *means)


def cohen_kappa(confusion: np.ndarray) -> float:
    """κ = (p_o − p_e) / (1 − p_e) of a confusion (K, K) (Cohen 1960); NaN where p_e = 1.

    >>> round(cohen_kappa(np.array([[20, 5], [10, 15]])), 6)
    0.4
    """
    total = confusion.sum()
    if not total:
        return math.nan
    seen = np.trace(confusion) / total
    chance = float(confusion.sum(axis=0) @ confusion.sum(axis=1)) / float(total) ** 2
    return math.nan if chance >= 1 else float((seen - chance) / (1 - chance))


def wilson(hits: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share hits / n (Wilson 1927); NaN for n = 0.

    >>> tuple(round(end, 4) for end in wilson(9, 10))
    (0.5958, 0.9821)
    """
    if n == 0:
        return math.nan, math.nan
    share, z2 = hits / n, _Z**2
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n**2)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _grades(rows: Sequence[Answer], attempt: int) -> dict[str, int]:
    return {one.key: one.grade for one in rows if one.attempt == attempt and one.grade is not None}


def _agree(pairs: Sequence[tuple[Any, Any]], size: int) -> Agreement:
    counts = np.zeros((size, size))
    for truth, said in pairs:
        counts[truth, said] += 1
    n = len(pairs)
    low, high = wilson(int(np.trace(counts)), n)
    return Agreement(n, float(accuracy(counts)), low, high, cohen_kappa(counts), float(qwk(counts)) if n else math.nan)


def _mean(between: dict[tuple[str, str], Agreement], name: str) -> float:
    known = [(getattr(one, name), one.n) for one in between.values() if math.isfinite(getattr(one, name))]
    return sum(value * n for value, n in known) / sum(n for _, n in known) if known else math.nan


def _said(figures: Agreement) -> str:
    if not figures.n:
        return "–"
    return f"{figures.share:.0%} of {figures.n} [{figures.low:.0%}, {figures.high:.0%}]"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

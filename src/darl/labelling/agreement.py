"""How far annotators can be trusted: right on gold pairs, true to themselves, and of one mind."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from darl.labelling.answer import CANNOT_TELL, Answer, Answers
from darl.labelling.figures import Agreement, agree, finite


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
        return finite({"annotators": [asdict(one) for one in self.annotators], "between": between, "mean": means})

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
        reports.append(AnnotatorReport(name, len(rows), untold, pace, agree(golden, size), agree(both, size)))
    between = {}
    for a, b in combinations(by_name, 2):
        shared = [(grade, firsts[b][key]) for key, grade in firsts[a].items() if key in firsts[b]]
        if shared:
            between[a, b] = agree(shared, size)
    means = (_mean(between, name) for name in ("share", "kappa", "qwk"))
    return AgreementReport(reports, between, *means)


def _grades(rows: Sequence[Answer], attempt: int) -> dict[str, int]:
    return {one.key: one.grade for one in rows if one.attempt == attempt and one.grade is not None}


def _mean(between: dict[tuple[str, str], Agreement], name: str) -> float:
    known = [(getattr(one, name), one.n) for one in between.values() if math.isfinite(getattr(one, name))]
    return sum(value * n for value, n in known) / sum(n for _, n in known) if known else math.nan


def _said(figures: Agreement) -> str:
    if not figures.n:
        return "–"
    return f"{figures.share:.0%} of {figures.n} [{figures.low:.0%}, {figures.high:.0%}]"


def _number(value: float) -> str:
    return f"{value:.2f}" if math.isfinite(value) else "–"

"""The verdict on each claim of the method, from the rows of the ablation alone.

A claim has parts, each a bar on one figure. A suite's figure is the mean over its backbones, the mean over suites
a plain mean; suites are independent samples, so half-widths of intervals add in squares. A part holds where its figure
clears the bar and, if it claims a gain, its interval lies on the right side of no change. A claim holds where
all its parts hold on the mean and no suite is harmed beyond noise, that is, with an interval wholly on the wrong side.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ablation_rungs import naive

Triple = tuple[float, float, float]
MEAN = "mean"


@dataclass(frozen=True)
class Part:
    """One bar: ``figure`` at least (or, with ``at_most``, at most) ``bar``.

    Attributes:
        text: what it says. metric, tier: which figure. ratio: of ours to theirs; a difference otherwise.
        key: of the headline. sign: −1 turns a gain into a loss.
        gain: the interval must leave out no change (0, or 1 for a ratio).
    """

    text: str
    metric: str
    tier: str
    bar: float
    key: str | None = None
    at_most: bool = False
    ratio: bool = False
    sign: int = 1
    gain: bool = True

    @property
    def neutral(self) -> float:
        return 1.0 if self.ratio else 0.0

    def clears(self, value: Triple) -> bool:
        figure, low, high = value
        reached = figure <= self.bar if self.at_most else figure >= self.bar
        if not self.gain:
            return reached
        return reached and (high < self.neutral if self.at_most else low > self.neutral)

    def harms(self, value: Triple) -> bool:
        """Whether the interval lies wholly on the wrong side of no change."""
        _, low, high = value
        return low > self.neutral if self.at_most else high < self.neutral


@dataclass(frozen=True)
class Claim:
    """``ours`` against ``against`` (``naive``: what everybody does with that backbone).

    Where a suite has several of ``ours``, the first counts.
    """

    name: str
    ours: tuple[str, ...]
    against: str
    parts: tuple[Part, ...]


def _occ(against: str, words: str, *, keys: bool) -> Claim:
    def key(name: str) -> str | None:
        return name if keys else None

    return Claim(
        f"OCC against {words}",
        ("occ",),
        against,
        (
            Part("ECE before calibration, times", "ece", MEAN, 0.5, key("occ_ece_ratio"), at_most=True, ratio=True),
            Part("QWK", "qwk", MEAN, 0.01, key("occ_qwk_gain")),
            Part("macro-F1 not lower", "macro_f1", MEAN, 0.0, key("occ_f1_gain"), gain=False),
            Part("recall of the middle grades", "middle_recall", MEAN, 0.0),
        ),
    )


CLAIMS = (
    _occ("cross_entropy", "cross-entropy", keys=True),
    _occ("verbalizer", "the fine-tuned verbalizer", keys=False),
    Claim(
        "Multi-stage against plain fine-tuning",
        ("matching", "interpolation"),
        "frozen",
        (
            Part("far macro-F1", "macro_f1", "far", 0.01, "stages_far_f1_gain"),
            Part("ID macro-F1 lost", "macro_f1", "id", 0.003, "stages_id_f1_loss", at_most=True, sign=-1, gain=False),
        ),
    ),
    Claim(
        "DASA against random labels",
        ("dasa_labels",),
        "random_labels",
        (Part("far macro-F1", "macro_f1", "far", 0.02, "dasa_far_f1_gain"),),
    ),
    Claim(
        "Full pipeline against the naive LLM",
        ("matched_full", "full"),
        "naive",
        (
            Part("far macro-F1", "macro_f1", "far", 0.08, "full_far_f1_gain"),
            Part("ID macro-F1 not lower", "macro_f1", "id", 0.0, "full_id_f1_gain", gain=False),
            Part("ECE, times", "ece", MEAN, 1 / 3, "full_ece_ratio", at_most=True, ratio=True),
            Part("ID–far gap, times", "gap", "far", 0.5, "full_gap_ratio", at_most=True, ratio=True),
        ),
    ),
)
WITH_LOW = ("occ_qwk_gain", "stages_far_f1_gain", "dasa_far_f1_gain", "full_far_f1_gain")


@dataclass(frozen=True)
class Finding:
    """What came out of one part: the mean over suites, and each suite."""

    claim: Claim
    part: Part
    mean: Triple
    suites: dict[str, Triple]

    @property
    def harmed(self) -> list[str]:
        return [suite for suite, value in self.suites.items() if self.part.harms(value)]

    @property
    def holds(self) -> bool:
        return self.part.clears(self.mean) and not self.harmed


@dataclass(frozen=True)
class Verdict:
    """All parts of one claim; without any finding it was not measured."""

    claim: Claim
    findings: list[Finding] = field(default_factory=list)

    @property
    def holds(self) -> bool | None:
        if len(self.findings) < len(self.claim.parts):
            return None
        return all(finding.holds for finding in self.findings)


def verdicts(rows: Iterable[dict[str, Any]]) -> list[Verdict]:
    """Each claim in turn, from the comparison rows."""
    pairs = [row for row in rows if row["kind"] == "comparison"]
    out = []
    for claim in CLAIMS:
        findings = []
        for part in claim.parts:
            suites: dict[str, list[Triple]] = {}
            for suite in dict.fromkeys(row["suite"] for row in pairs):
                tried = (_measured(pairs, suite, ours, claim, part) for ours in claim.ours)
                found = next((values for values in tried if values), None)
                if found:
                    suites[suite] = found
            if suites:
                by_suite = {suite: mean_of(values) for suite, values in suites.items()}
                findings.append(Finding(claim, part, mean_of(list(by_suite.values())), by_suite))
        out.append(Verdict(claim, findings))
    return out


def _measured(rows: list[dict[str, Any]], suite: str, ours: str, claim: Claim, part: Part) -> list[Triple]:
    """One part's figures on a suite, a backbone each."""
    found = []
    for row in rows:
        against = naive(row["decoder"]) if claim.against == "naive" else claim.against
        tier = "far" if row["tier"] == "shift" else row["tier"]  # judged on dev there is one shifted set
        if (row["suite"], row["ours"], row["against"], tier) == (suite, ours, against, part.tier):
            value = _value(row, part)
            if value is not None:
                found.append(value)
    return found


def _value(row: dict[str, Any], part: Part) -> Triple | None:
    figure, low, high = row["ratios" if part.ratio else "differences"].get(part.metric, [None] * 3)
    if figure is None or low is None or high is None:
        return None
    return (figure, low, high) if part.sign > 0 else (-figure, -high, -low)


def mean_of(values: list[Triple]) -> Triple:
    """The plain mean; half-widths add in squares.

    >>> mean_of([(0.1, 0.06, 0.14), (0.3, 0.27, 0.33)])
    (0.2, 0.175, 0.225)
    """
    figures = np.array(values)
    mean = figures[:, 0].mean()
    below = np.sqrt(((figures[:, 0] - figures[:, 1]) ** 2).sum()) / len(values)
    above = np.sqrt(((figures[:, 2] - figures[:, 0]) ** 2).sum()) / len(values)
    low, high = mean - below, mean + above
    return round(float(mean), 12), round(float(low), 12), round(float(high), 12)


def headline(rows: Iterable[dict[str, Any]]) -> dict[str, float]:
    """The keys that other tools read; only those that were measured."""
    out: dict[str, float] = {}
    for verdict in verdicts(rows):
        for finding in verdict.findings:
            key = finding.part.key
            if key:
                out[key] = finding.mean[0]
                if key in WITH_LOW:
                    out[f"{key}_low"] = finding.mean[1]
    return out


def lines_of(found: list[Verdict]) -> list[str]:
    """A line a claim, then one a part: figure, interval, bar, suites."""
    lines = []
    for verdict in found:
        said = {True: "holds", False: "does not hold", None: "not measured in full"}[verdict.holds]
        lines.append(f"{verdict.claim.name}: {said}")
        for finding in verdict.findings:
            part = finding.part
            bar = f"{'at most' if part.at_most else 'at least'} {part.bar:.3g}"
            harmed = f"; harmed: {', '.join(finding.harmed)}" if finding.harmed else ""
            suites = ", ".join(f"{suite} {_text(value, part)}" for suite, value in finding.suites.items())
            mark = "yes" if finding.holds else "no"
            lines.append(f"  {mark:<3} {part.text} {_text(finding.mean, part)}, {bar} ({suites}){harmed}")
    return lines


def _text(value: Triple, part: Part) -> str:
    form = "{:.2f}" if part.ratio else "{:+.3f}"
    figure, low, high = (form.format(x) for x in value)
    return f"{figure} [{low}, {high}]"

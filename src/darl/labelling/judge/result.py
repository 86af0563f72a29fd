"""What a job found, for people and as JSON, and its files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from darl.labelling.answer import Answers, export_answers
from darl.labelling.judge.gold import GoldAgreement
from darl.labelling.judge.model import Judge
from darl.labelling.judge.rows import as_answers, labelled_row, unlabelled_row
from darl.labelling.judge.spending import Estimate
from darl.labelling.judge.votes import Judgement
from darl.storage import atomic_write_json, atomic_write_text

Pairs = list[tuple[dict[str, Any], Judgement]]


@dataclass
class Judged:
    """What the judge said.

    Attributes:
        judge: who said it. estimate: what was expected before the start.
        agreement: with the gold labels; None where there were none, or before they were judged.
        gold: the gold pairs with the judgement and the true grade of each.
        pairs: the pairs to label, each with its judgement.
        weight: of the rows, times the confidence; None: rows have no weight.
    """

    judge: Judge
    estimate: Estimate
    agreement: GoldAgreement | None = None
    gold: list[tuple[dict[str, Any], Judgement, int]] = field(default_factory=list)
    pairs: Pairs = field(default_factory=list)
    weight: float | None = None

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The labelled pairs as `darl label merge` writes them: fit for `darl fit`."""
        judge = self.judge
        given = {"model": judge.settings.model, "prompt": judge.prompt.hash, "weight": self.weight}
        scale = judge.prompt.scale
        return [labelled_row(record, one, scale, **given) for record, one in self.pairs if one.grade is not None]

    @property
    def unlabelled(self) -> list[dict[str, Any]]:
        """The pairs without a grade, each with ``judge_problem``."""
        return [unlabelled_row(record, one) for record, one in self.pairs if one.grade is None]

    @property
    def answers(self) -> Answers:
        """All judgements, of the gold pairs too, as those of one annotator among others."""
        every = [*self.gold, *((record, one, None) for record, one in self.pairs)]
        return as_answers(self.judge.prompt.scale, self.judge.settings.model, every)

    def to_dict(self) -> dict[str, Any]:
        """The whole report, fit for JSON: who was asked and how, agreement, every gold pair, counts, cost."""
        judge, names = self.judge, self.judge.prompt.scale.names
        prompt = judge.prompt
        settings = {**asdict(judge.settings), "endpoint": judge.settings.shown}
        told = {
            "hash": prompt.hash,
            "system": prompt.system,
            "examples": len(prompt.examples),
            "show": list(prompt.show),
        }
        found = {"settings": settings, "prompt": told, "form": judge.endpoint.dialect.to_text()}
        found |= {"estimate": self.estimate.to_dict(), "spending": judge.spending.to_dict()}
        found |= {"requests_repeated": judge.endpoint.retried}
        found |= {"agreement": None if self.agreement is None else self.agreement.to_dict()}
        found["gold"] = [
            {
                "query": record["query"],
                "item": record["item"],
                "gold": names[truth],
                "judge": None if one.grade is None else names[one.grade],
                "share": one.share,
                "votes": [names[vote] for vote in one.votes],
                **({"reason": one.reason} if one.reason else {}),
                **({"problem": one.problem} if one.problem else {}),
            }
            for record, one, truth in self.gold
        ]
        counts = Counter(names[one.grade] for _, one in self.pairs if one.grade is not None)
        found["labelled"] = {name: counts.get(name, 0) for name in names}
        return {**found, "unlabelled": _problems(one for _, one in self.pairs)}

    def to_text(self) -> str:
        """The labels, what has none, and the cost, for people."""
        names = self.judge.prompt.scale.names
        counts = Counter(one.grade for _, one in self.pairs)
        lines = []
        if self.pairs:
            lines.append("grades: " + ", ".join(f"{name} {counts.get(grade, 0):,}" for grade, name in enumerate(names)))
        problems = _problems([*(one for _, one in self.pairs), *(one for _, one, _ in self.gold)])
        if problems:
            lines.append("without a grade:")
            lines += [f"  {count:,} × {problem}" for problem, count in list(problems.items())[:5]]
            lines += [f"  … and {len(problems) - 5} more kinds"] if len(problems) > 5 else []
        spent = self.judge.spending
        cost = f", cost {spent.cost:,.4g}" if self.judge.prices.known else ""
        tokens = f"{spent.prompt_tokens:,.0f} tokens sent and {spent.completion_tokens:,.0f} answered"
        lines.append(f"{spent.requests:,} answers, {tokens}{cost}")
        return "\n".join(lines)

    def write(self, out: str | Path | None, *, answers: str | Path | None, unlabelled: str | Path | None) -> None:
        """Writes the labels, and where asked all answers and the pairs without a grade; each whole or not at all."""
        if answers is not None:
            export_answers(self.answers, answers)
        if unlabelled is not None:
            atomic_write_text(unlabelled, _lines(self.unlabelled))
        if out is not None:
            atomic_write_text(out, _lines(self.rows))

    def write_report(self, path: str | Path | None) -> None:
        """Writes :meth:`to_dict`."""
        if path is not None:
            atomic_write_json(path, self.to_dict())


def _problems(found: Iterable[Judgement]) -> dict[str, int]:
    return dict(Counter(one.problem for one in found if one.grade is None).most_common())


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

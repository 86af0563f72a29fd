"""Merging: from what several annotators said to one grade a pair, every conflict named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from darl.errors import EmptySplitError
from darl.grades import GradeScale
from darl.labelling.answer import GRADE, Answer, Answers, iso_time
from darl.labelling.problems import LabellingError
from darl.storage import atomic_write_text

Rule = Literal["majority", "latest", "adjudication"]


@dataclass(frozen=True)
class Conflict:
    """A pair on which annotators differ.

    Attributes:
        votes: each annotator's grade. grade: what the rule decided; None where it leaves the pair out.
    """

    query: str
    item: str
    votes: dict[str, int]
    grade: int | None
    fields: dict[str, Any]


@dataclass(frozen=True)
class Merged:
    """One grade a pair.

    Attributes:
        rows: fit for `darl fit`: the file's columns, ``grade`` by name, and ``labelled_by``, ``labelled_at``,
            ``label_agreement`` (share of the annotators whose grade it is), ``label_notes``.
        conflicts: every pair with differing grades, decided or not.
        cannot_tell: pairs that nobody graded but somebody judged untellable.
    """

    scale: GradeScale
    rows: list[dict[str, Any]]
    conflicts: list[Conflict]
    cannot_tell: int

    @property
    def undecided(self) -> list[Conflict]:
        """The conflicts that the rule could not settle; their pairs are not among the rows."""
        return [one for one in self.conflicts if one.grade is None]

    def to_dict(self) -> dict[str, Any]:
        """The figures and the conflicts, fit for JSON."""
        counts = Counter(row["grade"] for row in self.rows)
        return {
            "pairs": len(self.rows),
            "grades": {name: counts[name] for name in self.scale.names},
            "cannot_tell": self.cannot_tell,
            "undecided": len(self.undecided),
            "conflicts": [_conflict_row(one, self.scale) for one in self.conflicts],
        }

    def to_text(self, show: int = 10) -> str:
        """The figures and the first ``show`` conflicts, for people."""
        facts = self.to_dict()
        lines = ["grades: " + ", ".join(f"{name} {count:,}" for name, count in facts["grades"].items())]
        if self.cannot_tell:
            lines.append(f"nobody could tell: {self.cannot_tell:,} pairs, left out")
        if self.conflicts:
            lines.append(f"conflicts: {len(self.conflicts):,} pairs, {len(self.undecided):,} undecided and left out")
        for one in sorted(self.conflicts, key=lambda one: one.grade is not None)[:show]:
            votes = ", ".join(f"{name}: {self.scale.names[grade]}" for name, grade in one.votes.items())
            decided = "undecided" if one.grade is None else f"→ {self.scale.names[one.grade]}"
            lines.append(f"  {_short(one.query)} / {_short(one.item)}: {votes} {decided}")
        if len(self.conflicts) > show:
            lines.append(f"  … and {len(self.conflicts) - show:,} more (--output json has all)")
        return "\n".join(lines)


def merge_answers(found: Answers, rule: Rule = "majority", *, adjudicators: Sequence[str] = ()) -> Merged:
    """One grade a pair from the annotators' first answers; gold pairs and hidden repeats are for measuring only.

    Args:
        found: the answers of one or several projects. Of two by one annotator on one pair the later one counts.
        rule: ``majority``: the grade most annotators gave; on a tie the pair is left out. ``latest``: the grade
            given last. ``adjudication``: what all agree on, else what an adjudicator said, else left out.
        adjudicators: their names (case does not matter); their word stands against anybody's.

    Raises:
        LabellingError: an unknown rule, or adjudicators with another rule or who gave no answer.
        EmptySplitError: no pair is left.

    >>> votes = [Answer("lamp", "desk lamp", name, "grade", grade) for name, grade in (("a", 1), ("b", 1), ("c", 0))]
    >>> merged = merge_answers(Answers(GradeScale(("bad", "good")), votes))
    >>> merged.rows[0]["grade"], merged.conflicts[0].votes, merged.undecided
    ('good', {'a': 1, 'b': 1, 'c': 0}, [])
    """
    if rule not in get_args(Rule):
        raise LabellingError(f"no such rule: {rule!r}", mend=f"choose from {', '.join(get_args(Rule))}")
    judges = _adjudicators(found, rule, adjudicators)
    graded: dict[str, dict[str, Answer]] = {}
    untellable: set[str] = set()
    for one in found.rows:
        if one.gold is not None or one.attempt != 0:
            continue
        if one.outcome == GRADE:
            votes = graded.setdefault(one.key, {})
            votes.pop(one.annotator, None)  # the later answer stands, and stands last
            votes[one.annotator] = one
        else:
            untellable.add(one.key)
    rows, conflicts = [], []
    for votes in graded.values():
        grade = _decide(list(votes.values()), rule, judges)
        first = next(iter(votes.values()))
        if len({one.grade for one in votes.values()}) > 1:
            said = {name: int(one.grade or 0) for name, one in votes.items()}
            conflicts.append(Conflict(first.query, first.item, said, grade, first.fields))
        if grade is not None:
            rows.append(_row(list(votes.values()), grade, found.scale))
    if not rows:
        raise EmptySplitError("no pair has a grade that the rule settles", where="merge", mend="label some pairs first")
    return Merged(found.scale, rows, conflicts, len(untellable - set(graded)))


def write_merged(merged: Merged, path: str | Path, conflicts: str | Path | None = None) -> None:
    """Writes the rows as JSON lines, and where asked the undecided conflicts as pairs to label once more."""
    atomic_write_text(path, _lines(merged.rows))
    if conflicts is not None:
        atomic_write_text(conflicts, _lines([_conflict_row(one, merged.scale) for one in merged.undecided]))


def _adjudicators(found: Answers, rule: Rule, names: Sequence[str]) -> set[str]:
    wanted = {name.strip().casefold() for name in names}
    there = {one.annotator.casefold() for one in found.rows}
    if wanted and rule != "adjudication":
        raise LabellingError(f"the rule {rule} has no adjudicators", mend="say --rule adjudication, or leave them out")
    if wanted - there:
        raise LabellingError(
            f"{', '.join(sorted(wanted - there))} gave no answer",
            where="adjudicators",
            mend=f"choose from {', '.join(sorted({one.annotator for one in found.rows}))}",
        )
    return wanted


def _decide(votes: list[Answer], rule: Rule, judges: set[str]) -> int | None:
    if rule == "latest":
        return max(votes, key=lambda one: one.created).grade
    if rule == "adjudication":
        votes = [one for one in votes if one.annotator.casefold() in judges] or votes
        return votes[0].grade if len({one.grade for one in votes}) == 1 else None
    ranked = Counter(one.grade for one in votes).most_common(2)
    return None if len(ranked) > 1 and ranked[0][1] == ranked[1][1] else ranked[0][0]


def _row(votes: list[Answer], grade: int, scale: GradeScale) -> dict[str, Any]:
    notes = [f"{one.annotator}: {one.note}" for one in votes if one.note]
    row = {
        **votes[0].fields,
        "query": votes[0].query,
        "item": votes[0].item,
        "grade": scale.names[grade],
        "labelled_by": ", ".join(one.annotator for one in votes),
        "labelled_at": iso_time(max(one.created for one in votes)),
        "label_agreement": sum(one.grade == grade for one in votes) / len(votes),
    }
    return {**row, "label_notes": "\n".join(notes)} if notes else row


def _conflict_row(one: Conflict, scale: GradeScale) -> dict[str, Any]:
    votes = {name: scale.names[grade] for name, grade in one.votes.items()}
    decided = None if one.grade is None else scale.names[one.grade]
    return {**one.fields, "query": one.query, "item": one.item, "votes": votes, "decided": decided}


def _short(text: str, limit: int = 50) -> str:
    text = " ".join(text.split())
    return f"“{text if len(text) <= limit else text[: limit - 1] + '…'}”"


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

"""One answer: what an annotator, a person or a model, said of a pair; and its line of JSON in an exported file."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darl.grades import GradeScale
from darl.pairs.schema import PROVENANCE
from darl.storage import atomic_write_text

GRADE, CANNOT_TELL, SKIP = "grade", "cannot_tell", "skip"
OUTCOMES = (GRADE, CANNOT_TELL, SKIP)


def pair_key(query: str, item: str) -> str:
    """What makes two pairs one: the SHA-256 of their exact texts, as hex.

    >>> pair_key("a", "bc") == pair_key("ab", "c")
    False
    """
    return hashlib.sha256(json.dumps([query, item]).encode()).hexdigest()


def other_columns(record: dict[str, Any]) -> dict[str, Any]:
    """The other columns of a pair as JSON holds them. A grade is left out: it has to come from the annotators.

    >>> other_columns({"query": "lamp", "item": "desk lamp", "grade": 2, "brand": "x", "row": 1, "file": "a"})
    {'brand': 'x'}
    """
    left_out = ("query", "item", "grade", *PROVENANCE)
    given = {name: value for name, value in record.items() if value is not None and name not in left_out}
    # JSON knows no NaN, and PostgreSQL refuses it
    numbers = {name: None for name, value in given.items() if isinstance(value, float) and not math.isfinite(value)}
    return json.loads(json.dumps({**given, **numbers}, default=str))


@dataclass(frozen=True)
class Answer:
    """What one annotator said of one pair.

    Attributes:
        attempt: 0 for the label, 1 for the hidden repeat of it.
        outcome: ``grade`` or ``cannot_tell``.
        grade, gold: 0 … K−1; None where there is none.
        seconds: how long the pair was looked at. created: seconds since 1970.
        fields: the other columns of the pair's file.
    """

    query: str
    item: str
    annotator: str
    outcome: str
    grade: int | None
    attempt: int = 0
    gold: int | None = None
    note: str = ""
    seconds: float | None = None
    created: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What makes two pairs one."""
        return pair_key(self.query, self.item)


@dataclass(frozen=True)
class Answers:
    """Answers on one scale, in the order in which they were given."""

    scale: GradeScale
    rows: list[Answer]

    def __len__(self) -> int:
        return len(self.rows)


def export_answers(found: Answers, path: str | Path) -> None:
    """Writes one JSON line an answer, whole or not at all; :func:`read_answers` reads it back."""
    atomic_write_text(
        path, "".join(json.dumps(_line(one, found.scale), ensure_ascii=False) + "\n" for one in found.rows)
    )


def parsed_answer(data: dict[str, Any], scale: GradeScale) -> Answer:
    """The answer of an exported line; the inverse of what :func:`export_answers` writes.

    Raises:
        ValueError, KeyError, TypeError, GradeError: it is none.
    """
    outcome, grade, gold = data["outcome"], data.get("grade"), data.get("gold")
    if outcome not in OUTCOMES or (outcome == GRADE) != (grade is not None):
        raise ValueError(f"the outcome {outcome!r} with the grade {grade!r}")
    return Answer(
        str(data["query"]),
        str(data["item"]),
        str(data["annotator"]),
        outcome,
        None if grade is None else scale.parse(grade),
        int(data.get("attempt", 0)),
        None if gold is None else scale.parse(gold),
        str(data.get("note", "")),
        data.get("seconds"),
        datetime.fromisoformat(data["created"]).timestamp(),
        dict(data.get("fields", {})),
    )


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC.

    >>> iso_time(0.5)
    '1970-01-01T00:00:00.500000+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def _line(one: Answer, scale: GradeScale) -> dict[str, Any]:
    given = {
        "query": one.query,
        "item": one.item,
        "annotator": one.annotator,
        "outcome": one.outcome,
        "grade": None if one.grade is None else scale.names[one.grade],
        "attempt": one.attempt,
        "gold": None if one.gold is None else scale.names[one.gold],
        "note": one.note or None,
        "seconds": one.seconds,
        "created": iso_time(one.created),
        "fields": one.fields or None,
        "scale": list(scale.names),
    }
    return {name: value for name, value in given.items() if value is not None}

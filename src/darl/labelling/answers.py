"""Answers outside the database: read from projects and exported files, written as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from darl.errors import GradeError
from darl.grades import GradeScale
from darl.labelling.database import Database, is_url
from darl.labelling.problems import LabellingError
from darl.labelling.project import pair_key, read_project
from darl.labelling.tables import GRADE, OUTCOMES, SKIP, annotators, answers, pairs, sa
from darl.storage import atomic_write_text, storage_errors


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


def read_answers(sources: str | Path | Sequence[str | Path]) -> Answers:
    """The answers that stand, skips left out, of databases (files or URLs) and files that :func:`export_answers` wrote.

    Raises:
        LabellingError: a source is neither, its grades are not those of the first, or a line cannot be read.
        StorageError: a file is missing.
    """
    several = [sources] if isinstance(sources, (str, Path)) else list(sources)
    scale, rows = None, []
    for source in several:
        found, more = _of_file(Path(source)) if _is_export(source) else _of_database(source)
        if found is not None and scale is not None and found.names != scale.names:
            raise LabellingError(
                f"the grades are {', '.join(found.names)}, those before are {', '.join(scale.names)}",
                where=source,
                mend="merge projects of one scale",
            )
        scale = scale or found
        rows += more
    if scale is None:
        raise LabellingError("there is no answer yet", where=", ".join(str(one) for one in several))
    return Answers(scale, sorted(rows, key=lambda one: one.created))


def export_answers(found: Answers, path: str | Path) -> None:
    """Writes one JSON line an answer, whole or not at all; :func:`read_answers` reads it back."""
    atomic_write_text(
        path, "".join(json.dumps(_line(one, found.scale), ensure_ascii=False) + "\n" for one in found.rows)
    )


def _is_export(source: str | Path) -> bool:
    return not is_url(source) and Path(source).suffix in (".jsonl", ".json", ".ndjson")


def _of_database(source: str | Path) -> tuple[GradeScale, list[Answer]]:
    database = Database(source)
    try:
        project = read_project(database)
        with database.reading() as connection:
            found = connection.execute(
                sa.select(answers, pairs.c.query, pairs.c.item, pairs.c.fields, pairs.c.gold, annotators.c.name)
                .join(pairs, pairs.c.id == answers.c.pair_id)
                .join(annotators, annotators.c.id == answers.c.annotator_id)
                .where(answers.c.undone.is_(None), answers.c.outcome != SKIP)
                .order_by(answers.c.id)
            ).all()
    finally:
        database.close()
    return project.scale, [
        Answer(
            one.query,
            one.item,
            one.name,
            one.outcome,
            one.grade,
            one.attempt,
            one.gold,
            one.note,
            one.seconds,
            one.created,
            one.fields,
        )
        for one in found
    ]


def _of_file(path: Path) -> tuple[GradeScale | None, list[Answer]]:
    scale, rows = None, []
    with storage_errors(path):
        lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            scale = scale or GradeScale(tuple(data["scale"]))
            rows.append(_parsed(data, scale))
        except (ValueError, KeyError, TypeError, GradeError) as error:
            raise LabellingError(
                f"this line is no exported answer ({error})",
                where=f"{path}:{number}",
                mend="give a file that `darl label export` wrote, or the database itself",
            ) from error
    return scale, rows


def _parsed(data: dict[str, Any], scale: GradeScale) -> Answer:
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


def iso_time(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC.

    >>> iso_time(0.5)
    '1970-01-01T00:00:00.500000+00:00'
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat()

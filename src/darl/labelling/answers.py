"""Reading answers: from the databases of projects, and from files that `darl label export` wrote."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from darl.errors import GradeError
from darl.grades import GradeScale
from darl.labelling.answer import SKIP, Answer, Answers, parsed_answer
from darl.labelling.database import Database, is_url
from darl.labelling.problems import LabellingError
from darl.labelling.project import read_project
from darl.labelling.tables import annotators, answers, pairs, sa
from darl.pairs.formats import open_lines


def read_answers(sources: str | Path | Sequence[str | Path]) -> Answers:
    """The answers that stand, skips left out, of databases (files or URLs) and files that :func:`export_answers` wrote.

    Raises:
        LabellingError: a source is neither, its grades are not those of the first, or a line cannot be read.
        DataError: a file is no UTF-8 text. StorageError: it is missing.
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


def _is_export(source: str | Path) -> bool:
    return not is_url(source) and Path(source).suffix.lower() in (".jsonl", ".json", ".ndjson")


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
    for number, line in open_lines(path):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            scale = scale or GradeScale(tuple(data["scale"]))
            rows.append(parsed_answer(data, scale))
        except (ValueError, KeyError, TypeError, GradeError) as error:
            raise LabellingError(
                f"this line is no exported answer ({error})",
                where=f"{path}:{number}",
                mend="give a file that `darl label export` wrote, or the database itself",
            ) from error
    return scale, rows

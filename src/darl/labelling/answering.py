"""What an annotator does: come in, answer, take an answer back. Each is on the disk when the call returns."""

from __future__ import annotations

import unicodedata

from darl.errors import GradeError
from darl.labelling.answer import GRADE, OUTCOMES
from darl.labelling.problems import LabellingError, LeaseGoneError
from darl.labelling.project import Project
from darl.labelling.queue import Task, lease
from darl.labelling.tables import annotators, answers, leases, sa
from darl.pairs import clean_text

LONGEST_NAME = 60
LONGEST_NOTE = 5_000
_LONGEST_LOOK = 3_600.0  # seconds; a page left open overnight says nothing about how long a pair takes


def enter(project: Project, name: str) -> int:
    """The number of the annotator of this name, who is made where there is none; case does not matter.

    Raises:
        LabellingError: the name is empty or longer than 60 characters.
    """
    name = " ".join(unicodedata.normalize("NFC", clean_text(name)).split())
    if not 0 < len(name) <= LONGEST_NAME:
        raise LabellingError(f"a name has 1 to {LONGEST_NAME} characters", where="annotator", mend="give a short name")
    key = name.casefold()
    known = sa.select(annotators.c.id).where(annotators.c.key == key)
    with project.database.reading() as connection:  # as almost always: nobody has to wait
        found = connection.execute(known).scalar()
    if found is not None:
        return found
    with project.database.writing() as connection:
        found = connection.execute(known).scalar()
        if found is not None:
            return found
        values = {"key": key, "name": name, "created": project.now()}
        return connection.execute(sa.insert(annotators).values(**values).returning(annotators.c.id)).scalar_one()


def record(
    project: Project,
    annotator: int,
    token: str,
    outcome: str,
    *,
    grade: int | None = None,
    note: str = "",
    seconds: float | None = None,
) -> None:
    """Writes an answer. The same answer twice is one answer, so a page may send again until it hears back.

    An answer that comes after its lease ran out counts too: no answer is lost.

    Args:
        token: the task's. outcome: ``grade``, ``cannot_tell`` or ``skip``.
        grade: 0 … K−1, with the outcome ``grade`` only.
        seconds: how long the pair was looked at.

    Raises:
        GradeError: the grade is off the scale, or does not go with the outcome.
        LeaseGoneError: the token is unknown, another annotator's, or has another answer already.
        LabellingError: an unknown outcome, or a note longer than 5,000 characters.
    """
    if outcome not in OUTCOMES:
        raise LabellingError(f"no such outcome: {outcome!r}", mend=f"choose from {', '.join(OUTCOMES)}")
    if (outcome == GRADE) != (grade is not None):
        raise GradeError("a grade goes with the outcome 'grade', and with no other")
    if grade is not None and not 0 <= grade < project.scale.size:
        raise GradeError(f"grade {grade} is not on the scale", mend=f"use 0 … {project.scale.size - 1}")
    note = clean_text(note).strip()
    if len(note) > LONGEST_NOTE:
        raise LabellingError(f"the note has {len(note):,} characters", mend=f"keep it under {LONGEST_NOTE:,}")
    with project.database.writing() as connection:
        sent = connection.execute(sa.select(answers).where(answers.c.token == token)).first()
        if sent is not None:
            if (sent.annotator_id, sent.outcome, sent.grade, sent.undone) == (annotator, outcome, grade, None):
                return
            raise LeaseGoneError("this pair was answered elsewhere", mend="go on with the next one")
        held = connection.execute(
            sa.select(leases).where(leases.c.token == token, leases.c.annotator_id == annotator)
        ).first()
        if held is None:
            raise LeaseGoneError("this pair is not with you any more", mend="go on with the next one")
        connection.execute(
            sa.insert(answers).values(
                token=token,
                pair_id=held.pair_id,
                annotator_id=annotator,
                attempt=held.attempt,
                outcome=outcome,
                grade=grade,
                note=note,
                seconds=None if seconds is None else min(max(seconds, 0.0), _LONGEST_LOOK),
                created=round(project.now(), 6),  # what ISO times in exports can hold
            )
        )
        connection.execute(sa.delete(leases).where(leases.c.token == token))


def undo(project: Project, annotator: int) -> Task | None:
    """Takes the annotator's last answer (or skip) back and hands them its pair again; None where there is none."""
    with project.database.writing() as connection:
        last = connection.execute(
            sa.select(answers)
            .where(answers.c.annotator_id == annotator, answers.c.undone.is_(None))
            .order_by(answers.c.id.desc())
            .limit(1)
        ).first()
        if last is None:
            return None
        connection.execute(sa.update(answers).where(answers.c.id == last.id).values(undone=project.now()))
        previous = {"outcome": last.outcome, "grade": last.grade, "note": last.note}
        return lease(connection, project, annotator, last.pair_id, last.attempt, previous)


def can_undo(project: Project, annotator: int) -> bool:
    """Whether the annotator has an answer to take back."""
    with project.database.reading() as connection:
        mine = sa.select(answers.c.id).where(answers.c.annotator_id == annotator, answers.c.undone.is_(None)).limit(1)
        return connection.execute(mine).first() is not None

"""How far the labelling is and how long it will take."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from darl.labelling.answer import GRADE, SKIP
from darl.labelling.project import Project
from darl.labelling.tables import annotators, answers, pairs, sa

_RECENT = 50  # answers that the time a pair is measured on
_ACTIVE = 600.0  # seconds within which an annotator counts as at work


@dataclass(frozen=True)
class Progress:
    """Where a project stands.

    Attributes:
        done: answers given, hidden checks among them: a figure that stood still would give a check away.
        total: answers expected in all.
        mine: the annotator's own answers.
        open: grades that pairs to label still want.
        seconds_left: until all are given, by the annotators now at work; None before the first answer.
    """

    done: int
    total: int
    mine: int
    open: int
    seconds_left: float | None


def progress(project: Project, annotator: int | None = None) -> Progress:
    """The figures now; ``seconds_left`` is open answers × median seconds of the last 50 / annotators at work."""
    counts = sa.and_(answers.c.undone.is_(None), answers.c.outcome != SKIP)
    with project.database.reading() as connection:
        done = connection.execute(sa.select(sa.func.count()).where(counts)).scalar_one()
        mine = 0
        if annotator is not None:
            own = sa.select(sa.func.count()).where(counts, answers.c.annotator_id == annotator)
            mine = connection.execute(own).scalar_one()
        wanted, golden = connection.execute(
            sa.select(
                sa.func.coalesce(sa.func.sum(sa.case((pairs.c.gold.is_(None), pairs.c.wanted), else_=0)), 0),
                sa.func.count(pairs.c.gold),
            )
        ).one()
        people = connection.execute(sa.select(sa.func.count(annotators.c.id))).scalar_one()
        given = _given(connection)
        recent = connection.execute(
            sa.select(answers.c.seconds, answers.c.annotator_id, answers.c.created)
            .where(counts, answers.c.seconds.is_not(None))
            .order_by(answers.c.id.desc())
            .limit(_RECENT)
        ).all()
    still = max(0, int(wanted) - given)
    expected = _expected(project, int(wanted), golden * max(1, people))
    ahead = max(still, expected - done) if still else 0
    seconds = None
    if recent:
        at_work = {one.annotator_id for one in recent if one.created > project.now() - _ACTIVE}
        seconds = ahead * statistics.median(one.seconds for one in recent) / max(1, len(at_work))
    return Progress(done, done + ahead, mine, still, seconds)


def _expected(project: Project, wanted: int, gold_at_most: int) -> int:
    """Answers in all: those that pairs want, and the hidden checks between them."""
    settings = project.settings
    all_of_them = wanted / (1 - settings.gold_share - settings.repeat_share)
    return wanted + round(min(settings.gold_share * all_of_them, gold_at_most) + settings.repeat_share * all_of_them)


def _given(connection: sa.Connection) -> int:
    """Grades that pairs to label have, none counted beyond what its pair wants."""
    per_pair = (
        sa.select(sa.func.count().label("grades"), pairs.c.wanted.label("wanted"))
        .join(pairs, pairs.c.id == answers.c.pair_id)
        .where(answers.c.undone.is_(None), answers.c.outcome == GRADE, answers.c.attempt == 0, pairs.c.gold.is_(None))
        .group_by(answers.c.pair_id, pairs.c.wanted)
        .subquery()
    )
    useful = sa.case((per_pair.c.grades > per_pair.c.wanted, per_pair.c.wanted), else_=per_pair.c.grades)
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.sum(useful), 0))).scalar_one())

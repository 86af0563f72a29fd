"""Which pair an annotator sees next: leased to them alone, with hidden gold pairs and repeats among them."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from darl.labelling.answer import GRADE, SKIP
from darl.labelling.project import Project
from darl.labelling.schedule import draw, due
from darl.labelling.tables import answers, leases, pairs, sa


@dataclass(frozen=True)
class Task:
    """A pair on the page. Nothing in it tells a gold pair or a repeat from the others.

    Attributes:
        token: names the lease; the answer brings it back.
        query, item: the texts. fields: further columns to show.
        skipped: whether the annotator skipped it before.
        previous: the answer just taken back, with ``outcome``, ``grade`` and ``note``, or None.
    """

    token: str
    query: str
    item: str
    fields: dict[str, str]
    skipped: bool
    previous: dict[str, Any] | None


def next_task(project: Project, annotator: int) -> Task | None:
    """The pair that the annotator holds, or a new one leased to them; None where nothing is left for them.

    An ordinary pair is leased to at most as many annotators as still have to grade it. Ordinary pairs come in
    the file's order, those the annotator skipped at the end.
    """
    with project.database.writing() as connection:
        held = connection.execute(sa.select(leases).where(leases.c.annotator_id == annotator)).first()
        now = project.now()
        if held is not None and held.expires > now:
            _prolong(connection, held.token, now + project.settings.lease_seconds)
            return _task(connection, project, held)
        connection.execute(sa.delete(leases).where(leases.c.annotator_id == annotator))
        chosen = _choose(connection, project, annotator, now)
        return None if chosen is None else lease(connection, project, annotator, *chosen)


def lease(
    connection: sa.Connection,
    project: Project,
    annotator: int,
    pair: int,
    attempt: int,
    previous: dict[str, Any] | None = None,
) -> Task:
    """Hands a pair to an annotator in place of the one they hold."""
    connection.execute(sa.delete(leases).where(leases.c.annotator_id == annotator))
    values = {
        "token": secrets.token_hex(16),
        "annotator_id": annotator,
        "pair_id": pair,
        "attempt": attempt,
        "expires": project.now() + project.settings.lease_seconds,
        "previous": previous if previous is not None else sa.null(),
    }
    connection.execute(sa.insert(leases).values(**values))
    held = connection.execute(sa.select(leases).where(leases.c.token == values["token"])).one()
    return _task(connection, project, held)


def renew(project: Project, annotator: int, token: str) -> bool:
    """Keeps a pair for the annotator for another lease; False when it is not theirs any more."""
    with project.database.writing() as connection:
        mine = sa.and_(leases.c.token == token, leases.c.annotator_id == annotator)
        held = connection.execute(sa.select(leases).where(mine)).first()
        if held is None:
            return False
        _prolong(connection, token, project.now() + project.settings.lease_seconds)
        return True


def _prolong(connection: sa.Connection, token: str, expires: float) -> None:
    connection.execute(sa.update(leases).where(leases.c.token == token).values(expires=expires))


def _task(connection: sa.Connection, project: Project, held: Any) -> Task:
    pair = connection.execute(sa.select(pairs).where(pairs.c.id == held.pair_id)).one()
    skipped = sa.select(sa.func.count()).where(_mine(held.annotator_id, held.pair_id), answers.c.outcome == SKIP)
    shown = {name: str(pair.fields[name]) for name in project.settings.show if pair.fields.get(name) is not None}
    again = bool(connection.execute(skipped).scalar_one())
    return Task(held.token, pair.query, pair.item, shown, again, held.previous)


def _choose(connection: sa.Connection, project: Project, annotator: int, now: float) -> tuple[int, int] | None:
    """(pair, attempt): a hidden check where one is due and there is one, else an ordinary pair."""
    ordinary = _ordinary(connection, annotator, now)
    if ordinary is None:
        return None  # checks without pairs to label between them would be of no use
    said = connection.execute(
        sa.select(answers.c.id, answers.c.pair_id, answers.c.attempt, answers.c.outcome, pairs.c.gold)
        .join(pairs, pairs.c.id == answers.c.pair_id)
        .where(answers.c.annotator_id == annotator, answers.c.undone.is_(None), answers.c.outcome != SKIP)
        .order_by(answers.c.id)
    ).all()
    settings = project.settings
    golden = sum(one.gold is not None for one in said)
    if due(len(said), settings.gold_share, settings.seed, annotator, "gold") > golden:
        found = _gold(connection, project, annotator, now)
        if found is not None:
            return found, 0
    repeated = {one.pair_id for one in said if one.attempt == 1}
    if due(len(said), settings.repeat_share, settings.seed, annotator, "repeat") > len(repeated):
        old = said[: max(0, len(said) - settings.repeat_gap)]
        first = [one for one in old if one.attempt == 0 and one.gold is None and one.outcome == GRADE]
        open_ones = [one.pair_id for one in first if one.pair_id not in repeated]
        if open_ones:
            return min(open_ones, key=lambda pair: draw(settings.seed, annotator, "repeat", pair)), 1
    return ordinary, 0


def _gold(connection: sa.Connection, project: Project, annotator: int, now: float) -> int | None:
    """A gold pair that the annotator has not judged; rather one that nobody has on the page now."""
    mine = sa.exists().where(_mine(annotator, pairs.c.id))
    found = connection.execute(
        sa.select(pairs.c.id, _leased(annotator, now).label("held")).where(pairs.c.gold.is_not(None), ~mine)
    ).all()
    seed = project.settings.seed
    best = min(found, key=lambda one: (one.held, draw(seed, annotator, "gold", one.id)), default=None)
    return None if best is None else best.id


def _ordinary(connection: sa.Connection, annotator: int, now: float) -> int | None:
    """The first pair in the file's order that still wants this annotator's grade."""
    judged = sa.exists().where(_mine(annotator, pairs.c.id), answers.c.outcome != SKIP)
    skipped = sa.exists().where(_mine(annotator, pairs.c.id), answers.c.outcome == SKIP)
    wanting = sa.select(pairs.c.id).where(
        pairs.c.gold.is_(None), ~judged, _graded(annotator) + _leased(annotator, now) < pairs.c.wanted
    )
    fresh = connection.execute(wanting.where(~skipped).order_by(pairs.c.position).limit(1)).scalar()
    if fresh is not None:
        return fresh
    last_skip = sa.select(sa.func.max(answers.c.id)).where(_mine(annotator, pairs.c.id)).scalar_subquery()
    return connection.execute(wanting.where(skipped).order_by(last_skip).limit(1)).scalar()


def _mine(annotator: int, pair: Any) -> sa.ColumnElement[bool]:
    return sa.and_(answers.c.pair_id == pair, answers.c.annotator_id == annotator, answers.c.undone.is_(None))


def _graded(annotator: int) -> Any:
    """How many others have graded a pair."""
    return (
        sa.select(sa.func.count())
        .where(
            answers.c.pair_id == pairs.c.id,
            answers.c.annotator_id != annotator,
            answers.c.undone.is_(None),
            answers.c.outcome == GRADE,
            answers.c.attempt == 0,
        )
        .scalar_subquery()
    )


def _leased(annotator: int, now: float) -> Any:
    """How many others have a pair on their page now."""
    return (
        sa.select(sa.func.count())
        .where(leases.c.pair_id == pairs.c.id, leases.c.annotator_id != annotator, leases.c.expires > now)
        .scalar_subquery()
    )

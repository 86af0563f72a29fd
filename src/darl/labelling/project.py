"""A labelling project: pairs, hidden gold pairs, the scale and the settings, in one database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darl.errors import GradeError
from darl.grades import GradeScale
from darl.labelling.answer import other_columns, pair_key
from darl.labelling.database import Database
from darl.labelling.files import file_beside
from darl.labelling.problems import LabellingError
from darl.labelling.schedule import draw
from darl.labelling.settings import LabelSettings
from darl.labelling.tables import FORMAT, pairs, project, sa
from darl.pairs import PairTable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Project:
    """An open project.

    Attributes:
        database: where it lies. scale: its grades. settings: how it is labelled.
        now: the clock, in seconds since 1970.
    """

    database: Database
    scale: GradeScale
    settings: LabelSettings
    now: Callable[[], float] = time.time


def open_project(
    database: Database,
    table: PairTable | None = None,
    *,
    scale: GradeScale | None = None,
    gold: PairTable | None = None,
    settings: Mapping[str, Any] | None = None,
    now: Callable[[], float] = time.time,
) -> Project:
    """Begins a project, or goes on with the one in the database; pairs that it does not hold yet are added.

    Args:
        table: the pairs to label, in the order in which they shall come; a grade they have is not looked at.
        scale: the grades; needed to begin, and the same as the project's to go on.
        gold: pairs with known grades, to be mixed in unseen. A pair of both tables is gold.
        settings: those of :class:`LabelSettings` that shall change; for the pairs that are there too.
        now: the clock.

    Raises:
        LabellingError: no scale to begin with, another scale than the project's, a setting out of range, or a
            column to show that the pairs do not have.
        GradeError: a gold grade off the scale.
    """
    with database.writing() as connection:
        row = connection.execute(sa.select(project)).first()
        if row is None:
            if scale is None or table is None:
                missing = "grades are" if scale is None else "pairs are"
                mend = (
                    "give --grades irrelevant,weak,strong, or a recipe or a model" if scale is None else "name a file"
                )
                raise LabellingError(f"no {missing} given to begin with", where=database.name, mend=mend)
            chosen = LabelSettings().changed(**(settings or {}))
            values = {"id": 1, "format": FORMAT, "scale": scale.to_dict(), "settings": chosen.to_dict()}
            connection.execute(sa.insert(project).values(**values, created=now()))
        else:
            _check(database, row, scale)
            scale = GradeScale.from_dict(row.scale)
            before = LabelSettings.from_dict(row.settings)
            chosen = before.changed(**(settings or {}))
            connection.execute(sa.update(project).values(settings=chosen.to_dict()))
            if (chosen.labels_per_pair, chosen.overlap) != (before.labels_per_pair, before.overlap):
                _want_anew(connection, chosen)
        _check_shown(table, chosen)
        _add(connection, table, gold, scale, chosen)
    return Project(database, scale, chosen, now)


def read_project(database: Database) -> Project:
    """The project in a database, as it is.

    Raises:
        LabellingError: it holds none, or one of another version.
    """
    with database.reading() as connection:
        row = connection.execute(sa.select(project)).first()
    if row is None:
        raise LabellingError("the database holds no project", where=database.name, mend="begin one: darl label FILE")
    _check(database, row, None)
    return Project(database, GradeScale.from_dict(row.scale), LabelSettings.from_dict(row.settings))


def default_file(pairs_file: str | Path) -> Path:
    """Where a project lies when nobody says: beside the pairs.

    >>> str(default_file("work/picked.jsonl.gz"))
    'work/picked.labels.sqlite'
    """
    return file_beside(pairs_file, "labels.sqlite")


def _check(database: Database, row: Any, scale: GradeScale | None) -> None:
    if row.format != FORMAT:
        raise LabellingError(f"the project is of format {row.format}, this darl reads {FORMAT}", where=database.name)
    held = GradeScale.from_dict(row.scale)
    if scale is not None and scale.names != held.names:
        raise LabellingError(
            f"the project's grades are {', '.join(held.names)}, not {', '.join(scale.names)}",
            where=database.name,
            mend="leave the grades out, or begin another project with --db",
        )


def _check_shown(table: PairTable | None, settings: LabelSettings) -> None:
    for name in settings.show if table is not None else ():
        if table is not None and not table.has(name):
            raise LabellingError(
                f"there is no column {name!r} to show", mend=f"choose from {', '.join(table.column_names)}"
            )


def _add(
    connection: sa.Connection, table: PairTable | None, gold: PairTable | None, scale: GradeScale, chosen: LabelSettings
) -> None:
    known: dict[str, int | None] = {
        one.key: one.gold for one in connection.execute(sa.select(pairs.c.key, pairs.c.gold))
    }
    position = connection.execute(sa.select(sa.func.coalesce(sa.func.max(pairs.c.position), 0))).scalar_one()
    rows: dict[str, dict[str, Any]] = {}
    for part, grades in ((gold, None if gold is None else _gold_grades(gold, scale)), (table, None)):
        for index, record in enumerate(part.arrow.to_pylist() if part is not None else ()):
            key = pair_key(record["query"], record["item"])
            if key in known or key in rows:
                continue
            rows[key] = {
                "key": key,
                "position": position + len(rows) + 1,
                "query": record["query"],
                "item": record["item"],
                "fields": other_columns(record),
                "gold": None if grades is None else grades[index],
                "wanted": _wanted(chosen, key),
            }
    golden_keys = set() if gold is None else _keys(gold)
    turned = sum(golden is None for key, golden in known.items() if key in golden_keys)
    if turned:
        log.warning("%s gold pairs are pairs to label in this project already and stay so", f"{turned:,}")
    if rows:
        connection.execute(sa.insert(pairs), list(rows.values()))
        golden = sum(row["gold"] is not None for row in rows.values())
        log.info("added %s pairs to label and %s gold pairs", f"{len(rows) - golden:,}", f"{golden:,}")


def _wanted(chosen: LabelSettings, key: str) -> int:
    """How many annotators shall grade a pair; by its own draw, so that a larger overlap takes in a smaller one."""
    return chosen.labels_per_pair + (1 if draw(chosen.seed, "overlap", key) < chosen.overlap else 0)


def _want_anew(connection: sa.Connection, chosen: LabelSettings) -> None:
    """The pairs that are there by the new settings. Answers stay: a pair that has more than it wants comes no more."""
    rows = connection.execute(sa.select(pairs.c.id, pairs.c.key, pairs.c.wanted).where(pairs.c.gold.is_(None))).all()
    new = [{"pair": one.id, "number": _wanted(chosen, one.key)} for one in rows]
    changed = [row for row, one in zip(new, rows, strict=True) if row["number"] != one.wanted]
    if changed:
        which = sa.update(pairs).where(pairs.c.id == sa.bindparam("pair")).values(wanted=sa.bindparam("number"))
        connection.execute(which, changed)
        log.info("%s pairs want another number of annotators now", f"{len(changed):,}")


def _keys(table: PairTable) -> set[str]:
    return {pair_key(query, item) for query, item in zip(table.queries, table.items, strict=True)}


def _gold_grades(gold: PairTable, scale: GradeScale) -> list[int]:
    for row, grade in enumerate(gold.grades):
        if not 0 <= grade < scale.size:
            raise GradeError(
                f"gold grade {grade} is not on the scale", where=gold.place(row), mend=f"use 0 … {scale.size - 1}"
            )
    return gold.grades.tolist()

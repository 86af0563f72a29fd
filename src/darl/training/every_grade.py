"""Every grade in train and in dev_id: a random cut may leave one of them without a rare grade."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from darl.grades import GradeScale
from darl.pairs import PairTable

log = logging.getLogger(__name__)


def with_every_grade(parts: Mapping[str, PairTable], scale: GradeScale) -> dict[str, PairTable]:
    """The parts of a cut, by query; what lacks a grade is given a query that has it, where another part can spare one.

    A grade of one pair in a hundred is likely to miss a dev_id of some queries, and no rule can be chosen for a grade
    that dev lacks. A query is spared by a part that keeps every grade it has, or by the test. Of those that can be
    spared the one with the fewest pairs is moved, so that the shares stay what they were. A cut that lacks nothing is
    left as it is.

    Args:
        parts: ``train``, ``dev_id`` and perhaps ``test_id``, every pair with a grade.

    >>> train = PairTable.from_pairs(["a", "b", "c"], ["1", "2", "3"], grade=[0, 1, 1])
    >>> dev = PairTable.from_pairs(["d"], ["4"], grade=[0])
    >>> cut = with_every_grade({"train": train, "dev_id": dev}, GradeScale(("no", "yes")))
    >>> cut["train"].queries, cut["dev_id"].queries
    (['a', 'c'], ['d', 'b'])
    """
    parts = dict(parts)
    for to, others in (("dev_id", ("train", "test_id")), ("train", ("dev_id", "test_id"))):
        for grade in range(scale.size):
            if _queries_by_grade(parts[to], scale)[:, grade].any():
                continue
            for other in others:
                name = _to_spare(parts[other], grade, scale, all_of_it=other == "test_id") if other in parts else None
                if name is not None:
                    parts[to], parts[other] = _moved(name, parts[other], parts[to])
                    log.info("no pair of %s had the grade %s: a query of %s goes there", to, scale.names[grade], other)
                    break
    return parts


def _queries_by_grade(table: PairTable, scale: GradeScale) -> np.ndarray:
    """Which queries have a pair of which grade, bool (queries, K)."""
    found = np.zeros((len(table.query_names()), scale.size), dtype=bool)
    found[table.query_groups(), table.grades] = True
    return found


def _to_spare(table: PairTable, grade: int, scale: GradeScale, *, all_of_it: bool) -> str | None:
    """A query with the grade that the table can be without; ``all_of_it``: whatever grade it then lacks."""
    has, names = _queries_by_grade(table, scale), table.query_names()
    single = has & (has.sum(axis=0) == 1)
    can = has[:, grade] & (all_of_it | ~single.any(axis=1))
    if len(names) < 2 or not can.any():
        return None
    pairs = np.bincount(table.query_groups())
    return min((int(pairs[at]), names[at]) for at in np.flatnonzero(can))[1]


def _moved(query: str, source: PairTable, target: PairTable) -> tuple[PairTable, PairTable]:
    """The target with the query's pairs, and the source without them."""
    its = source.query_groups() == source.query_names().index(query)
    return target.concat(source.where(its)), source.where(~its)

"""Guards: what must not be picked, however far out it is. Each gives a mask and its reason in words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from darl.pairs import PairTable, normalise_query
from darl.pairs.leaks import find_leaks
from darl.pairs.schema import codes


@dataclass(frozen=True)
class Verdict:
    """What a guard says of n pool pairs.

    Attributes:
        mask: the pairs that must not be picked, bool (n,).
        reason: why, one sentence for all of them.
        details: counts that say more, such as pairs by evaluation table; they may overlap.
    """

    mask: np.ndarray
    reason: str
    details: dict[str, int] = field(default_factory=dict)


class Guard(ABC):
    """Looks at texts alone; never at scores, and never at grades."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, pool: PairTable) -> Verdict:
        """The verdict on n pool pairs."""


def run_guards(guards: Sequence[Guard], pool: PairTable) -> tuple[np.ndarray, dict[str, dict]]:
    """Runs every guard on the whole pool.

    Returns:
        Which pairs every guard lets through, bool (n,); and by guard ``dropped``, ``reason`` and ``details``.
        A pair that several guards refuse counts as dropped by the first of them, so the counts add up.
    """
    passed, report = np.ones(len(pool), dtype=bool), {}
    for guard in guards:
        verdict = guard.check(pool)
        report[guard.name] = {
            "dropped": int((passed & verdict.mask).sum()),
            "reason": verdict.reason,
            "details": verdict.details,
        }
        passed &= ~verdict.mask
    return passed, report


class LeakGuard(Guard):
    """Refuses every pair whose query, by its normalised text, stands in an evaluation table.

    >>> guard = LeakGuard({"test": PairTable.from_pairs(["Desk  LAMP"], ["x"])})
    >>> guard.check(PairTable.from_pairs(["desk lamp", "hose"], ["a", "b"])).mask.tolist()
    [True, False]
    """

    name = "leak"

    def __init__(self, evaluations: Mapping[str, PairTable] | None) -> None:
        self.evaluations = dict(evaluations or {})

    def check(self, pool: PairTable) -> Verdict:
        leaks = find_leaks(pool, self.evaluations).leaks
        mask = np.zeros(len(pool), dtype=bool)
        for leak in leaks.values():
            mask |= leak.train_mask
        details = {name: int(leak.train_mask.sum()) for name, leak in leaks.items()}
        return Verdict(mask, "the query stands in an evaluation table", details)


class LabelledGuard(Guard):
    """Refuses every pair that is labelled: the same normalised query and item in one of the tables.

    Args:
        tables: labelled pairs by name, None where there is none.
    """

    name = "labelled"

    def __init__(self, **tables: PairTable | None) -> None:
        self.tables = {name: table for name, table in tables.items() if table is not None}

    def check(self, pool: PairTable) -> Verdict:
        ours, *theirs = pair_codes(pool, *self.tables.values())
        mask, details = np.zeros(len(pool), dtype=bool), {}
        for name, labelled in zip(self.tables, theirs, strict=True):
            found = np.isin(ours, labelled)
            mask, details[name] = mask | found, int(found.sum())
        return Verdict(mask, "the pair is labelled already", details)


class DuplicateGuard(Guard):
    """Refuses every pair that repeats an earlier pair of the pool: the same normalised query and item.

    >>> DuplicateGuard().check(PairTable.from_pairs(["a", "A "], ["lamp", "Lamp"])).mask.tolist()
    [False, True]
    """

    name = "duplicate"

    def check(self, pool: PairTable) -> Verdict:
        mask = np.ones(len(pool), dtype=bool)
        mask[np.unique(pair_codes(pool)[0], return_index=True)[1]] = False
        return Verdict(mask, "the pair stands in the pool before")


def pair_codes(*tables: PairTable) -> list[np.ndarray]:
    """Numbers that name a pair by its normalised query and item, the same in all the tables.

    Returns:
        int64 (n,) for each table of n pairs; equal numbers, equal pairs.
    """
    seen: dict[str, int] = {}  # one vocabulary for queries and items
    result = []
    for table in tables:
        queries = np.array([seen.setdefault(text, len(seen)) for text in table.query_names()], dtype=np.int64)
        raw, texts = codes(table.arrow.column("item"))
        items = np.array([seen.setdefault(normalise_query(text), len(seen)) for text in texts], dtype=np.int64)
        result.append((queries[table.query_groups()] << 32) | items[raw])
    return result


def item_groups(table: PairTable) -> np.ndarray:
    """The normalised item text of each pair as a number, (n,)."""
    raw, texts = codes(table.arrow.column("item"))
    seen: dict[str, int] = {}
    return np.array([seen.setdefault(normalise_query(text), len(seen)) for text in texts], dtype=np.int64)[raw]


def within_cap(groups: np.ndarray, per_query: int | None) -> np.ndarray:
    """Which pairs, best first, are among the first ``per_query`` of their query.

    Args:
        groups: the query of each ranked pair, (m,).
        per_query: at most so many of a query; None for no cap.

    Returns:
        bool (m,).

    >>> within_cap(np.array([7, 7, 3, 7, 3]), 2).tolist()
    [True, True, True, False, True]
    """
    if per_query is None:
        return np.ones(len(groups), dtype=bool)
    order = np.argsort(groups, kind="stable")
    ordered = groups[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]]) if len(groups) else np.zeros(0, dtype=np.int64)
    sizes = np.diff(np.r_[starts, len(groups)])
    place = np.empty(len(groups), dtype=np.int64)
    place[order] = np.arange(len(groups)) - np.repeat(starts, sizes)
    return place < per_query

"""Strategy and Context: the interface between what is known of the pool and the order of the picks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from darl.dasa.candidates import Candidates
from darl.dasa.guards import item_groups, within_cap
from darl.pairs import PairTable


@dataclass(frozen=True)
class Context:
    """All that a strategy may look at; never a grade of the pool.

    Attributes:
        pool: n pairs without grades.
        candidates: what the model says of them.
        open_rows: the rows that every guard lets through, increasing, (m,).
        budget: how many are wanted.
        seed: of any draw.
        features: rows (r,) → what the OOD reference reads of them, (r, d); computed when asked for.
        known: what the reference reads of the training pairs, (t, d), and (0, d) without any; computed when
            asked for.
        per_query: at most so many picks of a query; None for no cap. Selection enforces it on any ranking; a
            strategy that spreads its picks does better to know it (:meth:`capped`).
        per_item: the same for the item text.
        known_shares: share of each grade among the training pairs, (K,), or None where it is not known.
    """

    pool: PairTable
    candidates: Candidates
    open_rows: np.ndarray
    budget: int
    seed: int
    features: Callable[[np.ndarray], np.ndarray]
    known: Callable[[], np.ndarray] = field(default=lambda: np.zeros((0, 0), dtype=np.float32))
    per_query: int | None = None
    per_item: int | None = None
    known_shares: np.ndarray | None = None

    @cached_property
    def groups(self) -> np.ndarray:
        """The query of each pool pair as a number, (n,)."""
        return self.pool.query_groups()

    @cached_property
    def item_groups(self) -> np.ndarray:
        """The item text of each pool pair as a number, (n,)."""
        return item_groups(self.pool)

    @cached_property
    def furthest(self) -> np.ndarray:
        """The open rows, the highest OOD score first, equal ones in the pool's order, (m,)."""
        scores = self.candidates.ood_scores[self.open_rows]
        return self.open_rows[np.argsort(-scores, kind="stable")]

    def capped(self, rows: np.ndarray) -> np.ndarray:
        """These rows in order without those beyond the cap of their item or query."""
        rows = rows[within_cap(self.item_groups[rows], self.per_item)]
        return rows[within_cap(self.groups[rows], self.per_query)]

    def after(self, head: np.ndarray) -> np.ndarray:
        """``head`` (r,), then every other open row, furthest first: a whole ranking, (m,)."""
        rest = self.furthest[~np.isin(self.furthest, head)]
        return np.concatenate([np.asarray(head, dtype=np.int64), rest])


class Strategy(ABC):
    """Ranks the open candidates, the most wanted first.

    A subclass sets ``name`` and writes :meth:`rank` and :meth:`why`; equal candidates keep the pool's order.
    Selection calls :meth:`order`, which checks the ranking.
    """

    name: ClassVar[str]

    @abstractmethod
    def rank(self, context: Context) -> np.ndarray:
        """Pool rows, the most wanted first: each of ``context.open_rows`` at most once, no other, (r,)."""

    @abstractmethod
    def why(self, context: Context, row: int) -> str:
        """Why this pool row was picked, in words."""

    def order(self, context: Context) -> np.ndarray:
        """:meth:`rank`, checked: a strategy cannot bring back what a guard took out, or a row twice."""
        order = np.asarray(self.rank(context), dtype=np.int64)
        if len(np.unique(order)) != len(order) or not np.isin(order, context.open_rows).all():
            raise ValueError(f"strategy {self.name!r} ranked a row twice or one that a guard refused")
        return order


def how_far(percentile: float) -> str:
    """An OOD percentile in words; rounded down, so that 100 % is never claimed of less.

    >>> how_far(99.27), how_far(100.0)
    ('further out than 99.2 % of held-out known pairs', 'further out than every held-out known pair')
    """
    if percentile >= 100:
        return "further out than every held-out known pair"
    return f"further out than {np.floor(percentile * 10) / 10:.1f} % of held-out known pairs"

"""Strategies: in which order the open candidates are picked. One class a strategy, one registry."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from darl.dasa.candidates import Candidates
from darl.errors import RecipeError
from darl.pairs import PairTable


@dataclass(frozen=True)
class Context:
    """All that a strategy may look at.

    Attributes:
        pool: n pairs without grades.
        candidates: what the model says of them.
        open_rows: the rows that every guard lets through, increasing, (m,).
        budget: how many are wanted.
        seed: of any draw.
        features: rows (r,) → what the OOD reference reads of them, (r, d); computed when asked for.
    """

    pool: PairTable
    candidates: Candidates
    open_rows: np.ndarray
    budget: int
    seed: int
    features: Callable[[np.ndarray], np.ndarray]


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


class Coverage(Strategy):
    """What the training set covers least: the highest OOD score first."""

    name = "coverage"

    def rank(self, context: Context) -> np.ndarray:
        scores = context.candidates.ood_scores[context.open_rows]
        return context.open_rows[np.argsort(-scores, kind="stable")]

    def why(self, context: Context, row: int) -> str:
        return how_far(context.candidates.ood_percentiles[row])


class Random(Strategy):
    """The baseline that any other strategy must beat: a seeded draw, all open candidates alike."""

    name = "random"

    def rank(self, context: Context) -> np.ndarray:
        return np.random.default_rng(context.seed).permutation(context.open_rows)

    def why(self, context: Context, row: int) -> str:
        return f"drawn at random; {how_far(context.candidates.ood_percentiles[row])}"


def how_far(percentile: float) -> str:
    """An OOD percentile in words; rounded down, so that 100 % is never claimed of less.

    >>> how_far(99.27), how_far(100.0)
    ('further out than 99.2 % of held-out known pairs', 'further out than every held-out known pair')
    """
    if percentile >= 100:
        return "further out than every held-out known pair"
    return f"further out than {np.floor(percentile * 10) / 10:.1f} % of held-out known pairs"


_STRATEGIES: dict[str, type[Strategy]] = {}


def register_strategy(strategy: type[Strategy]) -> type[Strategy]:
    """Makes a strategy known by its name; fit for use as a decorator."""
    _STRATEGIES[strategy.name] = strategy
    return strategy


for _strategy in (Coverage, Random):
    register_strategy(_strategy)


def strategy_names() -> list[str]:
    """Every name that :func:`make_strategy` knows.

    >>> strategy_names()
    ['coverage', 'random'...]
    """
    return list(_STRATEGIES)


def make_strategy(name: str | Strategy) -> Strategy:
    """A strategy from its name; a strategy is returned as it is.

    Raises:
        RecipeError: an unknown name; the nearest known one is named.

    >>> make_strategy("coverag")
    Traceback (most recent call last):
    darl.errors.RecipeError: strategy: unknown strategy 'coverag'
      mend: did you mean 'coverage'? Known: coverage, random...
    """
    if isinstance(name, Strategy):
        return name
    if not isinstance(name, str) or name not in _STRATEGIES:
        near = difflib.get_close_matches(str(name).lower(), _STRATEGIES, n=1, cutoff=0.5)
        guess = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(
            f"unknown strategy {name!r}", where="strategy", mend=f"{guess}Known: {', '.join(_STRATEGIES)}"
        )
    return _STRATEGIES[name]()

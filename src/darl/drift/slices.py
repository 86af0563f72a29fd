"""Which values of named columns moved: new ones, and those whose pairs are unlike known traffic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import betabinom

from darl.drift.figures import Figures
from darl.ood.known import MOST_VALUES, KnownPairs

FEW = 5  # pairs below which a slice is not listed


@dataclass(frozen=True)
class Slice:
    """Pairs that share a value of a column.

    Attributes:
        column, value: which. pairs: how many. share: of the window. known_share: of the known queries, None
            where the model does not know the column. new: no known query has the value.
        excess: Σ over its pairs of (evidence − what known pairs have); large = many pairs, far out.
        far_share: of its pairs, above the OOD threshold; None without OOD scores.
    """

    column: str
    value: str
    pairs: int
    share: float
    known_share: float | None
    new: bool
    excess: float
    far_share: float | None

    def to_dict(self) -> dict:
        return vars(self).copy()


def new_value_p(known: KnownPairs, groups: np.ndarray, columns: Mapping[str, Sequence]) -> dict[str, float]:
    """p of as many queries with values that no known query has, by column that the model knows.

    P(X ≥ k), X ~ BetaBinomial(q, f₁ + ½, Q − f₁ + ½): k of the window's q queries bring a new value, and f₁ of
    the Q known queries hold a value that no other has, which is the Good–Turing rate of new values; the rate is
    itself uncertain, by Jeffreys' prior. So a column of brands, where new ones come every day, must bring more of them
    than a column of departments.

    >>> known = KnownPairs(np.arange(2), np.ones(2), np.ones((2, 1)), np.zeros(2, int), np.zeros(2, int),
    ...     np.ones((2, 2)), columns={"shop": {"a": 60, "b": 39}}, queries=99)
    >>> p = new_value_p(known, np.arange(4), {"shop": ["a", "c", "c", "c"], "else": ["x"] * 4})
    >>> {name: round(value, 6) for name, value in p.items()}
    {'shop': 7e-06}
    """
    found = {}
    queries = len(np.unique(groups))
    for name, new in new_rows(known, columns).items():
        counts = known.columns[name]
        k, single = len(np.unique(groups[new])), sum(count == 1 for count in counts.values())
        known_without = max(known.queries - single, 0)
        found[name] = float(betabinom.sf(k - 1, queries, single + 0.5, known_without + 0.5)) if k else 1.0
    return found


def new_rows(known: KnownPairs, columns: Mapping[str, Sequence]) -> dict[str, np.ndarray]:
    """Which pairs have a value that no known query has, (n,) bool, by column that the model knows."""
    return {
        name: np.array([_text(value) not in known.columns[name] and value is not None for value in values], dtype=bool)
        for name, values in columns.items()
        if name in known.columns
    }


def moved_slices(
    known: KnownPairs,
    figures: Figures,
    evidence: np.ndarray,
    level: float,
    far: np.ndarray | None,
    new_p: dict[str, float],
    *,
    alpha: float,
    most: int = 10,
) -> list[Slice]:
    """The slices of every column, most moved first: new values of columns that brought too many, then by excess."""
    found: list[Slice] = []
    for name, values in figures.columns.items():
        texts = np.array([_text(value) for value in values], dtype=object)
        distinct, codes, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(distinct) > MOST_VALUES:
            continue
        sums = np.bincount(codes, evidence - level, minlength=len(distinct))
        far_sums = None if far is None else np.bincount(codes, far, minlength=len(distinct))
        there = known.columns.get(name)
        for i, value in enumerate(distinct):
            if counts[i] < FEW or value == "":
                continue
            found.append(
                Slice(
                    column=name,
                    value=str(value),
                    pairs=int(counts[i]),
                    share=float(counts[i] / len(texts)),
                    known_share=None if there is None else there.get(value, 0) / max(known.queries, 1),
                    new=there is not None and value not in there,
                    excess=float(sums[i]),
                    far_share=None if far_sums is None else float(far_sums[i] / counts[i]),
                )
            )

    def order(one: Slice) -> tuple:
        first = one.new and new_p.get(one.column, 1.0) <= alpha
        return (not first, -one.pairs if first else -one.excess)

    return sorted(found, key=order)[:most]


def _text(value: object) -> str:
    return "" if value is None else str(value)

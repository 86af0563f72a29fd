"""KnownPairs: held-out in-distribution pairs as the model sees them, kept so that traffic can be held against them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from darl.errors import DataError
from darl.ood.novelty import WordingNovelty

MOST_PAIRS = 4000
"""Held-out pairs kept, drawn by whole queries: about 3 MB at 384 features."""

MOST_VALUES = 200
"""A column with more different values than this is an identifier, not a slice, and is not counted."""


@dataclass(frozen=True)
class KnownPairs:
    """What drift is measured against. All rows are of N held-out ID pairs; training pairs would look too near.

    Attributes:
        groups: query of each pair, dense from 0, (N,).
        ood_scores: by the detector of the reference, (N,).
        probabilities: calibrated, (N, K). decided: grade by the decision rule, (N,). grades: true ones, (N,).
        features: what the detector reads, each row at length 1, (N, d) float16.
        novelty: of each pair's query against the training queries, (N,); None without training queries.
        wording: scores the novelty of further queries.
        item_novelty, item_wording: the same of the pair's item against the training items.
        columns: {column: {value: number of known queries}} over training and held-out pairs.
        queries: how many queries the counts in ``columns`` are out of.
    """

    groups: np.ndarray
    ood_scores: np.ndarray
    probabilities: np.ndarray
    decided: np.ndarray
    grades: np.ndarray
    features: np.ndarray
    novelty: np.ndarray | None = None
    wording: WordingNovelty | None = None
    item_novelty: np.ndarray | None = None
    item_wording: WordingNovelty | None = None
    columns: dict[str, dict[str, int]] = field(default_factory=dict)
    queries: int = 0

    def __post_init__(self) -> None:
        rows = (self.groups, self.ood_scores, self.probabilities, self.decided, self.grades, self.features)
        if len({len(array) for array in rows}) != 1 or not len(self.groups):
            raise DataError("the known pairs' arrays are empty or differ in length", where="ood")

    def arrays(self) -> dict[str, np.ndarray]:
        """For saving beside the detector's."""
        found = {
            "groups": self.groups.astype(np.int32),
            "ood_scores": self.ood_scores.astype(np.float64),
            "probabilities": self.probabilities.astype(np.float32),
            "decided": self.decided.astype(np.int16),
            "grades": self.grades.astype(np.int16),
            "features": self.features.astype(np.float16),
        }
        if self.wording is not None and self.novelty is not None:
            found |= {"novelty": self.novelty.astype(np.float64)}
            found |= {f"wording.{name}": array for name, array in self.wording.arrays().items()}
        if self.item_wording is not None and self.item_novelty is not None:
            found |= {"item_novelty": self.item_novelty.astype(np.float64)}
            found |= {f"items.{name}": array for name, array in self.item_wording.arrays().items()}
        return found

    def facts(self) -> dict:
        """What is not an array, fit for JSON."""
        return {"columns": self.columns, "queries": self.queries}

    @classmethod
    def from_saved(cls, arrays: Mapping[str, np.ndarray], facts: Mapping) -> KnownPairs:
        """What :meth:`arrays` and :meth:`facts` gave; KeyError where a part is missing."""
        names = ("groups", "ood_scores", "probabilities", "decided", "grades", "features")

        def wording(prefix: str) -> WordingNovelty | None:
            found = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
            return WordingNovelty.from_arrays(found) if found else None

        queries, items = wording("wording."), wording("items.")
        return cls(
            **{name: arrays[name] for name in names},
            novelty=None if queries is None else arrays["novelty"],
            wording=queries,
            item_novelty=None if items is None else arrays["item_novelty"],
            item_wording=items,
            columns={name: dict(counts) for name, counts in facts["columns"].items()},
            queries=int(facts["queries"]),
        )


def chosen_rows(groups: np.ndarray, seed: int = 0, most: int = MOST_PAIRS) -> np.ndarray:
    """Rows of whole queries, at most ``most`` pairs in all (at least one query), in order.

    >>> chosen_rows(np.array([0, 0, 1, 1]), most=2).shape
    (2,)
    """
    if len(groups) <= most:
        return np.arange(len(groups))
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    kept = order[: max(1, int(np.searchsorted(np.cumsum(sizes[order]), most, side="right")))]
    return np.flatnonzero(np.isin(groups, kept))


def count_by_query(groups: np.ndarray, columns: Mapping[str, Sequence]) -> dict[str, dict[str, int]]:
    """{column: {value: queries that have a pair with it}}, of columns that can be slices; missing values are ''.

    >>> count_by_query(np.array([0, 0, 1]), {"shop": ["a", "a", "b"], "id": [None, None, None]})
    {'shop': {'a': 1, 'b': 1}}
    """
    found = {}
    for name, values in columns.items():
        texts = ["" if value is None else str(value) for value in values]
        pairs = {(text, int(group)) for text, group in zip(texts, groups, strict=True)}
        counts: dict[str, int] = {}
        for text, _ in sorted(pairs):
            counts[text] = counts.get(text, 0) + 1
        if set(counts) != {""} and len(counts) <= MOST_VALUES:
            found[name] = counts
    return found

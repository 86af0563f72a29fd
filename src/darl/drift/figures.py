"""Figures: one window of traffic as the model sees it, pair by pair; what every drift statistic reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Figures:
    """n pairs of traffic; what is not known of them is None.

    Attributes:
        groups: query of each pair, (n,) integers.
        ood_scores: by the model's reference, (n,).
        probabilities: calibrated, (n, K). decided: grades by the decision rule, (n,).
        features: what the OOD detector reads, each row at length 1, (n, d).
        novelty, item_novelty: how new the wording of the pair's query, and of its item, is, (n,).
        columns: named columns to look for slices in, n values each.
        queries, items: the texts, n each.
    """

    groups: np.ndarray
    ood_scores: np.ndarray | None = None
    probabilities: np.ndarray | None = None
    decided: np.ndarray | None = None
    features: np.ndarray | None = None
    novelty: np.ndarray | None = None
    item_novelty: np.ndarray | None = None
    columns: Mapping[str, Sequence] = field(default_factory=dict)
    queries: Sequence[str] | None = None
    items: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.groups)

    def take(self, rows: np.ndarray) -> Figures:
        """These rows, in this order.

        >>> Figures(np.array([0, 0, 1]), columns={"shop": ["a", "b", "c"]}).take(np.array([2])).columns
        {'shop': ['c']}
        """

        def cut(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        def listed(values: Sequence | None) -> list | None:
            return None if values is None else [values[row] for row in rows]

        return Figures(
            groups=self.groups[rows],
            ood_scores=cut(self.ood_scores),
            probabilities=cut(self.probabilities),
            decided=cut(self.decided),
            features=cut(self.features),
            novelty=cut(self.novelty),
            item_novelty=cut(self.item_novelty),
            columns={name: listed(values) or [] for name, values in self.columns.items()},
            queries=listed(self.queries),
            items=listed(self.items),
        )

"""The leak guard: no evaluation query may stand in the data that a model is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from darl.errors import LeakError
from darl.pairs.table import PairTable

_EXAMPLES = 5


@dataclass(frozen=True)
class Leak:
    """The queries that one evaluation table shares with the training table.

    Args:
        queries: the shared normalised query texts, in the order of the evaluation table.
        train_mask: bool (n_train,), the training pairs that ask one of them.
        evaluation_mask: bool (n_evaluation,), the evaluation pairs that do.
        examples: a few lines with both places.
    """

    queries: list[str]
    train_mask: np.ndarray
    evaluation_mask: np.ndarray
    examples: list[str]


@dataclass(frozen=True)
class LeakReport:
    """One :class:`Leak` for every evaluation table, by its name, those without a shared query too."""

    leaks: dict[str, Leak]
    n_train: int

    @property
    def clean(self) -> bool:
        """Whether no query is shared."""
        return not any(leak.queries for leak in self.leaks.values())

    @property
    def train_mask(self) -> np.ndarray:
        """The training pairs whose query stands in any evaluation table, bool (n_train,)."""
        return np.logical_or.reduce([np.zeros(self.n_train, bool), *(leak.train_mask for leak in self.leaks.values())])

    def raise_if_leaking(self, limit: int = _EXAMPLES) -> None:
        """Raises when a query is shared.

        Raises:
            LeakError: with the counts, and up to ``limit`` examples of each evaluation table.
        """
        if self.clean:
            return
        lines = []
        for name, leak in self.leaks.items():
            if leak.queries:
                n_train, n_evaluation = int(leak.train_mask.sum()), int(leak.evaluation_mask.sum())
                counts = f"{n_train:,} training and {n_evaluation:,} evaluation pairs"
                lines.append(f"  {name}: {len(leak.queries):,} queries ({counts})")
                lines += [f"    {example}" for example in leak.examples[:limit]]
                if len(leak.queries) > min(limit, len(leak.examples)):
                    lines.append(f"    … and {len(leak.queries) - min(limit, len(leak.examples)):,} more")
        raise LeakError(
            "\n".join(["evaluation queries stand in the training data", *lines]),
            mend="drop them from the training data (darl.pairs.drop_leaks), or split by query",
        )


def find_leaks(train: PairTable, evaluations: Mapping[str, PairTable]) -> LeakReport:
    """Which queries, by normalised text, the training table shares with each evaluation table.

    >>> train = PairTable.from_pairs(["Desk lamp", "hose"], ["a", "b"])
    >>> report = find_leaks(train, {"test": PairTable.from_pairs(["desk  LAMP"], ["c"])})
    >>> report.leaks["test"].queries, report.train_mask.tolist()
    (['desk lamp'], [True, False])
    """
    train_groups, train_index = train.query_groups(), {text: group for group, text in enumerate(train.query_names())}
    leaks = {}
    for name, table in evaluations.items():
        groups, texts = table.query_groups(), table.query_names()
        shared = [group for group, text in enumerate(texts) if text in train_index]
        leaks[name] = Leak(
            queries=[texts[group] for group in shared],
            train_mask=np.isin(train_groups, [train_index[texts[group]] for group in shared]),
            evaluation_mask=np.isin(groups, shared),
            examples=[
                f"{texts[group]!r}: {_first_place(train, train_groups, train_index[texts[group]])}"
                f" and {_first_place(table, groups, group)}"
                for group in shared[:_EXAMPLES]
            ],
        )
    return LeakReport(leaks, len(train))


def check_leaks(train: PairTable, evaluations: Mapping[str, PairTable]) -> LeakReport:
    """The report of :func:`find_leaks` when it is clean.

    Raises:
        LeakError: an evaluation query stands in the training table.
    """
    report = find_leaks(train, evaluations)
    report.raise_if_leaking()
    return report


def drop_leaks(table: PairTable, evaluations: Mapping[str, PairTable]) -> tuple[PairTable, PairTable]:
    """The pairs whose query is in no evaluation table, and the pairs dropped for it."""
    leaking = find_leaks(table, evaluations).train_mask
    return table.where(~leaking), table.where(leaking)


def _first_place(table: PairTable, groups: np.ndarray, group: int) -> str:
    return table.place(int(np.argmax(groups == group)))

"""QueryStatistics: every metric from sums per query, so that a bootstrap resample is a reweighting.

A resample of whole queries is a vector w of counts, one a query. Accuracy, macro-F1, kappa, the calibration errors,
Brier, NLL and the mean nDCG are functions of Σ_q w_q · s_q, where s_q are sums over the pairs of query q; all
resamples of a chunk are one sparse product. The AUC needs the order of all pairs; it is sorted once and
takes the weights as they come.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from darl.decisions import agreement
from darl.errors import DataError
from darl.evaluation.calibration import (
    BINS,
    chance_of_sums,
    confidence,
    equal_mass_bins,
    equal_width_bins,
    error_of_sums,
)
from darl.evaluation.checks import checked_grades, checked_groups, checked_probabilities
from darl.evaluation.metrics import RankedThreshold, brier_rows, mae_of, nll_rows
from darl.evaluation.ranking import CUTOFFS, query_ndcg
from darl.grades import GradeScale


class QueryStatistics:
    """The sums per query of one set of predictions.

    Args:
        grades: true grades (n,). probabilities: (n, K). predicted: (n,) by whatever rule.
        scale: the grades; its gains count for nDCG.
        groups: (n,) the query of each pair; None: every pair is a query of its own.
        relevance: (n,) what nDCG ranks by; default the relevance score of the probabilities.

    The bins of the adaptive ECE are those of the full sample in every resample.

    Raises:
        DataError, GradeError, EmptySplitError: arrays that cannot be evaluated.

    >>> scale = GradeScale(("no", "yes"))
    >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    >>> statistics = QueryStatistics([0, 1, 1], p, [0, 1, 0], scale, groups=["a", "a", "b"])
    >>> statistics.values(np.array([[1, 1], [2, 0]]))["accuracy"].tolist()
    [0.666..., 1.0]
    """

    def __init__(
        self,
        grades: Sequence[int] | np.ndarray,
        probabilities: np.ndarray,
        predicted: Sequence[int] | np.ndarray,
        scale: GradeScale,
        *,
        groups: Sequence | np.ndarray | None = None,
        relevance: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        K = self.size = scale.size
        truth = checked_grades(grades, K)
        p = checked_probabilities(probabilities, len(truth), K)
        guess = checked_grades(predicted, K, what="predicted grades")
        if len(guess) != len(truth):
            raise DataError(f"{len(truth)} grades but {len(guess)} predicted grades")
        self.query = checked_groups(groups, len(truth))
        self.queries, self.pairs = int(self.query.max()) + 1, len(truth)
        sure, hits = confidence(truth, p)
        one = np.ones(len(truth))
        self._blocks: dict[str, slice] = {}
        self._entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._width = 0
        self._add("confusion", K * K, self.query, truth * K + guess, one)
        self._add("nll", 1, self.query, 0, nll_rows(truth, p))
        self._add("brier", 1, self.query, 0, brier_rows(truth, p))
        self._add("ece", BINS, self.query, equal_width_bins(sure), hits - sure)
        self._add("ece_by_chance", BINS, self.query, equal_width_bins(sure), sure * (1 - sure))
        self._add("ece_adaptive", BINS, self.query, equal_mass_bins(sure), hits - sure)
        cells = equal_width_bins(p) + BINS * np.arange(K)
        surplus = (np.eye(K)[truth] - p).ravel()
        self._add("ece_classwise", BINS * K, np.repeat(self.query, K), cells.ravel(), surplus)
        if self.queries < self.pairs:  # a query of several items can rank
            score = scale.relevance(p) if relevance is None else relevance
            for k, values in query_ndcg(truth, score, self.query, scale).items():
                rank = np.flatnonzero(np.isfinite(values))
                if len(rank):
                    self._add(f"ndcg@{k}", 1, rank, 0, values[rank])
                    self._add(f"ndcg@{k} queries", 1, rank, 0, np.ones(len(rank)))
        rows, columns, data = (np.concatenate(part) for part in zip(*self._entries, strict=True))
        del self._entries
        self._sums = csr_matrix((data, (columns, rows)), shape=(self._width, self.queries))  # (S, Q)
        self._thresholds = [RankedThreshold(truth, p, k) for k in range(1, K)]
        self._query_ranked = [self.query[ranked.order] for ranked in self._thresholds]

    def _add(self, name: str, width: int, query: np.ndarray, column: np.ndarray | int, data: np.ndarray) -> None:
        self._blocks[name] = slice(self._width, self._width + width)
        self._entries.append((query, self._width + np.broadcast_to(column, data.shape), data))
        self._width += width

    def confusion(self) -> np.ndarray:
        """Counts (K, K) int64, truth in rows."""
        total = np.asarray(self._sums[self._blocks["confusion"]].sum(axis=1)).reshape(self.size, self.size)
        return total.round().astype(np.int64)

    def values(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every metric for counts of the queries (B, Q) → {name: (B,)}; without weights the sample itself, B = 1."""
        weights = np.ones((1, self.queries)) if weights is None else np.asarray(weights, dtype=np.float64)
        sums = np.asarray(self._sums @ weights.T).T  # (B, S)
        block = {name: sums[:, where] for name, where in self._blocks.items()}
        confusion = block["confusion"].reshape(-1, self.size, self.size)
        n = confusion.sum(axis=(1, 2))
        aucs = [
            ranked.auc(weights[:, query]) for ranked, query in zip(self._thresholds, self._query_ranked, strict=True)
        ]
        found = {
            "macro_f1": agreement.macro_f1(confusion),
            "accuracy": agreement.accuracy(confusion),
            "qwk": agreement.qwk(confusion),
            "ordinal_mae": mae_of(confusion),
            "auc": _mean_defined(np.stack(aucs, axis=1)),
            "nll": block["nll"][:, 0] / n,
            "brier": block["brier"][:, 0] / n,
            "ece": error_of_sums(block["ece"], n),
            "ece_by_chance": chance_of_sums(block["ece_by_chance"], n),
            "ece_adaptive": error_of_sums(block["ece_adaptive"], n),
            "ece_classwise": error_of_sums(block["ece_classwise"], n) / self.size,
        }
        for name in (f"ndcg@{k}" for k in CUTOFFS):
            if name in block:
                count = block[f"{name} queries"][:, 0]
                found[name] = np.where(count > 0, block[name][:, 0] / np.maximum(count, 1), np.nan)
        return found | {f"auc_ge_{k}": auc for k, auc in enumerate(aucs, start=1)}


def _mean_defined(values: np.ndarray) -> np.ndarray:
    """Mean over the columns that are not NaN, (B, m) → (B,); NaN where all are."""
    defined = np.isfinite(values)
    count = defined.sum(axis=1)
    return np.where(count > 0, np.where(defined, values, 0).sum(axis=1) / np.maximum(count, 1), np.nan)

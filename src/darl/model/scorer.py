"""PairScorer: texts in, scores out, whatever computes the logits between."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np

from darl.decisions import DecisionRule
from darl.errors import ModelError
from darl.grades import GradeScale
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.scores import Scores
from darl.ood import OODReference
from darl.pairs import PairTable

Progress = Callable[[int], None]


class PairScorer(ABC):
    """What scores pairs: a tokenizer with its template, logits from somewhere, a scale, a rule, an OOD reference.

    Attributes:
        encoder: texts to token ids.
        scale: the grades. rule: from probabilities to a grade. ood: the OOD reference, or None.
    """

    encoder: PairEncoder
    scale: GradeScale
    rule: DecisionRule
    ood: OODReference | None

    @abstractmethod
    def logits(
        self, encoded: EncodedPairs, *, tokens_per_batch: int | None = None, progress: Progress | None = None
    ) -> np.ndarray:
        """Calibrated logits, (n, K) float32, in the input's order."""

    @abstractmethod
    def ood_features(self, encoded: EncodedPairs, logits: np.ndarray | None = None) -> np.ndarray:
        """What the OOD reference reads: pooled features, or the logits."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Equal for two scorers that give the same scores."""

    def score(
        self,
        pairs: PairTable | None = None,
        *,
        queries: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
        ood: bool = True,
        tokens_per_batch: int | None = None,
        progress: Progress | None = None,
    ) -> Scores:
        """Grades, probabilities, relevance scores and (where the model has a reference) OOD percentiles.

        Args:
            pairs: a table, or give ``queries`` and ``items`` of equal length n.
            ood: also say how far out each pair is; costs a second forward pass on the frozen base.
            tokens_per_batch: distinct tokens of one forward pass: what items of one query share counts once; default
                by the device.
            progress: called with the number of pairs done after each batch.

        Returns:
            n rows, in the input's order.
        """
        encoded = self.encode(pairs, queries=queries, items=items)
        return self.score_encoded(encoded, ood=ood, tokens_per_batch=tokens_per_batch, progress=progress)

    def score_encoded(
        self,
        encoded: EncodedPairs,
        *,
        ood: bool = True,
        tokens_per_batch: int | None = None,
        progress: Progress | None = None,
    ) -> Scores:
        """:meth:`score` of pairs that are token ids already."""
        logits = self.logits(encoded, tokens_per_batch=tokens_per_batch, progress=progress)
        out, percentiles = None, None
        if ood and self.ood is not None:
            features = self.ood_features(encoded, logits)
            out = self.ood.score(features)
            percentiles = self.ood.percentile_of(out)
        return self.scores_from(logits, out, percentiles)

    def scores_from(
        self, logits: np.ndarray, ood_scores: np.ndarray | None = None, ood_percentiles: np.ndarray | None = None
    ) -> Scores:
        """Scores from logits (n, K) already at hand."""
        probabilities = softmax(logits)
        return Scores(
            scale=self.scale,
            probabilities=probabilities,
            grades=self.rule.decide(probabilities) if len(probabilities) else np.zeros(0, dtype=np.int64),
            relevance=self.scale.relevance(probabilities),
            ood_scores=ood_scores,
            ood_percentiles=ood_percentiles,
        )

    def encode(
        self,
        pairs: PairTable | None = None,
        *,
        queries: Sequence[str] | None = None,
        items: Sequence[str] | None = None,
    ) -> EncodedPairs:
        """Token ids of the pairs."""
        if pairs is not None:
            queries, items = pairs.queries, pairs.items
        if queries is None or items is None or len(queries) != len(items):
            raise ModelError("give a table of pairs, or as many queries as items")
        return self.encoder.encode(queries, items)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Row-wise softmax in float64, (n, K) → (n, K)."""
    shifted = np.asarray(logits, dtype=np.float64)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True, initial=-np.inf))
    return shifted / shifted.sum(axis=1, keepdims=True)

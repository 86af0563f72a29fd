"""Candidates: every pool pair with what the model says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np

from darl.errors import ModelError
from darl.grades import GradeScale
from darl.pairs import PairTable

# Enough pairs for batches of like lengths; their token ids and features stay under some tens of megabytes.
CHUNK = 2048
Progress = Callable[[int], None]


class Scorer(Protocol):
    """What selection asks of a model; :class:`darl.RelevanceModel` answers it."""

    ood: Any
    scale: GradeScale

    def score(self, pairs: PairTable, *, ood: bool = True) -> Any:
        """Grades, probabilities, relevance, OOD scores and percentiles of n pairs."""
        ...

    def encode(self, pairs: PairTable) -> Any:
        """The pairs as :meth:`ood_features` reads them."""
        ...

    def ood_features(self, encoded: Any) -> np.ndarray:
        """What the OOD reference reads, (n, d)."""
        ...


@dataclass(frozen=True)
class Candidates:
    """What the model says of n pool pairs, in the pool's order.

    Attributes:
        scale: the model's grades.
        ood_scores: larger = further out, (n,).
        ood_percentiles: against held-out known pairs, in [0, 100], (n,).
        grades: predicted, (n,).
        relevance: calibrated expected gain in [0, 1], (n,).
        probabilities: of the grades, calibrated, float32 (n, K).
    """

    scale: GradeScale
    ood_scores: np.ndarray
    ood_percentiles: np.ndarray
    grades: np.ndarray
    relevance: np.ndarray
    probabilities: np.ndarray

    def __len__(self) -> int:
        return len(self.ood_scores)

    @property
    def p_max(self) -> np.ndarray:
        """Probability of the likeliest grade, (n,)."""
        return self.probabilities.max(axis=1)


def score_pool(model: Scorer, pool: PairTable, *, chunk: int = CHUNK, progress: Progress | None = None) -> Candidates:
    """Scores the pool chunk by chunk, so that memory grows by a few numbers a pair.

    Args:
        model: with an OOD reference.
        pool: n pairs, n ≥ 1.
        chunk: pairs scored at once.
        progress: called with the number of pairs done after each chunk.

    Raises:
        ModelError: the model has no OOD reference, or a pair's OOD score is not a finite number.
    """
    require_ood(model)
    parts: list[Candidates] = []
    for start in range(0, len(pool), chunk):
        rows = np.arange(start, min(start + chunk, len(pool)))
        scores = model.score(pool.take(rows), ood=True)
        chances = np.asarray(scores.probabilities, dtype=np.float32)
        parts.append(
            Candidates(
                scores.scale, scores.ood_scores, scores.ood_percentiles, scores.grades, scores.relevance, chances
            )
        )
        if progress:
            progress(len(rows))
    names = [field.name for field in fields(Candidates) if field.name != "scale"]
    whole = {name: np.concatenate([np.asarray(getattr(part, name)) for part in parts]) for name in names}
    candidates = Candidates(parts[0].scale, **whole)
    check_finite(candidates)
    return candidates


def check_finite(candidates: Candidates) -> None:
    """Raises unless every OOD score is a finite number.

    Raises:
        ModelError: one is not.
    """
    broken = int((~np.isfinite(candidates.ood_scores)).sum())
    if broken:
        raise ModelError(
            f"{broken:,} of {len(candidates):,} pool pairs have no finite OOD score", mend="fit the model again"
        )


def require_ood(model: Scorer) -> None:
    """Raises unless the model can say how far out a pair is.

    Raises:
        ModelError: it has no OOD reference.
    """
    if getattr(model, "ood", None) is None:
        raise ModelError(
            "this model has no OOD reference, so it cannot say which pairs are far from its training data",
            mend="fit it again with `ood: {enabled: true}` in the recipe",
        )

"""A pool in miniature: a fake model whose OOD score is written in the item, and tables to go with it."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np

from darl.grades import GradeScale
from darl.pairs import PairTable

SCALE = GradeScale(("irrelevant", "weak", "strong"))


def far(text: str) -> float:
    """The number after ``far`` in an item: ``"lamp far 3.5"`` → 3.5, else 0."""
    found = re.search(r"far (-?\d+(?:\.\d+)?)", text.casefold())
    return float(found.group(1)) if found else 0.0


class FakeModel:
    """Answers what selection asks of a model. Its percentile is 10 × the OOD score, at most 100."""

    scale = SCALE

    def __init__(self, source: str = "base") -> None:
        self.ood = SimpleNamespace(feature_spec={"source": source})
        self.scored: list[PairTable] = []

    def score(self, pairs: PairTable, *, ood: bool = True) -> SimpleNamespace:
        self.scored.append(pairs)
        scores = np.array([far(item) for item in pairs.items])
        grades = np.array([len(item) % 3 for item in pairs.items])
        probabilities = np.full((len(pairs), 3), 0.1)
        probabilities[np.arange(len(pairs)), grades] = 0.8
        return SimpleNamespace(
            scale=SCALE,
            probabilities=probabilities,
            grades=grades,
            relevance=SCALE.relevance(probabilities),
            ood_scores=scores,
            ood_percentiles=np.clip(scores * 10, 0, 100),
        )

    def encode(self, pairs: PairTable) -> PairTable:
        return pairs

    def ood_features(self, encoded: PairTable) -> np.ndarray:
        """The angle of a pair is its OOD score in radians."""
        angles = np.array([far(item) for item in encoded.items])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def table(*pairs: tuple[str, str], grades: list[int] | None = None) -> PairTable:
    return PairTable.from_pairs([query for query, _ in pairs], [item for _, item in pairs], grades)


def pool_of(n: int, queries: int, seed: int = 0, per_pair: int = 1) -> PairTable:
    """``n`` pairs over ``queries`` queries with random OOD scores, each pair ``per_pair`` times."""
    rng = np.random.default_rng(seed)
    pairs = [(f"query {i % queries}", f"item {i} far {rng.integers(0, 1000) / 100:.2f}") for i in range(n)]
    return table(*[pair for pair in pairs for _ in range(per_pair)])


class ShardModel(FakeModel):
    """A fake whose OOD reference also scores features, as a pool in shards asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.ood = SimpleNamespace(
            feature_spec={"source": "base"},
            score=lambda rows: np.arctan2(rows[:, 1], rows[:, 0]) % (2 * np.pi),
            percentile_of=lambda scores: np.clip(np.asarray(scores) * 10, 0, 100),
        )

    def fingerprint(self) -> str:
        return "fake"

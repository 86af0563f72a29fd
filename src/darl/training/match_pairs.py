"""Pairs to learn matching on: seen ones, a query with items near it, a query with any item. No label is read.

Seen pairs are what the model will judge, but most of them match, and few differ clearly. Items near a query that it was
not shown with are the hard ones, and items drawn by chance show what no match looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEEN, NEAR = 0.5, 0.25  # shares of the pairs; the rest is by chance
NEAREST = 50  # items among which a near one is drawn
BLOCK = 1024  # queries whose similarity to every item is held at once


@dataclass(frozen=True)
class MatchPairs:
    """Pairs as numbers of distinct texts, and how alike their embeddings are.

    Attributes:
        query, item: which text, (n,). cosine: of the two embeddings, (n,) float32.
    """

    query: np.ndarray
    item: np.ndarray
    cosine: np.ndarray

    def __len__(self) -> int:
        return len(self.query)

    def targets(self) -> np.ndarray:
        """The cosines with mean 0 and standard deviation 1, (n,) float32."""
        spread = float(self.cosine.std())
        return ((self.cosine - self.cosine.mean()) / (spread if spread > 0 else 1.0)).astype(np.float32)


def make_match_pairs(
    seen: tuple[Sequence[int] | np.ndarray, Sequence[int] | np.ndarray],
    queries: np.ndarray,
    items: np.ndarray,
    count: int,
    rng: np.random.Generator,
) -> MatchPairs:
    """At most ``count`` distinct pairs: about half of them seen, a quarter near, a quarter by chance.

    Args:
        seen: query and item number of each pair seen together.
        queries, items: unit vectors of the distinct texts, (q, d) and (m, d).

    >>> unit = np.eye(4, dtype=np.float32)
    >>> pairs = make_match_pairs(([0, 1], [0, 1]), unit, unit, 8, np.random.default_rng(0))
    >>> len(pairs) <= 8, sorted(set(pairs.cosine.tolist()))
    (True, [0.0, 1.0])
    """
    together = np.unique(np.stack([np.asarray(seen[0]), np.asarray(seen[1])], axis=1), axis=0)
    kept = together[rng.permutation(len(together))[: max(1, int(count * SEEN))]]
    made = count - len(kept)
    near = int(made * NEAR / (1 - SEEN))
    asked = rng.integers(len(queries), size=made)
    given = rng.integers(len(items), size=made)
    given[:near] = _near(asked[:near], queries, items, rng)
    both = np.unique(np.concatenate([kept, np.stack([asked, given], axis=1)]), axis=0)
    cosine = np.einsum("nd,nd->n", queries[both[:, 0]], items[both[:, 1]])
    return MatchPairs(both[:, 0], both[:, 1], cosine.astype(np.float32))


def _near(asked: np.ndarray, queries: np.ndarray, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each query one of the items nearest to it."""
    many = min(NEAREST, len(items))
    out = np.zeros(len(asked), dtype=np.int64)
    for first in range(0, len(asked), BLOCK):
        some = asked[first : first + BLOCK]
        nearest = np.argpartition(-(queries[some] @ items.T), many - 1, axis=1)[:, :many]
        out[first : first + BLOCK] = nearest[np.arange(len(some)), rng.integers(many, size=len(some))]
    return out

"""Strategies that spread their picks: k-center over the uncovered, BADGE, TypiClust."""

from __future__ import annotations

import numpy as np

from darl.dasa.strategies.base import Context, Strategy, how_far
from darl.dasa.strategies.spread import farthest_first, k_means, k_means_plus_plus, nearest_cosine
from darl.ood.knn import unit_rows

SHORTLIST = 5
"""A strategy that spreads looks at so many times the budget, the furthest out first."""

MOST = 20_000
"""Pairs that a strategy without a shortlist looks at, drawn at random, so that its cost is bounded."""


class KCenter(Strategy):
    """Farthest-first over the uncovered: each pick is the one least like the training pairs and the picks so far.

    Greedy k-center (Gonzalez 1985; as core-set selection, Sener & Savarese 2018), 2-optimal for the largest
    distance of a pair to its nearest centre, over the ``SHORTLIST`` · budget furthest pairs, by cosine.
    """

    name = "k-center"

    def rank(self, context: Context) -> np.ndarray:
        rows = context.capped(context.furthest)[: SHORTLIST * context.budget]
        points = unit_rows(context.features(rows))
        start = nearest_cosine(points, unit_rows(context.known())) if len(context.known()) else None
        return context.after(rows[farthest_first(points, context.budget, start)])

    def why(self, context: Context, row: int) -> str:
        return f"unlike the training pairs and the other picks; {how_far(context.candidates.ood_percentiles[row])}"


class Badge(Strategy):
    """Diverse and uncertain: k-means++ on the gradients that the likeliest grade would give the head.

    The gradient of the cross-entropy of the predicted grade is g = (p − e_ŷ) ⊗ h with h the features
    (Ash et al. 2020, *Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds*, ICLR). Its
    length is large where the model is unsure, and k-means++ spreads over directions. Distances follow from
    ⟨a ⊗ h, b ⊗ i⟩ = ⟨a, b⟩ · ⟨h, i⟩, so no (K · d) vector is made. h are the features that the OOD reference
    reads, which are those of the frozen base by default.
    """

    name = "badge"

    def rank(self, context: Context) -> np.ndarray:
        rng = np.random.default_rng(context.seed)
        rows = context.capped(rng.permutation(context.open_rows))[:MOST]
        chances = context.candidates.probabilities[rows].astype(np.float32)
        chances[np.arange(len(rows)), chances.argmax(axis=1)] -= 1.0
        picks = k_means_plus_plus(chances, unit_rows(context.features(rows)), context.budget, rng)
        return context.after(rows[picks])

    def why(self, context: Context, row: int) -> str:
        return f"would move the model in a direction of its own; likeliest grade {context.candidates.p_max[row]:.0%}"


class TypiClust(Strategy):
    """One typical pair of each region of the pool (Hacohen et al. 2022, *Active Learning on a Budget*, ICML).

    The pool is cut into as many clusters as the budget; of each, the pair with the smallest mean distance to
    its 20 nearest neighbours in the cluster. It never looks at the model's doubt, nor at the training pairs.
    """

    name = "typiclust"

    def rank(self, context: Context) -> np.ndarray:
        rng = np.random.default_rng(context.seed)
        rows = context.capped(rng.permutation(context.open_rows))[:MOST]
        points = unit_rows(context.features(rows))
        own = k_means(points, min(context.budget, len(rows)), rng)
        return context.after(rows[most_typical(points, own)])

    def why(self, context: Context, row: int) -> str:
        return f"typical of a region of the pool; {how_far(context.candidates.ood_percentiles[row])}"


def most_typical(points: np.ndarray, clusters: np.ndarray, neighbours: int = 20) -> np.ndarray:
    """Of each cluster the point whose nearest neighbours in it are nearest, largest cluster first, (k,).

    Args:
        points: unit rows, (n, d).
        clusters: the cluster of each, (n,).
        neighbours: how many of them count.
    """
    found, sizes = [], []
    for cluster in np.unique(clusters):
        members = np.flatnonzero(clusters == cluster)
        near = np.sort(points[members] @ points[members].T, axis=1)[:, ::-1][:, 1 : neighbours + 1]
        typical = near.mean(axis=1) if near.shape[1] else np.zeros(len(members))
        found.append(members[int(typical.argmax())])
        sizes.append(len(members))
    return np.asarray(found, dtype=np.int64)[np.argsort(-np.asarray(sizes), kind="stable")]

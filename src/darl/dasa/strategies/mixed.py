"""Mixed: typical pairs of the uncovered regions beside a random share of the whole pool."""

from __future__ import annotations

import numpy as np

from darl.dasa.strategies.base import Context, Strategy, how_far
from darl.dasa.strategies.diverse import most_typical
from darl.dasa.strategies.spread import BLOCK, k_means
from darl.errors import RecipeError
from darl.ood.knn import unit_rows

UNCOVERED = 90.0
"""OOD percentile from which a pair counts as uncovered; one known pair in ten does."""

SHORTLIST = 10
"""At most so many times the budget are looked at, the furthest out first."""

LONELY = 0.1
"""This share of the shortlist, the pairs with the fewest like them in the pool, is passed over."""

NEIGHBOURS = 5


class Mixed(Strategy):
    """Half the budget on what training does not cover, half at random.

    1. *Uncovered*: open pairs from the percentile ``UNCOVERED`` on, the furthest first, at most ``SHORTLIST`` ·
       budget; where there are fewer than wanted, the furthest of the rest make up.
    2. *Typical of the pool*: the ``LONELY`` tenth of them whose nearest neighbours in the shortlist are furthest
       away is passed over: outliers among the outliers are garbage more often than traffic.
    3. *Diverse*: one cluster a pick, and of each its most typical pair; so a text repeated a thousand times costs
       one label.
    4. *At random* from all other open pairs, for the rest of the budget: uncovered is not yet useful. Where the new
       traffic follows another grade mix, a training set filled with it alone unlearns the known traffic.

    The two kinds take turns, so that every beginning of the ranking keeps the proportion.

    Args:
        uncovered: share of the budget for step 1 to 3, in [0, 1].

    Raises:
        RecipeError: the share is outside [0, 1].
    """

    name = "dasa"

    def __init__(self, uncovered: float = 0.5) -> None:
        if not 0 <= uncovered <= 1:
            raise RecipeError(f"must be in [0, 1], got {uncovered!r}", where="strategy.uncovered")
        self.uncovered = uncovered
        self._targeted: set[int] = set()

    def rank(self, context: Context) -> np.ndarray:
        rng = np.random.default_rng(context.seed)
        wanted = round(self.uncovered * context.budget)
        aimed = self._aimed(context, wanted, rng) if wanted else np.zeros(0, dtype=np.int64)
        self._targeted = set(aimed.tolist())
        drawn = rng.permutation(context.open_rows)
        drawn = drawn[~np.isin(drawn, aimed)]
        # the j-th of a kind stands at j / its share: the two take turns in proportion
        chance = len(aimed) / max(1, context.budget)
        place = np.concatenate(
            [np.arange(len(aimed)) / max(chance, 1e-9), (np.arange(len(drawn)) + 0.5) / max(1 - chance, 1e-9)]
        )
        return np.concatenate([aimed, drawn])[np.argsort(place, kind="stable")]

    def _aimed(self, context: Context, wanted: int, rng: np.random.Generator) -> np.ndarray:
        order = context.capped(context.furthest)
        far = int((context.candidates.ood_percentiles[order] >= UNCOVERED).sum())
        rows = order[: min(max(far, wanted), SHORTLIST * context.budget)]
        points = unit_rows(context.features(rows))
        if len(rows) > wanted / (1 - LONELY):
            company = pool_company(points)
            keep = company > np.quantile(company, LONELY)
            if keep.sum() >= wanted:  # else many have equal company, as two that have only each other
                rows, points = rows[keep], points[keep]
        own = k_means(points, min(wanted, len(rows)), rng)
        picks = rows[most_typical(points, own)]
        if len(picks) < wanted:  # empty clusters
            rest = rows[~np.isin(rows, picks)]
            picks = np.concatenate([picks, rest[: wanted - len(picks)]])
        return picks[:wanted]

    def why(self, context: Context, row: int) -> str:
        distance = how_far(context.candidates.ood_percentiles[row])
        if row in self._targeted:
            return f"typical of a region that training hardly covers; {distance}"
        return f"drawn at random, so that the picks keep the pool's mix; {distance}"


def pool_company(points: np.ndarray, neighbours: int = NEIGHBOURS) -> np.ndarray:
    """Mean cosine of each point to its ``neighbours`` nearest others, unit rows (n, d) → (n,); alone: 0.

    >>> pool_company(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), neighbours=1).tolist()
    [1.0, 1.0, 0.0]
    """
    k = min(neighbours, len(points) - 1)
    if k < 1:
        return np.zeros(len(points))
    out = np.empty(len(points))
    for start in range(0, len(points), BLOCK):
        cosine = points[start : start + BLOCK] @ points.T
        cosine[np.arange(len(cosine)), start + np.arange(len(cosine))] = -np.inf
        out[start : start + BLOCK] = np.partition(cosine, -k, axis=1)[:, -k:].mean(axis=1)
    return out

"""Balanced: the uncovered pairs of every predicted grade, rare grades included."""

from __future__ import annotations

import numpy as np

from darl.dasa.strategies.base import Context, Strategy, how_far


class Balanced(Strategy):
    """What the training set covers least, each grade in a share of its own.

    Pairs far from the training set are of other grades than the rest: texts that are unlike each other lie far out, and
    by distance alone few of the picks are strongly relevant. So the budget is dealt out to the grades that the model
    predicts, q_k ∝ √π_k with π_k the share of grade k in training (between the training mix and an even one), and of
    each grade the highest OOD scores come first. A grade with too few open pairs leaves its places to the others.

    The grades take turns, so that every beginning of the ranking keeps the shares.
    """

    name = "balanced"

    def rank(self, context: Context) -> np.ndarray:
        grades = context.candidates.grades[context.furthest]
        wanted = quotas(context, grades)
        # the j-th pair of a grade stands at j / q_k: in a ranking by that, each grade has its share of every beginning
        place = np.empty(len(grades))
        for grade in np.unique(grades):
            mine = np.flatnonzero(grades == grade)
            place[mine] = (np.arange(len(mine)) + 0.5) / wanted[grade]
        return context.furthest[np.argsort(place, kind="stable")]

    def why(self, context: Context, row: int) -> str:
        grade = context.candidates.scale.names[context.candidates.grades[row]]
        return f"least covered among those predicted {grade}; {how_far(context.candidates.ood_percentiles[row])}"


def quotas(context: Context, grades: np.ndarray) -> np.ndarray:
    """q_k, (K,): √ of the training shares (of the predicted ones where those are not known), summing to 1; no grade
    gets less than one pick of the budget."""
    K = context.candidates.scale.size
    shares = context.known_shares
    if shares is None:
        shares = np.bincount(grades, minlength=K) / max(1, len(grades))
    q = np.sqrt(np.maximum(shares, 1 / max(1, context.budget)))
    return q / q.sum()

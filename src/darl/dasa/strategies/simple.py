"""Strategies that need one number a pair: coverage, random, uncertainty, margin."""

from __future__ import annotations

import numpy as np

from darl.dasa.strategies.base import Context, Strategy, how_far


class Coverage(Strategy):
    """What the training set covers least: the highest OOD score first."""

    name = "coverage"

    def rank(self, context: Context) -> np.ndarray:
        return context.furthest

    def why(self, context: Context, row: int) -> str:
        return how_far(context.candidates.ood_percentiles[row])


class Random(Strategy):
    """The baseline that any other strategy must beat: a seeded draw, all open candidates alike."""

    name = "random"

    def rank(self, context: Context) -> np.ndarray:
        return np.random.default_rng(context.seed).permutation(context.open_rows)

    def why(self, context: Context, row: int) -> str:
        return f"drawn at random; {how_far(context.candidates.ood_percentiles[row])}"


class Uncertainty(Strategy):
    """The largest entropy of the grades first: −Σ_k p_k · log p_k (Lewis & Gale 1994; Settles 2009, §3.1)."""

    name = "uncertainty"

    def rank(self, context: Context) -> np.ndarray:
        doubt = entropy(context.candidates.probabilities[context.open_rows])
        return context.open_rows[np.argsort(-doubt, kind="stable")]

    def why(self, context: Context, row: int) -> str:
        return f"the model is unsure: its likeliest grade has {context.candidates.p_max[row]:.0%}"


class Margin(Strategy):
    """The smallest gap between the two likeliest grades first (Scheffer et al. 2001)."""

    name = "margin"

    def rank(self, context: Context) -> np.ndarray:
        top = np.sort(context.candidates.probabilities[context.open_rows], axis=1)
        return context.open_rows[np.argsort(top[:, -1] - top[:, -2], kind="stable")]

    def why(self, context: Context, row: int) -> str:
        first, second = np.sort(context.candidates.probabilities[row])[::-1][:2]
        return f"two grades are close: {first:.0%} and {second:.0%}"


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """−Σ_k p_k · log p_k in nats, (n, K) → (n,).

    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3).tolist()
    [0.693, 0.0]
    """
    p = np.asarray(probabilities, dtype=np.float64)
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1) + 0.0

"""Spreading picks over a set of points: farthest-first, k-means++, k-means. All rows are unit vectors."""

from __future__ import annotations

import numpy as np

BLOCK = 4096


def nearest_cosine(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The cosine of each point to the most similar other, (n, d), (m, d) → (n,); m ≥ 1."""
    best = np.full(len(points), -np.inf, dtype=np.float32)
    for start in range(0, len(others), BLOCK):
        block = others[start : start + BLOCK]
        for first in range(0, len(points), BLOCK):
            part = slice(first, first + BLOCK)
            np.maximum(best[part], (points[part] @ block.T).max(axis=1), out=best[part])
    return best


def farthest_first(points: np.ndarray, k: int, nearest: np.ndarray | None = None) -> np.ndarray:
    """Greedy k-center by cosine: at each step the point least similar to all centres so far, min(k, n) of them.

    Args:
        points: unit rows, (n, d).
        k: how many.
        nearest: cosine of each point to its nearest existing centre, (n,); None where there is none yet, and
            the first point is then a centre.

    >>> farthest_first(np.array([[1.0, 0.0], [0.9, 0.436], [0.0, 1.0]]), 2).tolist()
    [0, 2]
    """
    closeness = np.full(len(points), -2.0, dtype=np.float32) if nearest is None else nearest.astype(np.float32)
    picks = np.empty(min(k, len(points)), dtype=np.int64)
    for place in range(len(picks)):
        picks[place] = pick = int(closeness.argmin())
        np.maximum(closeness, points @ points[pick], out=closeness)
        closeness[picks[: place + 1]] = np.inf
    return picks


def k_means_plus_plus(left: np.ndarray, right: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
    """Seeds of k-means++ (Arthur & Vassilvitskii 2007) among the vectors left_i ⊗ right_i, min(k, n) of them.

    The first is the longest vector; each next one is drawn with a probability proportional to its squared
    distance to the nearest seed. Where all distances are 0 the draw is even.

    Args:
        left: (n, a). right: (n, b). rng: of the draws.
    """
    length = np.einsum("ij,ij->i", left, left) * np.einsum("ij,ij->i", right, right)  # ‖left ⊗ right‖²
    picks = np.empty(min(k, len(left)), dtype=np.int64)
    distance = np.full(len(left), np.inf)
    for place in range(len(picks)):
        if place == 0:
            pick = int(length.argmax())
        else:
            total = distance.sum()
            free = np.ones(len(left), dtype=bool)
            free[picks[:place]] = False
            chances = distance / total if total > 0 else free / free.sum()
            pick = int(rng.choice(len(left), p=chances))
        picks[place] = pick
        products = (left @ left[pick]) * (right @ right[pick])
        distance = np.minimum(distance, np.maximum(length + length[pick] - 2 * products, 0))
        distance[picks[: place + 1]] = 0
    return picks


def k_means(points: np.ndarray, k: int, rng: np.random.Generator, rounds: int = 10) -> np.ndarray:
    """The cluster of each point by spherical k-means (Dhillon & Modha 2001), (n, d) → (n,), at most k clusters.

    Starts from k random points; an empty cluster stays empty. Deterministic for one state of ``rng``.
    """
    centres = points[rng.choice(len(points), k, replace=False)]
    own = np.zeros(len(points), dtype=np.int64)
    for _ in range(rounds):
        before = own
        own = np.concatenate(
            [(points[start : start + BLOCK] @ centres.T).argmax(axis=1) for start in range(0, len(points), BLOCK)]
        )
        sums = np.zeros_like(centres)
        np.add.at(sums, own, points)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(length > 0, sums / np.where(length > 0, length, 1), centres)
        if (own == before).all():
            break
    return own

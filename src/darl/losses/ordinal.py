"""The geometry of grades: distances between them, soft targets, and the earth mover's distance along them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from darl.errors import RecipeError
from darl.grades import GradeScale

Distances = torch.Tensor | Sequence[Sequence[float]]


def step_distances(K: int) -> torch.Tensor:
    """d(j, k) = |j − k|, (K, K) float64: neighbours are one step apart.

    >>> step_distances(3).tolist()
    [[0.0, 1.0, 2.0], [1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]
    """
    steps = torch.arange(K, dtype=torch.float64)
    return (steps[:, None] - steps[None, :]).abs()


def gain_distances(scale: GradeScale) -> torch.Tensor:
    """d(j, k) = |gain_j − gain_k| · (K − 1) / (gain_{K−1} − gain_0), (K, K) float64, in mean steps.

    With equal gain steps it is :func:`step_distances`.

    >>> gain_distances(GradeScale(("no", "so-so", "yes"), gains=(0.0, 0.5, 2.0)))[0].tolist()
    [0.0, 0.5, 2.0]
    """
    gains = torch.tensor(scale.gains, dtype=torch.float64)
    return (gains[:, None] - gains[None, :]).abs() * (scale.size - 1) / (gains[-1] - gains[0])


def check_distances(distances: Distances | None, K: int, where: str) -> torch.Tensor:
    """``distances`` as (K, K) float64; None gives :func:`step_distances`.

    Raises:
        RecipeError: not (K, K), not symmetric, not zero on the diagonal, or a row that does not grow away
            from it.
    """
    if distances is None:
        return step_distances(K)
    where = f"{where}.distances"
    try:
        matrix = torch.as_tensor(distances, dtype=torch.float64).detach().cpu()
    except (TypeError, ValueError, RuntimeError):
        raise RecipeError(f"must be a {K} × {K} table of numbers", where=where) from None
    if tuple(matrix.shape) != (K, K):
        raise RecipeError(f"must have shape ({K}, {K}), got {tuple(matrix.shape)}", where=where)
    if not bool(torch.isfinite(matrix).all()) or bool(matrix.diagonal().any()) or not torch.allclose(matrix, matrix.T):
        raise RecipeError("must be finite, symmetric and 0 on the diagonal", where=where)
    right_of_diagonal = torch.triu(torch.ones(K, K - 1, dtype=torch.bool))
    if not bool((matrix.diff(dim=1)[right_of_diagonal] > 0).all()):
        raise RecipeError("must grow with every step away from the diagonal", where=where, mend="omit it for |i − j|")
    return matrix


def soft_targets(distances: torch.Tensor, sharpness: float) -> torch.Tensor:
    """q_y(k) = exp(−a · d(y, k)²) / Σ_j exp(−a · d(y, j)²): (K, K), row y is the target of grade y.

    Source: Díaz & Marathe 2019, *Soft Labels for Ordinal Regression* (CVPR). ``sharpness`` a → ∞ gives
    one-hot rows, a → 0 uniform ones.

    >>> soft_targets(step_distances(3), sharpness=2.0)[0].round(decimals=4).tolist()
    [0.8805, 0.1192, 0.0003]
    """
    return torch.softmax(-sharpness * distances.square(), dim=1)


def neutral_targets(distances: torch.Tensor, sharpness: float) -> torch.Tensor:
    """:func:`soft_targets` whose first and last row leak so much more that no tie of neighbours is decided, (K, K).

    A pair of which half the raters say y and half n = y ± 1 is best answered by the mean of both rows. A middle row
    leaks to two sides and an end row to one, so under plain soft targets the end keeps more: it becomes the likeliest
    grade of that mean, and middle grades starve. Here the end row is

        q_y(k) ∝ c · exp(−a · d(y, k)²) for k ≠ y,   with c such that q_y(y) − q_y(n) = q_n(n) − q_n(y),

    so that a tie stays a tie. With two grades there is no middle to starve, and c = 1.

    >>> q = neutral_targets(step_distances(3), sharpness=2.0)
    >>> q[0].round(decimals=4).tolist(), q[1].round(decimals=4).tolist()
    ([0.84, 0.1596, 0.0004], [0.1065, 0.787, 0.1065])
    >>> bool(torch.isclose(*(q[0] + q[1])[:2]))  # torn between both
    True
    """
    targets, K = soft_targets(distances, sharpness), len(distances)
    if K < 3:
        return targets
    for end, neighbour in ((0, 1), (K - 1, K - 2)):
        gap = float(targets[neighbour, neighbour] - targets[neighbour, end])
        leaks = torch.exp(-sharpness * distances[end].square())
        leaks[end] = 0.0
        leaking = float(leaks[neighbour] + gap * leaks.sum())
        if leaking == 0:  # so sharp that nothing leaks anywhere
            continue
        row = leaks * (1 - gap) / leaking
        row[end] = 1.0
        targets[end] = row / row.sum()
    return targets


def step_widths(distances: torch.Tensor) -> torch.Tensor:
    """s_k = d(k, k + 1), (K − 1,): how far apart neighbouring grades are."""
    return distances.diagonal(offset=1).clone()


def squared_emd(probabilities: torch.Tensor, targets: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """EMD²(p, q) = Σ_{k < K−1} s_k · (P_k − Q_k)², with P, Q the cumulative sums: (n, K), (n, K), (K−1,) →
    (n,).

    Source: Hou, Yu & Samaras 2016, *Squared Earth Mover's Distance-based Loss* (arXiv 1611.05916), whose s_k
    is 1. With one-hot q and s = 1 it lies between 0 and K − 1.

    >>> one_hot = torch.eye(3)
    >>> squared_emd(one_hot[[0, 0, 0]], one_hot, torch.ones(2)).tolist()  # 0, 1 and 2 grades off
    [0.0, 1.0, 2.0]
    """
    gaps = (probabilities - targets)[:, :-1].cumsum(dim=1)  # (n, K−1)
    return (gaps.square() * widths).sum(dim=1)

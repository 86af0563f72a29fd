"""Squared earth mover's distance: how far, along the grades, the probability has to travel."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number
from darl.losses.ordinal import Distances, check_distances, squared_emd, step_widths


class SquaredEMD(GradeLoss):
    """l = Σ_{k < K−1} s_k · (P_k − [k ≥ y])² + β · (−log p_y) with p = softmax(z), P its cumulative sum.

    Source: Hou, Yu & Samaras 2016, *Squared Earth Mover's Distance-based Loss for Training Deep Neural
    Networks* (arXiv 1611.05916). It is bounded by Σ s_k (K − 1 for equal steps), so a hopeless pair stops
    pulling: its gradient vanishes where the softmax is saturated. β > 0 keeps that pull.

    Args:
        K: number of grades.
        ce_weight: β ≥ 0, share of cross-entropy added.
        distances: (K, K) of d, default |i − j|; s_k = d(k, k + 1).

    Raises:
        RecipeError: β negative, or distances that are none.

    >>> sure = torch.tensor([[99.0, 0.0, 0.0]]).expand(3, 3)
    >>> SquaredEMD(K=3).per_pair(sure, torch.tensor([0, 1, 2])).tolist()
    [0.0, 1.0, 2.0]
    """

    name = "squared_emd"
    widths: torch.Tensor

    def __init__(self, K: int, ce_weight: float = 0.0, distances: Distances | None = None) -> None:
        super().__init__(K)
        self.ce_weight = check_number("ce_weight", ce_weight, where=self.name, at_least=0)
        matrix = check_distances(distances, self.K, self.name)
        self.distances = None if distances is None else matrix.tolist()
        self.register_buffer("widths", step_widths(matrix), persistent=False)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        one_hot = F.one_hot(grades, self.K).to(logits)  # (n, K)
        costs = squared_emd(logits.softmax(dim=1), one_hot, self.widths.to(logits))
        if self.ce_weight:
            costs = costs + self.ce_weight * F.cross_entropy(logits, grades, reduction="none")
        return costs

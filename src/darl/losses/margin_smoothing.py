"""Margin-based label smoothing (MbLS): cross-entropy that charges only logit gaps beyond a margin."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number


class MarginSmoothing(GradeLoss):
    """l = −log softmax(z)_y + λ · mean_k max(0, max_j z_j − z_k − m).

    Source: Liu et al. 2022, *The Devil Is in the Margin: Margin-Based Label Smoothing for Network
    Calibration* (CVPR). The paper writes a sum over k, its code takes the mean; the mean is used here, so λ
    does not depend on K.

    Args:
        K: number of grades.
        weight: λ ≥ 0, cost of a logit beyond the margin, in nats; 0 is cross-entropy. The paper uses 0.1.
        margin: m ≥ 0, the largest gap to the top logit that is free, in nats; the paper uses 6 to 10.

    Raises:
        RecipeError: λ or m negative.

    >>> loss = MarginSmoothing(K=2, weight=0.1, margin=10.0)
    >>> round(loss(torch.tensor([[16.0, 0.0]]), torch.tensor([0])).item(), 4)  # 0.1 · (16 − 10) / 2
    0.3
    """

    name = "margin_smoothing"

    def __init__(self, K: int, weight: float = 0.1, margin: float = 10.0) -> None:
        super().__init__(K)
        self.weight = check_number("weight", weight, where=self.name, at_least=0)
        self.margin = check_number("margin", margin, where=self.name, at_least=0)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        gaps = logits.amax(dim=1, keepdim=True) - logits  # (n, K)
        excess = F.relu(gaps - self.margin).mean(dim=1)
        return F.cross_entropy(logits, grades, reduction="none") + self.weight * excess

"""Cross-entropy: the naive loss that every other is measured against."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from darl.losses.base import GradeLoss


class CrossEntropy(GradeLoss):
    """l = −log softmax(z)_y.

    Blind to the order of grades and never satisfied: it falls as long as the logits grow, hence
    over-confidence.

    >>> round(CrossEntropy(K=4)(torch.zeros(1, 4), torch.tensor([2])).item(), 4)  # ln 4
    1.3863
    """

    name = "cross_entropy"

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, grades, reduction="none")

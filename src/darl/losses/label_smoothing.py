"""Label smoothing: cross-entropy against a target that keeps some doubt."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number


class LabelSmoothing(GradeLoss):
    """l = −Σ_k q_k · log softmax(z)_k with q_k = (1 − ε)·[k = y] + ε / K.

    Source: Szegedy et al. 2016, *Rethinking the Inception Architecture* (CVPR); Müller et al. 2019, *When
    Does Label Smoothing Help?* (NeurIPS). The doubt is spread evenly, so a far grade gets as much as a near
    one.

    Args:
        K: number of grades.
        epsilon: ε in [0, 1), the mass spread over all grades; 0 is cross-entropy.

    Raises:
        RecipeError: ε outside [0, 1).

    >>> loss = LabelSmoothing(K=2, epsilon=0.2)
    >>> round(loss(torch.tensor([[9.0, 0.0]]), torch.tensor([0])).item(), 3)  # ≈ 9 · ε/2
    0.9
    """

    name = "label_smoothing"

    def __init__(self, K: int, epsilon: float = 0.1) -> None:
        super().__init__(K)
        self.epsilon = check_number("epsilon", epsilon, where=self.name, at_least=0, below=1)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, grades, reduction="none", label_smoothing=self.epsilon)

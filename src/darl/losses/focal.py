"""Focal loss: pairs that are already right count less."""

from __future__ import annotations

import torch

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number


class Focal(GradeLoss):
    """l = −(1 − p_y)^γ · log p_y with p = softmax(z).

    Source: Lin et al. 2017, *Focal Loss for Dense Object Detection* (ICCV); Mukhoti et al. 2020, *Calibrating
    Deep Neural Networks using Focal Loss* (NeurIPS) for its effect on over-confidence.

    1 − p_y is taken from the other logits, log(1 − p_y) = lse(z_{k≠y}) − lse(z), so that neither the loss nor
    its gradient breaks where p_y rounds to 1.

    Args:
        K: number of grades.
        gamma: γ ≥ 0, how fast a pair's weight falls as it is learnt; 0 is cross-entropy.

    Raises:
        RecipeError: γ negative.

    >>> round(Focal(K=2, gamma=2)(torch.zeros(1, 2), torch.tensor([0])).item(), 4)  # ln 2 / 4
    0.1733
    """

    name = "focal"

    def __init__(self, K: int, gamma: float = 2.0) -> None:
        super().__init__(K)
        self.gamma = check_number("gamma", gamma, where=self.name, at_least=0)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        own = grades[:, None]  # (n, 1)
        total = logits.logsumexp(dim=1)  # (n,)
        log_right = logits.gather(1, own).squeeze(1) - total
        log_wrong = logits.scatter(1, own, -torch.inf).logsumexp(dim=1) - total
        return -torch.exp(self.gamma * log_wrong) * log_right

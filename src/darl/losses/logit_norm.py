"""LogitNorm: cross-entropy on logits of fixed length, so that only their direction can be learnt."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number


class LogitNorm(GradeLoss):
    """l = −log softmax(z / (τ · √(‖z‖² + δ²)))_y.

    Source: Wei et al. 2022, *Mitigating Neural Network Overconfidence with Logit Normalization* (ICML). The
    paper divides by ‖z‖ + 10⁻⁷, whose gradient at a zero-initialised head is 10⁷ times too steep; the smooth
    floor δ bounds it and changes nothing once ‖z‖ ≫ δ.

    The loss cannot fall below log(1 + (K − 1) · exp(−√(K / (K − 1)) / τ)). The length of z is left free, so
    the temperature of softmax(z) must be fitted afterwards; argmax is not touched.

    Args:
        K: number of grades.
        temperature: τ > 0; the paper uses 0.04 on CIFAR-10.
        floor: δ > 0, the length below which logits count as zero.

    Raises:
        RecipeError: τ or δ not positive.

    >>> loss, grade = LogitNorm(K=2, temperature=1.0), torch.tensor([0])
    >>> [round(loss(torch.tensor([[size, 0.0]]), grade).item(), 4) for size in (1.0, 100.0)]  # ln(1 + e⁻¹)
    [0.3133, 0.3133]
    """

    name = "logit_norm"

    def __init__(self, K: int, temperature: float = 0.04, floor: float = 0.01) -> None:
        super().__init__(K)
        self.temperature = check_number("temperature", temperature, where=self.name, above=0)
        self.floor = check_number("floor", floor, where=self.name, above=0)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        length = (logits.square().sum(dim=1, keepdim=True) + self.floor**2).sqrt()  # (n, 1)
        return F.cross_entropy(logits / (self.temperature * length), grades, reduction="none")

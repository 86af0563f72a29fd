"""Soft ordinal labels (SORD): the target's doubt falls off with the distance from the true grade."""

from __future__ import annotations

import torch

from darl.losses.base import GradeLoss
from darl.losses.checks import check_number
from darl.losses.ordinal import Distances, check_distances, soft_targets


class SoftOrdinal(GradeLoss):
    """l = −Σ_k q_y(k) · log softmax(z)_k with q_y(k) ∝ exp(−a · d(y, k)²).

    Source: Díaz & Marathe 2019, *Soft Labels for Ordinal Regression* (CVPR). It is their KL divergence plus
    the constant entropy of q_y, so the gradients agree. The least loss, H(q_y), is at softmax(z) = q_y.

    Args:
        K: number of grades.
        sharpness: a > 0; a → ∞ is cross-entropy. With steps of 1 and a = 2, a neighbour gets e⁻² of the peak.
        distances: (K, K) of d, default |i − j|; see :func:`~darl.losses.ordinal.gain_distances`.

    Raises:
        RecipeError: a not positive, or distances that are none.

    >>> loss = SoftOrdinal(K=3, sharpness=2.0)
    >>> near, far = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2.0, 0.0, 1.0]])
    >>> bool(loss(near, torch.tensor([0])) < loss(far, torch.tensor([0])))
    True
    """

    name = "soft_ordinal"
    targets: torch.Tensor

    def __init__(self, K: int, sharpness: float = 2.0, distances: Distances | None = None) -> None:
        super().__init__(K)
        self.sharpness = check_number("sharpness", sharpness, where=self.name, above=0)
        matrix = check_distances(distances, self.K, self.name)
        self.distances = None if distances is None else matrix.tolist()
        self.register_buffer("targets", soft_targets(matrix, self.sharpness), persistent=False)

    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        targets = self.targets.to(logits)[grades]  # (n, K)
        return -(targets * logits.log_softmax(dim=1)).sum(dim=1)

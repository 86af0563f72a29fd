"""Energy: how little evidence the logits hold for any grade."""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from darl.ood.base import Detector
from darl.ood.checks import check_positive


class Energy(Detector):
    """s(z) = −T · log Σ_k exp(z_k / T), in the unit of the logits; reads logits (n, K), nothing is learnt.

    Source: Liu et al. 2020, *Energy-based Out-of-distribution Detection* (NeurIPS). It depends on a constant
    added to all logits, which the softmax does not see, so compare only logits of one model.

    Args:
        temperature: T > 0.

    Raises:
        RecipeError: T not positive.

    >>> Energy().fit([[0.0, 0.0]]).score([[0.0, 0.0], [9.0, 0.0]]).round(3).tolist()
    [-0.693, -9.0]
    """

    name = "energy"
    reads = "logits"

    def __init__(self, temperature: float = 1.0) -> None:
        self.temperature = check_positive("temperature", temperature, where=self.name)

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        pass

    def _score(self, rows: np.ndarray) -> np.ndarray:
        return -self.temperature * np.asarray(logsumexp(rows.astype(np.float64) / self.temperature, axis=1))

    def _state(self) -> dict[str, np.ndarray]:
        return {}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        pass

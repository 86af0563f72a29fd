"""MSP: one minus the maximum softmax probability."""

from __future__ import annotations

import numpy as np

from darl.ood.base import Detector


class MSP(Detector):
    """s(z) = 1 − max_k softmax(z)_k, in [0, 1 − 1/K]; reads logits (n, K), nothing is learnt.

    Source: Hendrycks & Gimpel 2017, *A Baseline for Detecting Misclassified and Out-of-Distribution Examples*
    (ICLR). It is summed from the other grades, so that near-certain pairs keep their order.

    >>> MSP().fit([[0.0, 0.0]]).score([[0.0, 0.0], [50.0, 0.0]]).tolist()
    [0.5, 1.928...e-22]
    """

    name = "msp"
    reads = "logits"

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        pass

    def _score(self, rows: np.ndarray) -> np.ndarray:
        logits = np.sort(rows.astype(np.float64), axis=1)  # the largest last
        shares = np.exp(logits - logits[:, -1:])
        others = shares[:, :-1].sum(axis=1)
        return others / (1.0 + others)

    def _state(self) -> dict[str, np.ndarray]:
        return {}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        pass

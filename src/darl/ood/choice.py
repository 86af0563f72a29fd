"""choose_detector: which detector tells shifted traffic from known pairs best, on dev sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from darl.errors import RecipeError
from darl.ood.base import Detector
from darl.ood.checks import Features
from darl.ood.registry import make_detector
from darl.ood.separation import auroc

FALLBACK: dict[str, Any] = {"name": "knn", "k": 50}
"""Without a sample of shifted traffic nothing can be chosen; this was best or within .01 AUROC of it on every suite."""

CANDIDATES: tuple[dict[str, Any], ...] = (
    FALLBACK,
    {"name": "knn", "k": 10},
    {"name": "mahalanobis"},
    {"name": "mahalanobis", "class_conditional": True, "shrinkage": 0.0},
    {"name": "fusion", "members": [FALLBACK, {"name": "mahalanobis"}]},
)


@dataclass(frozen=True)
class DetectorChoice:
    """The chosen detector, fitted; and what each candidate reached.

    Attributes:
        detector: fitted on the training features.
        table: one row a candidate: its settings and ``auroc`` of shifted against known pairs, in [0, 1].
    """

    detector: Detector
    table: tuple[dict[str, Any], ...]

    @property
    def why(self) -> str:
        """The choice in words."""
        if not self.table:
            return f"{self.detector!r}, for there is no sample of shifted traffic to choose by"
        ranked = sorted(self.table, key=lambda row: -row["auroc"])
        others = "; ".join(f"{_named(row)} {row['auroc']:.3f}" for row in ranked[1:])
        best = f"{self.detector!r} tells dev_ood from dev_id best: AUROC {ranked[0]['auroc']:.3f}"
        return f"{best} (others: {others})" if others else best


def choose_detector(
    features: Features,
    dev_id: Features,
    dev_ood: Features | None,
    *,
    grades: ArrayLike | torch.Tensor | None = None,
    candidates: Sequence[dict[str, Any]] = CANDIDATES,
) -> DetectorChoice:
    """Fit every candidate on the training features, keep the one with the highest AUROC on the dev sets.

    No detector is best everywhere: on anisotropic features a covariance helps, where the known pairs lie in many
    small heaps neighbours do. A few hundred pairs of shifted traffic tell which; their grades are not read.

    Args:
        features: (n, d) of training pairs.
        dev_id: (a, d) of known pairs with other queries.
        dev_ood: (b, d) of shifted pairs; None takes :data:`FALLBACK`.
        grades: (n,) of the training pairs; class-conditional candidates are left out without them.
        candidates: a name and parameters each; of equals the first wins.

    Raises:
        RecipeError: no candidate.

    >>> rng = np.random.default_rng(0)
    >>> stretched = rng.normal(0, 1, (400, 6)) * [9, 9, 9, 1, 1, 1]
    >>> shifted = stretched[:100] + [0, 0, 0, 4, 4, 4]
    >>> choice = choose_detector(stretched[:200], stretched[200:], shifted)
    >>> print(choice.why)
    Mahalanobis(...) tells dev_ood from dev_id best: AUROC 1.000 (others: fusion() ...; knn(k=10) ...; knn(k=50) ...)
    """
    if not candidates:
        raise RecipeError("no detector to choose from", where="ood.candidates")
    if dev_ood is None:
        chosen = make_detector(**FALLBACK).fit(features, grades, held_out=dev_id)
        return DetectorChoice(chosen, ())
    best, highest, table = None, -np.inf, []
    for candidate in candidates:
        if grades is None and candidate.get("class_conditional"):
            continue
        detector = make_detector(**candidate).fit(features, grades, held_out=dev_id)
        value = auroc(detector.score(dev_id), detector.score(dev_ood))
        table.append({**candidate, "auroc": value})
        if value > highest:
            best, highest = detector, value
    assert best is not None
    return DetectorChoice(best, tuple(table))


def _named(row: dict[str, Any]) -> str:
    settings = {key: value for key, value in row.items() if key not in ("name", "auroc", "members")}
    return f"{row['name']}({', '.join(f'{key}={value}' for key, value in settings.items())})"

"""DecisionRule: how a row of grade probabilities becomes one grade.

A rule is saved with the model, so a prediction never depends on how it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from darl.errors import DataError, ModelError

KINDS = ("argmax", "prior_corrected", "least_cost", "thresholds")


@dataclass(frozen=True)
class DecisionRule:
    """Probabilities (n, K) → grades (n,), in one of four ways; ties go to the lower grade.

    | kind | decision | parameters |
    |---|---|---|
    | `argmax` | argmax_k p_k | none |
    | `prior_corrected` | argmax_k p_k / π_k^τ (logit adjustment, Menon et al. 2021) | `prior` π, `tau` ≥ 0 |
    | `least_cost` | argmin_j Σ_i p_i · abs(i − j)^power: the median (1) or rounded mean (2) | `power` |
    | `thresholds` | how many of the thresholds are ≤ Σ_k k·p_k, the expected grade | K − 1 `thresholds` |

    Raises:
        ModelError: an unknown kind, or parameters that do not fit it.

    >>> p = np.array([[0.45, 0.10, 0.45], [0.2, 0.5, 0.3]])
    >>> DecisionRule().decide(p).tolist(), DecisionRule("least_cost", power=2).decide(p).tolist()
    ([0, 1], [1, 1])
    >>> DecisionRule("prior_corrected", prior=(0.6, 0.3, 0.1), tau=1.0).decide(p).tolist()
    [2, 2]
    >>> rule = DecisionRule("thresholds", thresholds=(0.5, 1.05))
    >>> rule.decide(p).tolist(), DecisionRule.from_dict(rule.to_dict()) == rule
    ([1, 2], True)
    """

    kind: str = "argmax"
    prior: tuple[float, ...] = ()
    tau: float = 1.0
    power: int = 1
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "prior", tuple(float(x) for x in self.prior))
        object.__setattr__(self, "thresholds", tuple(float(x) for x in self.thresholds))
        if self.kind not in KINDS:
            raise ModelError(f"unknown decision rule {self.kind!r}", mend=f"use one of {', '.join(KINDS)}")
        if self.kind == "prior_corrected":
            if len(self.prior) < 2 or not all(0 < x < np.inf for x in self.prior):
                raise ModelError(f"a prior needs K ≥ 2 positive numbers, got {list(self.prior)}")
            if not 0 <= self.tau < np.inf:
                raise ModelError(f"tau must be a finite number ≥ 0, got {self.tau}")
        if self.kind == "least_cost" and self.power not in (1, 2):
            raise ModelError(f"the power of the ordinal cost must be 1 or 2, got {self.power}")
        if self.kind == "thresholds":
            steps = np.diff(self.thresholds)
            if not self.thresholds or not np.isfinite(self.thresholds).all() or (steps <= 0).any():
                raise ModelError(f"thresholds must be K − 1 increasing numbers, got {list(self.thresholds)}")

    @property
    def size(self) -> int | None:
        """K where the parameters fix it, else None (the rule takes any K)."""
        sizes = {"prior_corrected": len(self.prior), "thresholds": len(self.thresholds) + 1}
        return sizes.get(self.kind)

    @property
    def name(self) -> str:
        """A short name with its parameter, as tables show it."""
        detail = {"prior_corrected": f" τ={self.tau:g}", "least_cost": f" power={self.power}"}
        return self.kind + detail.get(self.kind, "")

    def decide(self, probabilities: np.ndarray) -> np.ndarray:
        """Grades (n,) int64 for probabilities (n, K).

        Raises:
            DataError: not a finite (n, K) matrix, K ≥ 2, or K differs from the rule's.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        if p.ndim != 2 or p.shape[1] < 2:
            raise DataError(f"probabilities must be an (n, K) matrix with K ≥ 2, got shape {p.shape}")
        if not np.isfinite(p).all():
            raise DataError("the probabilities are not finite", mend="is the model whole? Its logits are no numbers")
        if self.size not in (None, p.shape[1]):
            raise DataError(f"the rule {self.name!r} is for {self.size} grades, the probabilities have {p.shape[1]}")
        if self.kind == "prior_corrected":
            p = p / np.asarray(self.prior) ** self.tau
        elif self.kind == "least_cost":
            rank = np.arange(p.shape[1])
            p = -(p @ np.abs(rank[:, None] - rank[None, :]).astype(np.float64) ** self.power)
        elif self.kind == "thresholds":
            expected = p @ np.arange(p.shape[1], dtype=np.float64)
            return np.searchsorted(self.thresholds, expected, side="right").astype(np.int64)
        return p.argmax(axis=1).astype(np.int64)

    def to_dict(self) -> dict:
        """Plain JSON values, only the parameters of this kind."""
        mine = {"prior_corrected": ("prior", "tau"), "least_cost": ("power",), "thresholds": ("thresholds",)}
        every = {
            "prior": list(self.prior),
            "tau": self.tau,
            "power": self.power,
            "thresholds": list(self.thresholds),
        }
        return {"kind": self.kind, **{key: every[key] for key in mine.get(self.kind, ())}}

    @classmethod
    def from_dict(cls, data: dict) -> DecisionRule:
        """The rule that `to_dict` wrote.

        Raises:
            ModelError: unknown keys, or values that make no rule.
        """
        try:
            return cls(**data)
        except (TypeError, ValueError) as error:
            raise ModelError(f"not a decision rule: {data!r} ({error})") from error

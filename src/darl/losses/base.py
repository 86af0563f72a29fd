"""GradeLoss: the contract of every loss in darl.

A loss says what one pair costs (:meth:`GradeLoss.per_pair`); the base class checks the input and averages, so
weights mean the same thing under every loss.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from darl.errors import DataError, EmptySplitError, GradeError, ModelError
from darl.losses.checks import check_integer


class GradeLoss(nn.Module, ABC):
    """A loss on K logits and grades 0 … K−1, averaged with weights.

        loss = Σ_i w_i · c[y_i] · l_i / Σ_i w_i · c[y_i]

    with l_i = ``per_pair(...)[i]`` in nats, w the pair's weight and c its grade's weight, both 1 if not
    given. A weight of 2 is thus the same as the pair standing twice. The sum runs in float32 (float64 if the
    logits are), under autocast too.

    A subclass sets ``name``, keeps each constructor parameter in an attribute of the same name (so that
    :meth:`settings` finds it) and writes :meth:`per_pair`.

    Args:
        K: number of grades, at least 2.

    Raises:
        RecipeError: K or a parameter has an impossible value.

    >>> from darl.losses import CrossEntropy
    >>> loss, logits, grades = CrossEntropy(K=2), torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([1, 0])
    >>> round(loss(logits, grades, weights=torch.tensor([1.0, 0.0])).item(), 4)
    0.6931
    """

    name: ClassVar[str]

    def __init__(self, K: int) -> None:
        super().__init__()
        self.K = check_integer("K", K, at_least=2, where=type(self).__name__)

    @abstractmethod
    def per_pair(self, logits: torch.Tensor, grades: torch.Tensor) -> torch.Tensor:
        """What each pair costs, unchecked: logits (n, K) float32 or 64, grades (n,) int64 → (n,) in nats."""

    def per_pair_soft(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """What each pair costs against a teacher's grade probabilities, unchecked.

            l_i = Σ_k t_ik · per_pair(z_i, k)

        the expected cost under the teacher; a loss with soft targets of its own puts t in their place.

        Args:
            logits: (n, K). targets: (n, K), rows that sum to 1.
        """
        grades = torch.arange(self.K, device=logits.device)
        costs = [self.per_pair(logits, grade.expand(len(logits))) for grade in grades]
        return (targets.to(logits) * torch.stack(costs, dim=1)).sum(dim=1)

    def forward(
        self,
        logits: torch.Tensor,
        grades: torch.Tensor,
        weights: torch.Tensor | None = None,
        class_weights: torch.Tensor | None = None,
        targets: torch.Tensor | None = None,
        share: torch.Tensor | None = None,
        mean_weight: float | None = None,
    ) -> torch.Tensor:
        """The weighted mean over the batch, a scalar.

        With a teacher, a pair costs (1 − s_i) · per_pair(z_i, y_i) + s_i · per_pair_soft(z_i, t_i).

        In training the batch is one of many, and its own weights would cancel: alone in a batch, a pair of weight .1
        would count as much as one of weight 5. With the ``mean_weight`` of all training pairs the divisor is
        n · mean_weight instead, so that over the batches the sums are those of one batch of all.

        Args:
            logits: (n, K), any float type; low precision is raised to float32.
            grades: (n,) integers 0 … K−1.
            weights: (n,) finite, ≥ 0, one a pair.
            class_weights: (K,) finite, ≥ 0, one a grade.
            targets: (n, K) grade probabilities of a teacher, for distillation (Hinton et al. 2015).
            share: (n,) s in [0, 1], how much the teacher counts against the pair's own grade; default 1.
            mean_weight: the mean of w_i · c[y_i] over all training pairs, > 0; default that of the batch.

        Raises:
            ModelError: the logits do not have K columns.
            EmptySplitError: no pair in the batch.
            GradeError: a grade outside 0 … K−1, or grades that are not integers.
            DataError: weights of a wrong length, negative, not finite, or that add up to nothing.
        """
        self._check(logits, grades)
        precise = logits if logits.dtype == torch.float64 else logits.float()
        grades = grades.to(device=logits.device, dtype=torch.int64)
        with torch.autocast(device_type=logits.device.type, enabled=False):
            costs = self.per_pair(precise, grades)  # (n,)
            if targets is not None:
                if tuple(targets.shape) != tuple(logits.shape):
                    raise DataError(f"targets must have shape {tuple(logits.shape)}, got {tuple(targets.shape)}")
                taught = torch.ones_like(costs) if share is None else share.to(costs)
                costs = (1 - taught) * costs + taught * self.per_pair_soft(precise, targets.to(precise))
            if weights is None and class_weights is None:
                return costs.mean()
            share = torch.ones_like(costs)
            if weights is not None:
                share = share * _checked_weights(weights, len(costs), "weights", like=costs)
            if class_weights is not None:
                share = share * _checked_weights(class_weights, self.K, "class_weights", like=costs)[grades]
            if mean_weight is not None:
                return (share * costs).sum() / (len(costs) * mean_weight)
            total = share.sum()
            if not total > 0:
                raise DataError(
                    "every pair of the batch has weight 0",
                    where=type(self).__name__,
                    mend="give a positive weight to at least one pair, and to a grade that occurs",
                )
            return (share * costs).sum() / total

    @property
    def needs_prior(self) -> bool:
        """Whether :meth:`set_prior` must be called before the first loss."""
        return False

    def set_prior(self, counts: Sequence[float] | torch.Tensor) -> None:
        """Take the grades' frequencies, (K,). Losses that do not look at the prior ignore it."""

    def calibrated_logits(self, logits: torch.Tensor) -> torch.Tensor:
        """The logits (n, K) whose softmax this loss fits to the training frequencies; mostly the logits as
        they are.
        """
        return logits

    def settings(self) -> dict:
        """The constructor's parameters except K, fit for JSON; ``make_loss(name, K, **settings)`` builds
        the twin.
        """
        names = [name for name in inspect.signature(type(self)).parameters if name != "K"]
        return {name: getattr(self, name) for name in names}

    def extra_repr(self) -> str:
        return ", ".join([f"K={self.K}", *(f"{key}={value!r}" for key, value in self.settings().items())])

    def _check(self, logits: torch.Tensor, grades: torch.Tensor) -> None:
        where = type(self).__name__
        if logits.ndim != 2 or logits.shape[1] != self.K or not logits.is_floating_point():
            raise ModelError(
                f"logits must be floats of shape (n, {self.K}), got {logits.dtype} {tuple(logits.shape)}",
                where=where,
                mend="give the head and the loss the same number of grades",
            )
        if grades.ndim != 1 or len(grades) != len(logits):
            raise GradeError(f"{len(logits)} rows of logits but grades of shape {tuple(grades.shape)}", where=where)
        if not len(logits):
            raise EmptySplitError("no pair in the batch", where=where)
        if grades.is_floating_point() or grades.is_complex() or grades.dtype == torch.bool:
            raise GradeError(f"grades must be integers, got {grades.dtype}", where=where, mend="cast them to int64")
        low, high = (int(bound) for bound in torch.aminmax(grades))
        if low < 0 or high >= self.K:
            raise GradeError(
                f"grade {low if low < 0 else high} is outside 0 … {self.K - 1}",
                where=where,
                mend="drop unlabelled pairs, or use a scale with more grades",
            )


def _checked_weights(values: torch.Tensor, length: int, name: str, like: torch.Tensor) -> torch.Tensor:
    """``values`` on the device and in the type of ``like``, once they are ``length`` finite numbers ≥ 0."""
    values = torch.as_tensor(values).detach().to(like)
    if tuple(values.shape) != (length,):
        raise DataError(f"{name} must have shape ({length},), got {tuple(values.shape)}")
    if not bool((torch.isfinite(values) & (values >= 0)).all()):
        raise DataError(f"{name} must be finite and not negative", mend="use 0 to leave a pair or grade out")
    return values

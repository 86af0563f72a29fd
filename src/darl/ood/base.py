"""Detector: the contract of every OOD detector in darl."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike

from darl.errors import DataError, EmptySplitError, ModelError
from darl.ood.checks import Features, check_grades, check_integer, check_shape, check_values


class Detector(ABC):
    """Says how far a row of features lies outside the distribution of those it was fitted on.

    **Larger = further out**, for every detector. The unit is the detector's own; an
    :class:`~darl.ood.reference.OODReference` turns scores into percentiles. Features are any matrix (n, d):
    hidden states, or logits where :attr:`reads` says so.

    A subclass sets ``name``, keeps each constructor parameter in an attribute of the same name, and writes
    ``_fit``, ``_score``, ``_state`` and ``_restore``; checks, chunks and precision are handled here. Rows are
    float32 inside, scores float64.

    >>> from darl.ood import KNN
    >>> detector = KNN(k=1).fit([[1.0, 0.0], [1.0, 0.1]])
    >>> near, far = detector.score([[1.0, 0.05], [0.0, 1.0]])
    >>> bool(near < far)
    True
    """

    name: ClassVar[str]
    reads: ClassVar[Literal["features", "logits"]] = "features"
    width_: int | None = None

    def fit(
        self, features: Features, grades: ArrayLike | torch.Tensor | None = None, *, held_out: Features | None = None
    ) -> Self:
        """Learn what in-distribution looks like.

        Args:
            features: (n, d), n ≥ 1, of in-distribution pairs.
            grades: (n,) integers; only class-conditional detectors look at them.
            held_out: (h, d) of in-distribution pairs that are not in ``features``; only fusion looks at them.

        Raises:
            EmptySplitError: no row.
            DataError: not a matrix, or values that are NaN or infinite.
            GradeError: grades that are not n integers.
        """
        matrix = check_shape(features, where=self.name)
        if not len(matrix):
            raise EmptySplitError("no pair to fit on", where=self.name)
        rows = check_values(matrix, where=self.name)
        labels = None if grades is None else check_grades(grades, len(rows), where=self.name)
        others = None
        if held_out is not None:
            others = check_values(check_shape(held_out, where=self.name, width=rows.shape[1]), where=self.name)
        self._fit(rows, labels, others)
        self.width_ = rows.shape[1]
        return self

    def score(self, features: Features, *, chunk_rows: int = 1024) -> np.ndarray:
        """How far out each row lies, (m, d) → (m,) float64, larger = further out.

        Rows are read ``chunk_rows`` at a time, so a memory-mapped matrix of any length will do.

        Raises:
            ModelError: the detector is not fitted.
            DataError: another number of columns than at the fit; NaN or infinite values; values so large that
                the score overflows.
        """
        if self.width_ is None:
            raise ModelError("the detector is not fitted", where=self.name, mend="call fit(features) first")
        check_integer("chunk_rows", chunk_rows, where=self.name, at_least=1)
        matrix = check_shape(features, where=self.name, width=self.width_)
        scores = np.empty(len(matrix), dtype=np.float64)
        for start in range(0, len(matrix), chunk_rows):
            rows = check_values(matrix[start : start + chunk_rows], where=self.name, first_row=start)
            with np.errstate(over="ignore", invalid="ignore"):
                scores[start : start + len(rows)] = self._score(rows)
        if not np.isfinite(scores).all():
            row = int(np.flatnonzero(~np.isfinite(scores))[0])
            raise DataError(f"the features of row {row} are too large to be scored", where=self.name)
        return scores

    def settings(self) -> dict:
        """The constructor's parameters, fit for JSON."""
        return {key: getattr(self, key) for key in inspect.signature(type(self)).parameters}

    def state(self) -> dict[str, np.ndarray]:
        """All that the fit has learnt, as arrays; with :meth:`settings` it rebuilds the detector.

        Raises:
            ModelError: the detector is not fitted.
        """
        if self.width_ is None:
            raise ModelError("the detector is not fitted", where=self.name, mend="call fit(features) first")
        return {"width": np.array([self.width_], dtype=np.int64), **self._state()}

    @classmethod
    def from_state(cls, settings: dict, state: dict[str, np.ndarray]) -> Self:
        """The detector whose :meth:`settings` and :meth:`state` these are.

        Raises:
            ModelError: an array is missing, or the parts do not fit together.
        """
        try:
            detector = cls(**settings)
            detector._restore(state)
            detector.width_ = int(state["width"][0])
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ModelError(
                f"the saved detector is incomplete: {error}", where=cls.name, mend="fit it anew"
            ) from error
        return detector

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{key}={value!r}' for key, value in self.settings().items())})"

    @abstractmethod
    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        """Learn from finite float32 rows (n, d), n ≥ 1."""

    @abstractmethod
    def _score(self, rows: np.ndarray) -> np.ndarray:
        """Score a chunk of finite float32 rows (c, d) → (c,)."""

    @abstractmethod
    def _state(self) -> dict[str, np.ndarray]:
        """The fitted arrays."""

    @abstractmethod
    def _restore(self, state: dict[str, np.ndarray]) -> None:
        """Take the fitted arrays back; KeyError where one is missing."""

"""Mahalanobis distance, plain, class-conditional or relative."""

from __future__ import annotations

from numbers import Real

import numpy as np

from darl.errors import DataError, RecipeError
from darl.ood.base import Detector
from darl.ood.checks import check_flag
from darl.ood.covariance import shrunk_covariance, whitening


class Mahalanobis(Detector):
    """Squared distance in units of the features' own spread.

        plain               s(x) = M(x; μ, Σ) = (x − μ)ᵀ Σ⁻¹ (x − μ)
        class-conditional   s(x) = min_c M(x; μ_c, Σ_w),  Σ_w the covariance within grades
        relative            s(x) = min_c M(x; μ_c, Σ_w) − M(x; μ, Σ); may be negative

    Sources: Lee et al. 2018, *A Simple Unified Framework for Detecting Out-of-Distribution Samples*
    (NeurIPS); Ren et al. 2021, *A Simple Fix to Mahalanobis Distance* (arXiv 2106.09022); covariances shrunk
    after Ledoit & Wolf 2004, see :mod:`darl.ood.covariance`.

    With C grades the means differ in C − 1 directions at most, and outside them Σ_w ≈ Σ: the relative
    distance sees little else. For three grades that is two directions, so measure it before choosing it.

    Args:
        class_conditional: distance to the nearest grade's mean; needs grades at the fit.
        relative: minus the plain distance, so that directions that all pairs share cancel; implies
            class-conditional.
        shrinkage: "ledoit_wolf", or a number in [0, 1]; 0 leaves the covariance as it is.

    Raises:
        RecipeError: a parameter out of range.
        DataError: (fit) grades are needed and not given.

    >>> rows = [[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]]
    >>> Mahalanobis(shrinkage=0).fit(rows).score([[1.0, 0.0], [0.0, 1.0]]).round(3).tolist()
    [2.0, 0.222]
    """

    name = "mahalanobis"

    def __init__(
        self, class_conditional: bool = False, relative: bool = False, shrinkage: str | float = "ledoit_wolf"
    ) -> None:
        self.relative = check_flag("relative", relative, where=self.name)
        self.class_conditional = check_flag("class_conditional", class_conditional, where=self.name) or relative
        self.shrinkage = _checked_shrinkage(shrinkage, where=f"{self.name}.shrinkage")

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        rate = None if isinstance(self.shrinkage, str) else self.shrinkage
        mean = rows.mean(axis=0, dtype=np.float64)
        self.mean_ = mean.astype(np.float32)  # (d,)
        residuals = rows - self.mean_
        if self.class_conditional:
            if grades is None:
                raise DataError(
                    "class-conditional distance needs grades",
                    where=self.name,
                    mend="pass grades=, or use the plain distance",
                )
            self._fit_within(residuals, grades, rate)
        if self._needs_background:
            self.background_ = whitening(shrunk_covariance(residuals, rate))  # (d, d)

    def _fit_within(self, residuals: np.ndarray, grades: np.ndarray, rate: float | None) -> None:
        present, own = np.unique(grades, return_inverse=True)
        means = [residuals[own == c].mean(axis=0, dtype=np.float64) for c in range(len(present))]
        centres = np.stack(means).astype(np.float32)  # (C, d), from the overall mean
        self.within_ = whitening(shrunk_covariance(residuals - centres[own], rate))  # (d, d)
        self.centres_ = centres @ self.within_  # (C, d), whitened

    def _score(self, rows: np.ndarray) -> np.ndarray:
        residuals = rows - self.mean_
        background = np.zeros(len(rows))
        if self._needs_background:
            background = _square(residuals @ self.background_)
        if not self.class_conditional:
            return background
        white = residuals @ self.within_
        nearest = np.min([_square(white - centre) for centre in self.centres_], axis=0)
        return nearest - background

    @property
    def _needs_background(self) -> bool:
        return self.relative or not self.class_conditional

    def _state(self) -> dict[str, np.ndarray]:
        return {key: getattr(self, f"{key}_") for key in self._arrays}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        for key in self._arrays:
            setattr(self, f"{key}_", state[key])

    @property
    def _arrays(self) -> list[str]:
        background = ["background"] if self._needs_background else []
        return ["mean", *background, *(["within", "centres"] if self.class_conditional else [])]


def _square(white: np.ndarray) -> np.ndarray:
    """‖row‖², (n, d) → (n,) float64; summed in float32, whose error of 10⁻⁶ is far below that of the covariance."""
    return np.einsum("ij,ij->i", white, white).astype(np.float64)


def _checked_shrinkage(shrinkage: object, where: str) -> str | float:
    if shrinkage == "ledoit_wolf":
        return "ledoit_wolf"
    number = float(shrinkage) if isinstance(shrinkage, Real) and not isinstance(shrinkage, bool) else -1.0
    if not 0 <= number <= 1:
        raise RecipeError(f'must be "ledoit_wolf" or a number in [0, 1], got {shrinkage!r}', where=where)
    return number

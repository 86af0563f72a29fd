"""Peer: any feature detector of pytorch-ood under darl's interface."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from darl.errors import DataError, MissingExtraError, RecipeError
from darl.ood.base import Detector

HEADLESS = ("KNN", "Mahalanobis", "RMD", "GMM")
"""Detectors of pytorch-ood that need nothing beside features and grades."""

HEADED = ("ViM", "NNGuide", "SHE", "fDBD", "NCI", "PNML")
"""Those that also look at a linear head; here one is fitted on the features by logistic regression."""


class Peer(Detector):
    """A feature detector of pytorch-ood (Kirchheim et al. 2022), with its own defaults and its own score.

    Its scores are larger = further out too. Nothing is pickled: the state is the fitted rows and grades, and
    restoring fits again, which is deterministic. So a saved reference is as large as its training features.

    Args:
        method: a name of :data:`HEADLESS` or :data:`HEADED`, upper or lower case.
        k: passed on where the method has a ``k`` (KNN, NNGuide); None for its default.
        d: ViM's principal dimensions; None for half the width.

    Raises:
        RecipeError: an unknown method.
        MissingExtraError: (fit) pytorch-ood is not installed.
        DataError: (fit) no grades, which all of these need.

    >>> Peer("vim")
    Peer(method='ViM', k=None, d=None)
    """

    name = "peer"

    def __init__(self, method: str = "ViM", k: int | None = None, d: int | None = None) -> None:
        known = {name.lower(): name for name in (*HEADLESS, *HEADED)}
        if str(method).lower() not in known:
            raise RecipeError(
                f"unknown method {method!r}", where=f"{self.name}.method", mend=f"Known: {', '.join(known.values())}"
            )
        self.method, self.k, self.d = known[str(method).lower()], k, d

    def _fit(self, rows: np.ndarray, grades: np.ndarray | None, held_out: np.ndarray | None) -> None:
        if grades is None:
            raise DataError(f"{self.method} needs grades", where=self.name, mend="pass grades=, or choose knn")
        self.rows_ = rows
        self.grades_ = np.unique(grades, return_inverse=True)[1].astype(np.int64)  # contiguous, as it asks for
        self._predict = self._fitted()

    def _fitted(self) -> Callable[[torch.Tensor], torch.Tensor]:
        features, labels = torch.from_numpy(self.rows_), torch.from_numpy(self.grades_)
        extra: dict[str, Any] = {} if self.k is None else {"k": min(self.k, len(features))}
        if self.method == "KNN" and self.k is None:
            extra["k"] = min(50, len(features))  # its own default, where there are so many rows
        if self.method == "NNGuide" and self.k is None:
            extra["k"] = min(10, len(features))
        if self.method in HEADED:
            head = linear_head(self.rows_, self.grades_)
            if self.method == "ViM":
                width = self.d or self.rows_.shape[1] // 2
                extra |= {"w": head.weight.detach(), "b": head.bias.detach(), "d": max(1, width)}
            else:
                extra["head"] = head
        detector = getattr(detectors(), self.method)(None, **extra)
        try:
            with torch.no_grad():
                detector.fit_features(features, labels)
        except (ValueError, AssertionError, RuntimeError) as error:
            raise DataError(f"{self.method} cannot be fitted: {error}", where=self.name) from error
        return detector.predict_features

    def _score(self, rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self._predict(torch.from_numpy(rows)).double().numpy()

    def _state(self) -> dict[str, np.ndarray]:
        return {"rows": self.rows_, "grades": self.grades_}

    def _restore(self, state: dict[str, np.ndarray]) -> None:
        self.rows_, self.grades_ = state["rows"], state["grades"]
        self._predict = self._fitted()


def linear_head(rows: np.ndarray, grades: np.ndarray) -> torch.nn.Linear:
    """A K-row linear head by logistic regression (λ of scikit-learn's default) on rows (n, d)."""
    from sklearn.linear_model import LogisticRegression

    head = torch.nn.Linear(rows.shape[1], int(grades.max()) + 1)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.zero_()
        if len(np.unique(grades)) > 1:
            fitted = LogisticRegression(max_iter=200).fit(rows, grades)
            weight, bias = fitted.coef_, fitted.intercept_
            if len(weight) == 1:  # two grades: scikit-learn keeps the second row alone
                weight, bias = np.vstack([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))
    return head


def detectors() -> types.ModuleType:
    """``pytorch_ood.detector``, without the image models that the package imports beside it.

    These need a torchvision that fits torch to the digit, which many machines lack; no detector here does.

    Raises:
        MissingExtraError: pytorch-ood is not installed.
    """
    if "pytorch_ood.detector" not in sys.modules:
        spec = importlib.util.find_spec("pytorch_ood")
        if spec is None or not spec.submodule_search_locations:
            raise MissingExtraError("this detector needs pytorch-ood", where="ood", mend="pip install 'darl[ood]'")
        if "pytorch_ood" not in sys.modules:
            bare = types.ModuleType("pytorch_ood")
            bare.__path__, bare.__spec__ = list(spec.submodule_search_locations), spec
            sys.modules["pytorch_ood"] = bare
    return importlib.import_module("pytorch_ood.detector")

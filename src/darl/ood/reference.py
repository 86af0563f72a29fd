"""OODReference: a fitted detector with the held-out scores that give its numbers a meaning."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from darl.errors import DarlError, DataError, EmptySplitError, ModelError, RecipeError
from darl.ood.base import Detector
from darl.ood.checks import Features
from darl.ood.known import KnownPairs
from darl.ood.ranks import percentile_ranks
from darl.ood.registry import detector_class, make_detector
from darl.storage import atomic_file, atomic_write_json, read_json, sha256_file

FORMAT = 1


class OODReference:
    """A detector and the sorted scores of held-out in-distribution pairs.

    Args:
        detector: fitted.
        held_out_scores: (N,) its scores of ID pairs that it was not fitted on; sorted here.
        feature_spec: what the features are (model, layer, pooling …), fit for JSON; kept as it is.
        known: held-out pairs as the model sees them, against which drift is measured; None in models that
            were saved without.

    Raises:
        EmptySplitError: no held-out score.
        DataError: held-out scores that are not finite numbers of shape (N,).
    """

    def __init__(
        self,
        detector: Detector,
        held_out_scores: ArrayLike,
        feature_spec: dict[str, Any] | None = None,
        known: KnownPairs | None = None,
    ) -> None:
        self.detector, self.known = detector, known
        self.held_out_scores = np.sort(np.asarray(held_out_scores, dtype=np.float64), axis=None)  # (N,)
        self.feature_spec = dict(feature_spec or {})
        if not len(self.held_out_scores):
            raise EmptySplitError("no held-out pair", where="ood", mend="set some in-distribution pairs aside")
        if not np.isfinite(self.held_out_scores).all():
            raise DataError("held-out scores must be finite", where="ood")

    def score(self, features: Features) -> np.ndarray:
        """The detector's scores, (m, d) → (m,) float64, larger = further out; errors as
        :meth:`Detector.score`.
        """
        return self.detector.score(features)

    def percentile(self, features: Features) -> np.ndarray:
        """Where the scores stand among the held-out ones, (m, d) → (m,) in [0, 100].

        100 · (#{h < s} + ½ · #{h = s}) / N: 95 means that 95 % of held-out ID pairs lie nearer. For ID pairs
        it is uniform; beyond the largest held-out score it is 100, where only :meth:`score` tells pairs
        apart.
        """
        return self.percentile_of(self.score(features))

    def percentile_of(self, scores: ArrayLike) -> np.ndarray:
        """:meth:`percentile` of scores that are at hand already, (m,) → (m,)."""
        return percentile_ranks(np.asarray(scores, dtype=np.float64), self.held_out_scores)

    def flag(self, features: Features, at: float = 95.0) -> np.ndarray:
        """Which pairs have a percentile of ``at`` or more, (m, d) → (m,) bool; about 100 − ``at`` % of ID
        pairs do.

        Raises:
            RecipeError: ``at`` outside [0, 100].
        """
        if not 0 <= at <= 100:
            raise RecipeError(f"must be in [0, 100], got {at!r}", where="ood.at")
        return self.percentile(features) >= at

    def save(self, path_stem: str | os.PathLike[str]) -> None:
        """Write ``<path_stem>.safetensors`` (arrays) and ``<path_stem>.json`` (the rest, with the arrays'
        SHA-256).

        Raises:
            StorageError: no room, or no right to write.
        """
        arrays, facts = _paths(path_stem)
        state = {f"detector.{key}": array for key, array in self.detector.state().items()}
        state["held_out_scores"] = self.held_out_scores
        if self.known is not None:
            state |= {f"known.{key}": array for key, array in self.known.arrays().items()}
        with atomic_file(arrays) as scratch:
            save_file({key: np.ascontiguousarray(array) for key, array in state.items()}, scratch)
        atomic_write_json(
            facts,
            {
                "format": FORMAT,
                "detector": self.detector.name,
                "settings": self.detector.settings(),
                "feature_spec": self.feature_spec,
                "sha256": sha256_file(arrays),
                **({} if self.known is None else {"known": self.known.facts()}),
            },
        )

    @classmethod
    def load(cls, path_stem: str | os.PathLike[str]) -> OODReference:
        """The reference that :meth:`save` wrote; its scores are the same, bit for bit, on the same machine.

        Raises:
            StorageError: a file is missing or cannot be read.
            ModelError: the files are damaged, do not belong together, or come from a newer darl.
        """
        arrays, facts = _paths(path_stem)
        about = read_json(facts)
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ModelError("not an OOD reference of this version of darl", where=facts, mend="fit it anew")
        if sha256_file(arrays) != about.get("sha256"):
            raise ModelError("not the arrays that its JSON file was written with", where=arrays, mend="copy both anew")
        try:
            state = load_file(arrays)
            detector = detector_class(about["detector"]).from_state(
                about["settings"],
                {key.removeprefix("detector."): array for key, array in state.items() if key.startswith("detector.")},
            )
            known = None
            if "known" in about:  # models saved before drift was measured have none
                rows = {key.removeprefix("known."): array for key, array in state.items() if key.startswith("known.")}
                known = KnownPairs.from_saved(rows, about["known"])
            return cls(detector, state["held_out_scores"], about["feature_spec"], known)
        except (SafetensorError, KeyError, TypeError, DarlError) as error:
            raise ModelError(f"the OOD reference is damaged: {error}", where=facts, mend="fit it anew") from error

    def __repr__(self) -> str:
        return f"OODReference({self.detector!r}, {len(self.held_out_scores)} held-out scores)"


def fit_reference(
    features: Features,
    held_out_features: Features,
    detector: Detector | str = "knn",
    *,
    grades: ArrayLike | torch.Tensor | None = None,
    feature_spec: dict[str, Any] | None = None,
    **params: Any,
) -> OODReference:
    """Fit a detector on ID pairs and rank it on others.

    Args:
        features: (n, d) of in-distribution pairs.
        held_out_features: (N, d) of in-distribution pairs **with other queries**; pairs of a query that the
            detector has seen score too low, and everything else would look out of distribution.
        detector: a name, or a detector (which is fitted in place).
        grades: (n,) for class-conditional detectors.
        feature_spec: what the features are.
        **params: of the detector, where it is a name.

    Raises:
        RecipeError: an unknown detector or parameter.
        EmptySplitError, DataError: features that cannot be used, as :meth:`Detector.fit`.

    >>> rng = np.random.default_rng(0)
    >>> reference = fit_reference(rng.normal(2, 1, (300, 8)), rng.normal(2, 1, (100, 8)), "knn", k=5)
    >>> reference.flag(np.full((1, 8), -2.0)).tolist()
    [True]
    """
    if isinstance(detector, Detector):
        if params:
            raise RecipeError(f"parameters {list(params)} given beside a detector", where="ood", mend="give its name")
    else:
        detector = make_detector(detector, **params)
    detector.fit(features, grades, held_out=held_out_features)
    return OODReference(detector, detector.score(held_out_features), feature_spec)


def _paths(path_stem: str | os.PathLike[str]) -> tuple[Path, Path]:
    stem = os.fspath(path_stem)
    return Path(f"{stem}.safetensors"), Path(f"{stem}.json")

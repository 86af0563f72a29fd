"""The OOD detectors by name: what a recipe's ``detector:`` can say."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from darl.errors import RecipeError
from darl.ood.base import Detector
from darl.ood.energy import Energy
from darl.ood.fusion import Fusion
from darl.ood.knn import KNN
from darl.ood.mahalanobis import Mahalanobis
from darl.ood.msp import MSP
from darl.ood.peers import Peer

_DETECTORS: dict[str, type[Detector]] = {
    detector.name: detector for detector in (KNN, Mahalanobis, Energy, MSP, Fusion, Peer)
}


def detector_names() -> list[str]:
    """Every name that :func:`make_detector` knows.

    >>> detector_names()
    ['knn', 'mahalanobis', 'energy', 'msp', 'fusion', 'peer']
    """
    return list(_DETECTORS)


def detector_class(name: str) -> type[Detector]:
    """The class behind a name.

    Raises:
        RecipeError: an unknown name; the nearest known one is named.
    """
    if not isinstance(name, str) or name not in _DETECTORS:
        raise RecipeError(f"unknown detector {name!r}", where="detector", mend=_nearest(name, detector_names()))
    return _DETECTORS[name]


def make_detector(name: str, **params: Any) -> Detector:
    """A detector from its name, not yet fitted.

    Args:
        name: one of :func:`detector_names`.
        **params: the detector's own parameters.

    Raises:
        RecipeError: an unknown detector or parameter (the nearest known one is named), or a value out of
            range.

    >>> make_detector("knn", k=5)
    KNN(k=5, max_reference=20000, seed=0, half=True)
    >>> make_detector("mahalanobi")
    Traceback (most recent call last):
    darl.errors.RecipeError: detector: unknown detector 'mahalanobi'
      mend: did you mean 'mahalanobis'? Known: knn, mahalanobis, energy, msp, fusion, peer
    """
    detector = detector_class(name)
    known = list(inspect.signature(detector).parameters)
    for key in params:
        if key not in known:
            raise RecipeError(f"{name} has no parameter {key!r}", where=f"detector.{key}", mend=_nearest(key, known))
    return detector(**params)


def _nearest(word: object, known: list[str]) -> str:
    near = difflib.get_close_matches(str(word).lower().replace("-", "_"), known, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return f"{guess}Known: {', '.join(known) or 'none'}"

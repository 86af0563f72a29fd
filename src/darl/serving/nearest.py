"""NearestPairs: the training pairs that lie nearest to a pair, with their texts.

A saved model keeps the features of its training pairs, not their texts. Where it lies in its run, the texts are
read again by way of the run's recipe, and held against what the model says it was trained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from darl.errors import DarlError, DataError
from darl.model import RelevanceModel
from darl.ood.knn import KNN, unit_rows
from darl.pairs import PairTable
from darl.recipe.settings import Recipe
from darl.training.reference import reference_rows
from darl.training.splits import load_splits
from darl.verbs.run_data import run_splits

LONGEST_TEXT = 500  # characters of a neighbour's text that are shown
CHECKED = 8  # training pairs that are read anew, to see that texts and features belong together
ROUNDING = 1e-3  # between two cosines with rows of float16, each of which is out by 2⁻¹¹ of its length at most


class NearestPairs:
    """The rows of a kNN reference with the pairs that they were made from.

    Args:
        detector: fitted; its reference has n rows.
        pairs: the pair of each row, (n,). grades: the names of the grades.
    """

    def __init__(self, detector: KNN, pairs: PairTable, grades: tuple[str, ...]) -> None:
        self.detector, self.grades = detector, grades
        self._queries, self._items, self._grades = pairs.queries, pairs.items, pairs.grades

    def of(self, features: np.ndarray, count: int) -> list[list[dict[str, Any]]]:
        """The ``count`` nearest training pairs of each of m pairs, nearest first.

        Args:
            features: what the reference reads of the pairs, (m, d).
        """
        places, distances = self.detector.neighbours(features, count)
        return [
            [self._pair(int(place), float(distance)) for place, distance in zip(*row, strict=True)]
            for row in zip(places, distances, strict=True)
        ]

    def _pair(self, place: int, distance: float) -> dict[str, Any]:
        grade = int(self._grades[place])
        return {
            "query": _cut(self._queries[place]),
            "item": _cut(self._items[place]),
            "grade": grade,
            "grade_name": self.grades[grade],
            "distance": distance,
        }


def read_nearest(model: RelevanceModel, folder: Path) -> NearestPairs:
    """The training pairs of the run that a model folder lies in, beside the features that the model keeps.

    Raises:
        DataError: the model keeps no features of pairs, lies in no run, or the run's files have changed.
    """
    detector = model.ood.detector if model.ood is not None else None
    if model.ood is None or not isinstance(detector, KNN) or model.ood.feature_spec.get("source") == "logits":
        raise DataError("the model's OOD reference keeps no features of training pairs")
    try:
        data = run_splits(folder)
    except DataError as error:  # in words for clients, whom the paths of this machine do not concern
        raise DataError("the run's training files cannot be read any more", where=folder) from error
    if data is None:
        raise DataError("the model folder lies in no run, so it does not know its training texts")
    recipe, train = Recipe.model_validate(model.provenance["recipe"]), data.train
    if train.fingerprint() != model.provenance.get("data", {}).get("train"):
        try:
            train = load_splits(recipe).train  # a model that was kept over new labels has never seen them
        except DarlError as error:
            raise DataError("the run's training files cannot be read any more", where=folder) from error
    if train.fingerprint() != model.provenance.get("data", {}).get("train"):
        raise DataError("the training files of the run are not those that the model was made from")
    kept = reference_rows(recipe, len(train))
    pairs = train.take(kept[detector.kept_rows(len(kept))])
    if not _belong(model, detector, pairs):
        raise DataError("the run's training texts do not fit the features that the model keeps")
    return NearestPairs(detector, pairs, model.scale.names)


def _belong(model: RelevanceModel, detector: KNN, pairs: PairTable) -> bool:
    """Whether of all that the reference keeps, a few of the pairs are most like what is kept at their places."""
    if len(pairs) != len(detector.reference_):
        return False
    rows = np.unique(np.linspace(0, len(pairs) - 1, CHECKED).astype(int))
    similar = unit_rows(model.ood_features(model.encode(pairs.take(rows)))) @ detector.reference_.numpy().T  # (c, n)
    own = similar[np.arange(len(rows)), rows]
    return bool((own >= similar.max(axis=1) - ROUNDING).all())


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"

"""A finished run as the report reads it: recipe, choices, figures, predictions."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from darl.errors import DarlError, RunError
from darl.evaluation import Evaluation, SplitEvaluation
from darl.evaluation.checks import checked_grades, checked_probabilities
from darl.grades import GradeScale
from darl.recipe.file import load_recipe
from darl.recipe.settings import Recipe
from darl.storage import read_json

_ARRAYS = ("grades", "probabilities", "predicted", "groups")


@dataclass(frozen=True)
class TestPredictions:
    """What the model says of one test set, n pairs.

    Attributes:
        grades: true, (n,). probabilities: calibrated, (n, K). predicted: by the decision rule, (n,).
        groups: the query of each pair, (n,).
    """

    __test__ = False  # not a test, whatever pytest thinks of the name

    grades: np.ndarray
    probabilities: np.ndarray
    predicted: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.grades)


@dataclass(frozen=True)
class FinishedRun:
    """A run that ``darl fit`` finished.

    Attributes:
        folder, name: where it lies, and what its recipe calls it.
        recipe: as run.
        metrics: ``metrics.json``.
        evaluation: quality by test set, or None where the recipe names no test.
        predictions: by test set; a set whose file is missing is missing here too.
    """

    folder: Path
    name: str
    recipe: Recipe
    metrics: dict[str, Any]
    evaluation: Evaluation | None
    predictions: dict[str, TestPredictions] = field(default_factory=dict)

    @property
    def scale(self) -> GradeScale:
        return self.recipe.grades.scale()

    @property
    def id_name(self) -> str | None:
        """The test set in the training distribution."""
        return self.evaluation.id_split if self.evaluation else None

    @property
    def splits(self) -> dict[str, SplitEvaluation]:
        return self.evaluation.splits if self.evaluation else {}

    @property
    def ood_names(self) -> list[str]:
        """The other test sets."""
        return [name for name in self.splits if name != self.id_name]

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def earlier_rounds(self) -> list[Path]:
        """The runs of the rounds of labels before the last, whose model this run has; empty for an ordinary run."""
        folders = [self.folder / str(name) for name in self.metrics.get("rounds", [])[:-1]]
        return [folder for folder in folders if (folder / "metrics.json").is_file()]

    def choice(self, stage: str) -> dict[str, Any]:
        """What a stage found, empty where the run had no such stage."""
        return self.metrics.get("choices", {}).get(stage, {})

    def size(self, name: str) -> int:
        """Pairs of a split, 0 where the run had no such split."""
        return int(self.metrics.get("sizes", {}).get(name, 0))


def open_run(folder: str | Path) -> FinishedRun:
    """Read a run folder; a model folder in one stands for its run.

    Raises:
        RunError: there is no finished run, or what it left cannot be read.
    """
    folder = Path(folder).expanduser()
    if (folder / "darl.json").is_file() and (folder.resolve().parent / "metrics.json").is_file():
        folder = folder.resolve().parent
    if not folder.is_dir():
        raise RunError("there is no such folder", where=folder, mend="name the folder that `darl fit` left")
    for name in ("recipe.yaml", "metrics.json"):
        if not (folder / name).is_file():
            raise RunError(
                f"this is no finished run: {name} is missing",
                where=folder,
                mend="name the folder of a run, or finish it: the same `darl fit` resumes it",
            )
    recipe = load_recipe(folder / "recipe.yaml")
    metrics = read_json(folder / "metrics.json")
    try:
        evaluation = Evaluation.from_dict(metrics["evaluation"]) if metrics["evaluation"] else None
        name = str(metrics["name"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(
            f"metrics.json is not what this version of darl writes ({type(error).__name__}: {error})",
            where=folder,
            mend="run the same `darl fit` again: the stages are kept, the figures are made anew",
        ) from error
    found = {}
    for split in evaluation.splits if evaluation else ():
        path = folder / f"predictions-{split}.npz"
        if path.is_file():
            found[split] = _predictions(path, recipe.grades.scale().size)
    return FinishedRun(folder, name, recipe, metrics, evaluation, found)


def _predictions(path: Path, grades: int) -> TestPredictions:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in _ARRAYS}
        n = len(arrays["grades"])
        checked_probabilities(arrays["probabilities"], n, grades)
        for name in ("grades", "predicted"):
            if len(checked_grades(arrays[name], grades, what=name)) != n:
                raise ValueError(f"{name}: {len(arrays[name])} for {n} pairs")
        if len(arrays["groups"]) != n:
            raise ValueError(f"groups: {len(arrays['groups'])} for {n} pairs")
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, DarlError) as error:
        raise RunError(
            f"the predictions cannot be read ({error})",
            where=path,
            mend="run the same `darl fit` again: the stages are kept, the predictions are made anew",
        ) from error
    return TestPredictions(**arrays)

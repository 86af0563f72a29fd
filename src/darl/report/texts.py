"""The pairs behind a run's figures, read again by way of its recipe, and checked against its predictions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from darl.errors import DarlError
from darl.pairs import PairTable, read_pairs
from darl.report.runs import FinishedRun
from darl.training.splits import load_splits, read_source


@dataclass(frozen=True)
class RunTexts:
    """What could be read; ``problem`` says in words what could not.

    Attributes:
        tests: by name, in the order of the predictions. train: or None. pool: that the recipe names, or None.
        picked: the pairs of a selection, or None.
    """

    tests: dict[str, PairTable] = field(default_factory=dict)
    train: PairTable | None = None
    pool: PairTable | None = None
    picked: PairTable | None = None
    problem: str = ""


def read_texts(run: FinishedRun, picked: str | Path | None = None) -> RunTexts:
    """Read the run's pairs again. Files that are gone or changed are a problem in words, not an error: the
    figures stand without their texts.

    Args:
        picked: what ``darl select`` wrote.

    Raises:
        DataError, StorageError: ``picked``, which the user named just now, cannot be read.
    """
    picks = None if picked is None else read_pairs(picked, scale=run.scale, require_grades=False)
    try:
        splits = load_splits(run.recipe)
    except DarlError as error:
        return RunTexts(picked=picks, problem=f"The run's files cannot be read any more ({error.what}).")
    problem, tests = "", {}
    for name, table in splits.tests.items():
        says = run.predictions.get(name)
        if says is None or (len(says) == len(table) and np.array_equal(says.grades, table.grades)):
            tests[name] = table
        else:
            problem = f"The file of test set {name} has changed since the run, so its texts are left out."
    pool = None
    if run.recipe.data.pool is not None:
        try:
            data = run.recipe.data.model_copy(update={"on_bad_rows": "skip"})  # traffic is never clean
            pool = read_source(run.recipe.data.pool, data, run.scale, None, "pool", require_grades=False)
        except DarlError as error:
            problem = problem or f"The pool cannot be read ({error.what})."
    return RunTexts(tests, splits.train, pool, picks, problem)

"""compare: is B better than A on these pairs, or is it noise?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darl.errors import ModelError
from darl.evaluation import Comparison, Predictions, compare_predictions
from darl.model import RelevanceModel
from darl.progress import Reporter
from darl.verbs.inputs import OnBadRows, as_model, as_table


def compare(
    a: RelevanceModel | str | Path,
    b: RelevanceModel | str | Path,
    pairs: Any,
    *,
    names: tuple[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "error",
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    quiet: bool = True,
) -> Comparison:
    """Set two models against each other on the same graded pairs, by the paired query-level bootstrap.

    Args:
        a, b: models, or folders of models or runs; b − a is reported.
        pairs: a table, or where to read one.
        names: of the two in the result; default as :func:`model_names`.
        columns, where, on_bad_rows: as for :func:`darl.read_pairs`.
        bootstrap: resamples of whole queries, the same for both. level: of the intervals.
        quiet: no progress on standard error.

    Raises:
        ModelError: a model cannot be loaded, or the two have different grades.
        DataError: the pairs cannot be read.

    ::

        found = darl.compare("runs/first/model", "runs/second/model", "test.jsonl")
        found.metrics["macro_f1"].verdict
    """
    names = names or model_names(a, b)
    a, b = as_model(a), as_model(b)
    if a.scale.names != b.scale.names:
        raise ModelError(
            f"the models grade by different scales: {', '.join(a.scale.names)} and {', '.join(b.scale.names)}",
            mend="compare models of the same grades",
        )
    table, reporter = (
        as_table(pairs, a.scale, columns=columns, where=where, on_bad_rows=on_bad_rows),
        Reporter(quiet=quiet),
    )
    grades = table.grades
    predictions = []
    for name, model in zip(names, (a, b), strict=True):
        with reporter.bar(f"scoring with {name}", len(table)) as advance:
            scores = model.score(table, ood=False, progress=advance)
        predictions.append(Predictions(scores.probabilities, scores.grades, scores.relevance, name))
    return compare_predictions(
        *predictions,
        grades=grades,
        scale=a.scale,
        groups=table.query_groups(),
        bootstrap=bootstrap,
        seed=seed,
        level=level,
    )


def model_names(a: Any, b: Any) -> tuple[str, str]:
    """Names for two models: the last parts of their folders that differ; A and B for models in memory.

    >>> model_names("runs/first/model", "runs/second/model")
    ('first', 'second')
    """
    if isinstance(a, (str, Path)) and isinstance(b, (str, Path)):
        for one, two in zip(reversed(Path(a).parts), reversed(Path(b).parts), strict=False):
            if one != two:
                return one, two
    return "A", "B"

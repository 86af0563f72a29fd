"""evaluate: a model's figures on graded pairs, by split and slice, with intervals and the ID–OOD gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from darl.errors import DataError
from darl.evaluation import Evaluation, SplitEvaluation, evaluate_predictions
from darl.model import RelevanceModel
from darl.progress import Reporter
from darl.verbs.inputs import OnBadRows, as_model, as_splits, as_table

OOD_SLICE = "ood_percentile"
_BANDS = ((0, 50), (50, 90), (90, 99), (99, 100))


def evaluate(
    model: RelevanceModel | str | Path,
    pairs: Any,
    *,
    id_split: str | None = None,
    slices: Sequence[str] = (),
    columns: Mapping[str, str] | None = None,
    where: Mapping[str, Any] | None = None,
    on_bad_rows: OnBadRows = "error",
    bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    min_slice: int = 50,
    ood: bool = True,
    quiet: bool = True,
) -> Evaluation:
    """Judge a model on graded pairs.

    Args:
        model: a model, or the folder of one (or of a run).
        pairs: one table or source, or several by name: ``{"id": "test.jsonl", "far": table}``.
        id_split: the split in the training distribution, against which the others' gap is measured; default
            the first, where there are several.
        slices: columns by whose values the figures are also given.
        columns, where, on_bad_rows: as for :func:`darl.read_pairs`, for splits that are read. ``where`` may
            also hold a filter by split: ``{"far": {"split": "test_far"}}``.
        bootstrap: resamples of whole queries for the intervals; 0 for none. level: of the intervals.
        min_slice: pairs that a slice needs to be reported.
        ood: also slice by how far out the pairs are, where the model has a reference; costs a second pass.
        quiet: no progress on standard error.

    Raises:
        ModelError: the model cannot be loaded.
        DataError: pairs cannot be read, a split or column is not there.

    ::

        found = darl.evaluate("runs/shop/model", {"id": "test.jsonl", "far": "shifted.jsonl"}, slices=["domain"])
        found.splits["far"].metrics["macro_f1"].estimate, found.gap["far"]["macro_f1"].low
    """
    model, sources, reporter = as_model(model), as_splits(pairs), Reporter(quiet=quiet)
    if id_split is not None and id_split not in sources:
        raise DataError(f"no split is called {id_split!r}", mend=f"choose from {', '.join(sources)}")
    tables = {
        name: as_table(
            source, model.scale, columns=columns, where=filter_of(name, sources, where), on_bad_rows=on_bad_rows
        )
        for name, source in sources.items()
    }
    for column in slices:
        if not any(table.has(column) for table in tables.values()):
            known = sorted({name for table in tables.values() for name in table.column_names})
            raise DataError(f"no split has a column {column!r} to slice by", mend=f"choose from {', '.join(known)}")
    splits: dict[str, SplitEvaluation] = {}
    for name, table in tables.items():
        grades = table.grades  # before the long part: a table without grades is an error
        with reporter.bar(f"scoring {name}", len(table)) as advance:
            scores = model.score(table, ood=ood, progress=advance)
        labels: dict[str, Sequence] = {column: table.column(column) for column in slices if table.has(column)}
        if scores.ood_percentiles is not None:
            labels[OOD_SLICE] = ood_bands(scores.ood_percentiles)
        splits[name] = evaluate_predictions(
            grades,
            scores.probabilities,
            scores.grades,
            scale=model.scale,
            groups=table.query_groups(),
            relevance=scores.relevance,
            slices=labels,
            bootstrap=bootstrap,
            seed=seed,
            level=level,
            min_pairs=min_slice,
        )
    several = len(splits) > 1
    return Evaluation.of(splits, id_split=id_split or (next(iter(splits)) if several else None))


def filter_of(name: str, names: Mapping[str, Any], where: Mapping[str, Any] | None) -> dict[str, Any]:
    """The filter for one split: what holds for all, and what stands under the split's name.

    >>> filter_of("far", ["id", "far"], {"lang": "en", "far": {"split": "test_far"}})
    {'lang': 'en', 'split': 'test_far'}
    """
    shared = {key: value for key, value in (where or {}).items() if not (key in names and isinstance(value, Mapping))}
    own = (where or {}).get(name)
    return shared | dict(own) if isinstance(own, Mapping) else shared


def ood_bands(percentiles: np.ndarray) -> list[str]:
    """Percentiles in words, (n,) → n labels, so that quality can be read off by how far out pairs are.

    >>> ood_bands(np.array([12.0, 50.0, 99.9, 100.0]))
    ['0–50', '50–90', '99–100', '99–100']
    """
    names = [f"{low}–{high}" for low, high in _BANDS]
    edges = [low for low, _ in _BANDS[1:]]
    return [names[band] for band in np.digitize(percentiles, edges)]

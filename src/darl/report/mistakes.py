"""The worst mistakes with their texts: the most grades off first, then the surest."""

from __future__ import annotations

import numpy as np

from darl.report.parts import Part, Table, cut, lacking
from darl.report.runs import FinishedRun, TestPredictions
from darl.report.texts import RunTexts
from darl.report.words import listed, share

SHOWN = 12
LONGEST = 300


def mistakes_part(run: FinishedRun, texts: RunTexts) -> Part:
    """A table of the worst mistakes for each test set."""
    title = "What are its worst mistakes?"
    if not run.predictions:
        return lacking(
            "mistakes",
            title,
            "The run has no predictions of a test set.",
            then="Name test sets under data.tests in the recipe and fit again.",
        )
    known = [name for name in run.predictions if name in texts.tests]
    if not known:
        why = texts.problem or "The run's test sets were cut off its training file, and are not there any more."
        return lacking("mistakes", title, why, then="Put the files back where the recipe names them.")
    tables, gross = [], {}
    for name in known:
        found, table = run.predictions[name], texts.tests[name]
        rows = worst(found, SHOWN)
        gross[name] = float((np.abs(found.predicted - found.grades) >= 2).mean())
        picked = table.take(rows)
        names = run.scale.names
        tables.append(
            Table(
                ["query", "item", "true", "predicted", "its p", "p of true"],
                [
                    [
                        cut(query, LONGEST),
                        cut(item, LONGEST),
                        names[found.grades[row]],
                        names[found.predicted[row]],
                        f"{found.probabilities[row, found.predicted[row]]:.2f}",
                        f"{found.probabilities[row, found.grades[row]]:.2f}",
                    ]
                    for row, query, item in zip(rows, picked.queries, picked.items, strict=True)
                ],
                f"{name}: {int((found.predicted != found.grades).sum()):,} of {len(found):,} wrong; the worst, "
                "at most two a query.",
                wide=frozenset({0, 1}),
                numbers=frozenset({4, 5}),
            )
        )
    if run.scale.size > 2:
        said = listed([f"{share(value)} of {name}" for name, value in gross.items()])
        reads = f"{said} is two or more grades off."
    else:
        reads = "Each row is a pair on which the model was wrong and sure."
    if texts.problem:
        reads += f" {texts.problem}"
    return Part(
        "mistakes",
        title,
        reads=f"{reads} Read ten rows: is the model wrong, the label, or the guideline?",
        then="Correct wrong labels at their source; where the model is wrong, label more pairs of that kind.",
        tables=tables,
    )


def worst(found: TestPredictions, limit: int, per_query: int = 2) -> np.ndarray:
    """Rows of the worst mistakes, at most ``limit``: by grades off, then by how much likelier the wrong grade was.

    >>> p = np.array([[0.9, 0.1, 0], [0.1, 0.1, 0.8], [0.2, 0.8, 0], [0, 0.4, 0.6]])
    >>> says = TestPredictions(np.array([0, 0, 0, 1]), p, p.argmax(1), np.arange(4))
    >>> worst(says, 3).tolist()
    [1, 2, 3]
    """
    row = np.arange(len(found))
    off = np.abs(found.predicted - found.grades)
    sure = found.probabilities[row, found.predicted] - found.probabilities[row, found.grades]
    order = np.lexsort((row, -sure, -off))
    kept: list[int] = []
    seen: dict[int, int] = {}
    for at in order[off[order] > 0]:
        query = int(found.groups[at])
        if seen.get(query, 0) < per_query:
            seen[query] = seen.get(query, 0) + 1
            kept.append(int(at))
        if len(kept) == limit:
            break
    return np.array(kept, dtype=np.int64)

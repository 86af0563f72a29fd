"""Label Studio: picks out as tasks with a labelling config, its JSON export back in as graded pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from darl.errors import DataError, EmptySplitError, GradeError
from darl.grades import GradeScale
from darl.pairs import PairTable
from darl.storage import atomic_write_json, read_json, stable_hash

NAME = "grade"


def labelling_config(scale: GradeScale) -> str:
    """The labelling interface as Label Studio's XML: query, item, one choice a grade.

    >>> "<Choice value=\\"good\\"" in labelling_config(GradeScale(("bad", "good")))
    True
    """
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in scale.names)
    return (
        f'<View>\n  <Header value="$query"/>\n  <Text name="item" value="$item"/>\n'
        f'  <Choices name="{NAME}" toName="item" choice="single" required="true">\n{choices}\n  </Choices>\n</View>\n'
    )


def tasks(picks: PairTable) -> list[dict[str, Any]]:
    """One task a pick: the texts, a key that ties it to them, and the model's grade as a prediction.

    >>> tasks(PairTable.from_pairs(["lamp"], ["desk lamp"]))[0]["data"]["query"]
    'lamp'
    """
    found = []
    for row in picks.arrow.to_pylist():
        data = {name: row[name] for name in ("query", "item")}
        data |= {"key": key(row["query"], row["item"])}
        data |= {name: row[name] for name in ("rank", "ood_percentile", "reason") if row.get(name) is not None}
        task: dict[str, Any] = {"data": data}
        if row.get("predicted_grade") is not None:
            result = {"from_name": NAME, "to_name": "item", "type": "choices"}
            result |= {"value": {"choices": [row["predicted_grade"]]}}
            task["predictions"] = [{"model_version": "darl", "score": row.get("p_max"), "result": [result]}]
        found.append(task)
    return found


def export_tasks(picks: PairTable, scale: GradeScale, path: str | Path) -> Path:
    """Writes the tasks as JSON and the labelling config beside them, as ``<stem>.xml``; returns the config's path.

    Raises:
        StorageError: the files cannot be written.
    """
    from darl.storage import atomic_write_text

    path = Path(path)
    atomic_write_json(path, tasks(picks))
    config = path.with_suffix(".xml")
    atomic_write_text(config, labelling_config(scale))
    return config


def import_export(path: str | Path, picks: PairTable, scale: GradeScale) -> tuple[PairTable, dict[str, Any]]:
    """Label Studio's JSON export as graded picks, and what the annotators agreed on.

    Several annotations of a task vote; a tie goes to the median grade of the votes, the lower of two. Cancelled
    annotations do not count. Tasks without any are left out and counted.

    Args:
        path: the export, format "JSON".
        picks: what was exported. Every task must be one of them, letter by letter.
        scale: the grades.

    Returns:
        The labelled picks in their own order, with ``grade`` and ``annotators``; and ``{"labelled", "unlabelled",
        "several", "agreement"}`` with agreement the share of pairs of votes on one task that are equal, or None.

    Raises:
        DataError: not an export, or a task that is none of the picks.
        GradeError: a choice that is no grade.
        EmptySplitError: nothing was annotated.
    """
    export = read_json(path)
    if not isinstance(export, list) or not all(isinstance(task, dict) and "data" in task for task in export):
        raise DataError("not a JSON export of Label Studio", where=path, mend="export as JSON, not JSON-MIN or CSV")
    rows = {key(q, i): row for row, (q, i) in enumerate(zip(picks.queries, picks.items, strict=True))}
    votes: dict[int, list[int]] = {}
    for number, task in enumerate(export, start=1):
        data = task["data"]
        found = rows.get(key(str(data.get("query", "")), str(data.get("item", ""))))
        if found is None:
            raise DataError(
                f"task {number} is none of the picks: {json.dumps(data, ensure_ascii=False)[:120]}",
                where=path,
                mend="give the picks that were exported, and leave the texts as they are in Label Studio",
            )
        for annotation in task.get("annotations", ()):
            if not annotation.get("was_cancelled"):
                votes.setdefault(found, []).extend(_grades(annotation, scale, path, number))
    votes = {row: cast for row, cast in votes.items() if cast}
    if not votes:
        raise EmptySplitError("no task has an annotation", where=path, mend="annotate some, then export again")
    order = sorted(votes)
    labelled = picks.take(order).with_column("grade", [majority(votes[row]) for row in order])
    labelled = labelled.with_column("annotators", [len(votes[row]) for row in order])
    return labelled, {
        "labelled": len(order),
        "unlabelled": len(picks) - len(order),
        "several": sum(len(cast) > 1 for cast in votes.values()),
        "agreement": agreement(list(votes.values())),
    }


def majority(cast: Sequence[int]) -> int:
    """The most frequent grade; of equals the one nearest the lower median.

    >>> majority([2, 0, 2]), majority([0, 1, 2]), majority([0, 2])
    (2, 1, 0)
    """
    counts = Counter(cast)
    middle = sorted(cast)[(len(cast) - 1) // 2]
    return min((grade for grade in counts if counts[grade] == max(counts.values())), key=lambda g: (abs(g - middle), g))


def agreement(votes: Sequence[Sequence[int]]) -> float | None:
    """Share of pairs of votes on one task that are equal; None where no task has two.

    >>> agreement([[1, 1, 2], [0]])
    0.3333333333333333
    """
    equal = total = 0
    for cast in votes:
        counts = Counter(cast)
        equal += sum(count * (count - 1) // 2 for count in counts.values())
        total += len(cast) * (len(cast) - 1) // 2
    return equal / total if total else None


def key(query: str, item: str) -> str:
    """What ties a task to its texts: a hash of both, letter by letter."""
    return stable_hash([query, item])[:24]


def _grades(annotation: dict[str, Any], scale: GradeScale, path: str | Path, number: int) -> list[int]:
    found = []
    for result in annotation.get("result", ()):
        if result.get("from_name") == NAME:
            for choice in result.get("value", {}).get("choices", ()):
                if choice not in scale.names:
                    raise GradeError(
                        f"task {number}: {escape(str(choice))!r} is no grade",
                        where=path,
                        mend=f"use the labelling config that was exported: {', '.join(scale.names)}",
                    )
                found.append(scale.names.index(choice))
    return found

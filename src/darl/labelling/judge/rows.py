"""What the judge leaves: labelled rows for `darl fit`, answers for `darl label merge`, pairs without a grade."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from darl.grades import GradeScale
from darl.labelling.answer import CANNOT_TELL, GRADE, Answer, Answers, iso_time, other_columns
from darl.labelling.judge.votes import Judgement


def annotator(model: str) -> str:
    """The name under which a model's labels stand beside people's.

    >>> annotator("qwen3-32b")
    'llm:qwen3-32b'
    """
    return f"llm:{model}"


def labelled_row(
    record: dict[str, Any], one: Judgement, scale: GradeScale, *, model: str, prompt: str, weight: float | None
) -> dict[str, Any]:
    """A row as `darl label merge` writes it, and which prompt stands behind it.

    ``label_agreement`` is the confidence: the share of the samples that give this grade. With ``weight`` the row
    weighs weight × confidence in the loss.
    """
    assert one.grade is not None
    row = {
        **other_columns(record),
        "query": record["query"],
        "item": record["item"],
        "grade": scale.names[one.grade],
        "labelled_by": annotator(model),
        "labelled_at": iso_time(one.created),
        "label_agreement": one.share,
        "label_prompt": prompt,
    }
    if one.reason:
        row["label_notes"] = one.reason
    return row if weight is None else {**row, "weight": weight * one.share}


def unlabelled_row(record: dict[str, Any], one: Judgement) -> dict[str, Any]:
    """A pair without a grade, for people to label, and why."""
    return {**other_columns(record), "query": record["query"], "item": record["item"], "judge_problem": one.problem}


def as_answers(
    scale: GradeScale,
    model: str,
    pairs: Sequence[tuple[dict[str, Any], Judgement, int | None]],
) -> Answers:
    """The judge as one annotator among others, for merging and agreement; each pair with its gold grade or None."""
    rows = [
        Answer(
            str(record["query"]),
            str(record["item"]),
            annotator(model),
            CANNOT_TELL if one.grade is None else GRADE,
            one.grade,
            gold=gold,
            note=one.reason or one.problem,
            created=one.created,
            fields=other_columns(record),
        )
        for record, one, gold in pairs
    ]
    return Answers(scale, rows)

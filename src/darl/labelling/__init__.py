"""Labelling by people: a page in the browser, its database, merging and agreement.

    label_pairs("picked.jsonl", scale=scale, gold="gold.jsonl")  # `darl label`
    found = read_answers("picked.labels.sqlite")
    write_merged(merge_answers(found), "labelled.jsonl")        # `darl label merge`
    print(agreement_report(found).to_text())                    # `darl label agreement`

A name is loaded when it is first used: the page needs ``pip install 'darl[label]'``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from darl.labelling.agreement import agreement_report as agreement_report
    from darl.labelling.answer import Answer as Answer
    from darl.labelling.answer import Answers as Answers
    from darl.labelling.answer import export_answers as export_answers
    from darl.labelling.answers import read_answers as read_answers
    from darl.labelling.database import Database as Database
    from darl.labelling.job import label_pairs as label_pairs
    from darl.labelling.merging import merge_answers as merge_answers
    from darl.labelling.merging import write_merged as write_merged
    from darl.labelling.problems import LabellingError as LabellingError
    from darl.labelling.project import open_project as open_project
    from darl.labelling.serving import serve_page as serve_page
    from darl.labelling.settings import LabelSettings as LabelSettings

_HOMES = {
    "Answer": "answer",
    "Answers": "answer",
    "Database": "database",
    "LabelSettings": "settings",
    "LabellingError": "problems",
    "agreement_report": "agreement",
    "export_answers": "answer",
    "label_pairs": "job",
    "merge_answers": "merging",
    "open_project": "project",
    "read_answers": "answers",
    "serve_page": "serving",
    "write_merged": "merging",
}

__all__ = [
    "Answer",
    "Answers",
    "Database",
    "LabelSettings",
    "LabellingError",
    "agreement_report",
    "export_answers",
    "label_pairs",
    "merge_answers",
    "open_project",
    "read_answers",
    "serve_page",
    "write_merged",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'darl.labelling' has no attribute {name!r}")
    return getattr(import_module(f"darl.labelling.{_HOMES[name]}"), name)

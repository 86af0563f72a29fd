"""Label Studio: tasks and config out, an export of its shape back in, row for row."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from darl.errors import DataError, EmptySplitError, GradeError
from darl.grades import GradeScale
from darl.labelling.label_studio import export_tasks, import_export, labelling_config
from darl.pairs import PairTable

SCALE = GradeScale(("irrelevant", "weak", 'very "strong" & good'))
PICKS = PairTable.from_pairs(["lamp", "hose", "tap"], ["desk <lamp>", "tights", "sink tap"]).with_column(
    "predicted_grade", ["weak", "irrelevant", "weak"]
)


def annotated(tasks: list[dict], votes: list[list[str]]) -> list[dict]:
    """What Label Studio's JSON export makes of tasks: the annotations of each annotator beside the data."""
    return [
        {
            **task,
            "id": number,
            "annotations": [
                {
                    "completed_by": who,
                    "was_cancelled": choice == "",
                    "result": [
                        {"from_name": "grade", "to_name": "item", "type": "choices", "value": {"choices": [choice]}}
                    ]
                    if choice
                    else [],
                }
                for who, choice in enumerate(cast)
            ],
        }
        for number, (task, cast) in enumerate(zip(tasks, votes, strict=True), start=1)
    ]


def test_the_config_is_xml_with_one_choice_a_grade():
    root = ElementTree.fromstring(labelling_config(SCALE))
    assert [choice.get("value") for choice in root.iter("Choice")] == list(SCALE.names)


def test_out_and_back_with_votes(tmp_path):
    config = export_tasks(PICKS, SCALE, tmp_path / "tasks.json")
    assert config.read_text() == labelling_config(SCALE)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert tasks[0]["predictions"][0]["result"][0]["value"]["choices"] == ["weak"]
    votes = [["weak", "weak", "irrelevant"], [""], [SCALE.names[2]]]
    (tmp_path / "export.json").write_text(json.dumps(annotated(tasks, votes)[::-1]))
    labelled, about = import_export(tmp_path / "export.json", PICKS, SCALE)
    assert labelled.items == ["desk <lamp>", "sink tap"]
    assert labelled.grades.tolist() == [1, 2]
    assert labelled.column("annotators") == [3, 1]
    assert about == {"labelled": 2, "unlabelled": 1, "several": 1, "agreement": pytest.approx(1 / 3)}


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "export.json"
    export_tasks(PICKS, SCALE, tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    path.write_text(json.dumps({"a": 1}))
    with pytest.raises(DataError, match="not a JSON export"):
        import_export(path, PICKS, SCALE)
    path.write_text(json.dumps(annotated(tasks, [[""], [""], [""]])))
    with pytest.raises(EmptySplitError, match="no task has an annotation"):
        import_export(path, PICKS, SCALE)
    path.write_text(json.dumps(annotated(tasks, [["great"], [""], [""]])))
    with pytest.raises(GradeError, match="task 1: 'great' is no grade"):
        import_export(path, PICKS, SCALE)
    tasks[1]["data"]["item"] = "tights, changed"
    path.write_text(json.dumps(annotated(tasks, [["weak"], ["weak"], [""]])))
    with pytest.raises(DataError, match="task 2 is none of the picks"):
        import_export(path, PICKS, SCALE)

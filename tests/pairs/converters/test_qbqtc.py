import json

import pytest

from darl.errors import DataError
from darl.pairs.converters import read_qbqtc


def test_pairs(tmp_path):
    files = {
        "train": [("什么是潮汐", "潮汐的成因", "2"), ("什么是潮汐", "海边旅行", "0")],
        "test_public": [("红茶", "绿茶", "1")],
    }
    for name, rows in files.items():
        keys = ("query", "title", "label")
        lines = [json.dumps({"id": i, **dict(zip(keys, row, strict=True))}) for i, row in enumerate(rows)]
        (tmp_path / f"{name}.json").write_text("\n".join(lines))
    table = read_qbqtc(tmp_path)
    assert table.queries == ["什么是潮汐", "什么是潮汐", "红茶"]
    assert table.items[2] == "绿茶"
    assert table.grades.tolist() == [2, 0, 1]
    assert table.column("split") == ["train", "train", "test_public"]
    assert table.column("pair_id") == ["0", "1", "0"]
    assert len(read_qbqtc(tmp_path, splits=["train"])) == 2


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="none of the QBQTC files"):
        read_qbqtc(tmp_path)

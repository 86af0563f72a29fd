"""Tables in memory and Parquet files, with the cells and the columns that people's own tables have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.errors import DataError
from darl.pairs import PairTable, read_pairs
from darl.pairs.schema import text_column

DATA = {"query": ["a", "b"], "item": ["x", "y"], "label": [0, 1]}
DOUBLED = pa.table([["a"], ["x"], ["y"], [1]], names=["query", "item", "item", "label"])


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (pd.Series([pd.NA, "z"], dtype=object), [None, "z"]),
        (pd.Series([pd.NA, "z"], dtype="string"), [None, "z"]),
        (pd.Series([None, "z"], dtype=pd.ArrowDtype(pa.string())), [None, "z"]),
        ([np.array([1.0, 2.0]), None], [[1.0, 2.0], None]),
        ([np.eye(2), np.eye(1)], [[[1, 0], [0, 1]], [[1]]]),
        ([[1, 2], float("nan")], [[1, 2], None]),
    ],
)
def test_cells_of_a_data_frame(cells, found):
    assert read_pairs(pd.DataFrame({**DATA, "more": cells})).column("more") == found


def test_two_columns_of_one_name_are_refused(tmp_path):
    pq.write_table(DOUBLED, tmp_path / "a.parquet")
    frame = pd.DataFrame(DATA)
    frame.insert(3, "item", ["k", "l"], allow_duplicates=True)
    for source in (frame, DOUBLED, tmp_path / "a.parquet"):
        with pytest.raises(DataError, match="several columns are called 'item'"):
            read_pairs(source)
    with pytest.raises(DataError, match="several columns are called '1'"):
        read_pairs(pd.DataFrame({**DATA, 1: [1, 2], "1": [3, 4]}))
    with pytest.raises(DataError, match="several columns are called 'item'"):
        PairTable(DOUBLED)


def test_number_ids_with_a_gap_stay_whole():
    frame = pd.DataFrame({**DATA, "item_id": [12345678901, None]})
    assert read_pairs(frame).column("item_id") == ["12345678901", None]
    assert read_pairs(frame, where={"item_id": 12345678901}).queries == ["a"]
    assert read_pairs(frame, where={"item_id": None}).queries == ["b"]


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        (pa.array([1.5, float("nan"), 2.0]), ["1.5", None, "2"]),
        (pa.array([np.float32(0.1), None], pa.float32()), ["0.1", None]),
        (pa.array([7, np.nan], pa.float16()), ["7", None]),
        (pa.array([1.0, float("inf")]), ["1", "inf"]),
        (pa.array([2.0**60]), ["1.152921504606847e+18"]),
        (pa.chunked_array([[1e10], [None]], pa.float64()), ["10000000000", None]),
        (pa.array([], pa.float64()), []),
    ],
)
def test_floats_as_text(numbers, texts):
    assert text_column(numbers, "id").to_pylist() == texts

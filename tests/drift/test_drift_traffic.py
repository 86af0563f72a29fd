"""Traffic as it is read: times of any precision, filters by either name of a column."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from darl.drift.traffic import read_traffic
from darl.errors import DataError


def test_nanoseconds_are_read_as_microseconds(tmp_path: Path) -> None:
    nanos = [1_770_000_000_123_456_789, 1_760_000_000_000_000_001, None]
    for zone in (None, "UTC"):
        table = pa.table(
            {"query": ["a", "b", "c"], "item": ["x"] * 3, "time": pa.array(nanos, pa.timestamp("ns", zone))}
        )
        pq.write_table(table, tmp_path / "log.parquet")
        seen = read_traffic(tmp_path / "log.parquet")
        assert seen.queries == ["b", "a", "c"]
        assert seen.times is not None
        assert seen.times[1] == np.datetime64(1_770_000_000_123_456, "us")
        assert np.isnat(seen.times[2])


def test_a_filter_takes_darls_name_of_a_column_or_the_sources() -> None:
    table = pa.table({"q": ["a", "b"], "title": ["x", "y"], "cat": ["u", "v"], "mark": ["0", "1"]})
    columns = {"query": "q", "item": "title", "domain": "cat", "grade": "mark"}
    for where in ({"domain": "u"}, {"cat": "u"}, {"grade": "0"}, {"mark": 0}, {"q": "a", "domain": ["u", "w"]}):
        seen = read_traffic(table, columns=columns, where=where)
        assert (seen.queries, seen.columns()["domain"]) == (["a"], ["u"])
    with pytest.raises(DataError, match="no column 'shop'"):
        read_traffic(table, columns=columns, where={"shop": "u"})


def test_a_log_of_hashes_is_filtered_too() -> None:
    table = pa.table(
        {
            "query": pa.nulls(2, pa.string()),
            "item": pa.nulls(2, pa.string()),
            "query_hash": ["a", "b"],
            "item_hash": ["x", "y"],
            "probabilities": [[0.5, 0.5], [0.1, 0.9]],
            "cat": ["u", "v"],
        }
    )
    assert len(read_traffic(table, where={"cat": "v"})) == 1
    assert len(read_traffic(table, columns={"domain": "cat"}, where={"domain": "v"})) == 1

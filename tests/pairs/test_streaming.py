import tracemalloc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darl.pairs.formats import stream_file


def test_a_row_group_as_long_as_the_file_is_read_a_page_at_a_time(tmp_path):
    rng = np.random.default_rng(0)
    items = [rng.bytes(60).hex() for _ in range(40_000)]
    pq.write_table(pa.table({"item": items}), tmp_path / "pool.parquet", data_page_size=2**16, use_dictionary=False)
    size = (tmp_path / "pool.parquet").stat().st_size
    assert pq.ParquetFile(tmp_path / "pool.parquet").num_row_groups == 1
    tracemalloc.start()  # sees what the file hands to Arrow
    try:
        first = next(pieces := stream_file(tmp_path / "pool.parquet", rows=1_000))
        for piece in pieces:
            last = piece.rows[-1]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert first.table["item"].to_pylist() == items[:1_000]
    assert last == len(items)
    assert most < size / 10

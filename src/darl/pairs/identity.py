"""The fingerprint of a table: a hash of its contents that no chunking, slicing or provenance changes."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def fingerprint(table: pa.Table) -> str:
    """SHA-256 over the columns query, item, grade and weight, as hex.

    Args:
        table: Arrow table; ``query`` and ``item`` are large strings, ``grade`` int64, ``weight`` float64.

    Each text column is hashed as two streams, the lengths and the bytes: together they determine the
    column, and neither depends on how Arrow cut it into chunks.
    """
    digest = hashlib.sha256(b"darl pairs 1")
    for name in ("query", "item"):
        digest.update(_text_digest(table.column(name)))
    for name, missing in (("grade", -1), ("weight", 1.0)):
        if name in table.column_names:
            digest.update(name.encode())
            digest.update(_number_digest(table.column(name), missing))
    return digest.hexdigest()


def _text_digest(column: pa.ChunkedArray) -> bytes:
    lengths, contents = hashlib.sha256(), hashlib.sha256()
    for chunk in column.chunks:
        if not len(chunk):
            continue
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, dtype=np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
        lengths.update(np.diff(ends).astype("<i8").tobytes())
        if data is not None:
            contents.update(memoryview(data)[ends[0] : ends[-1]])
    return lengths.digest() + contents.digest()


def _number_digest(column: pa.ChunkedArray, missing: float) -> bytes:
    digest = hashlib.sha256()
    for chunk in column.chunks:
        digest.update(np.ascontiguousarray(pc.fill_null(chunk, missing).to_numpy(zero_copy_only=False)).tobytes())
    return digest.digest()

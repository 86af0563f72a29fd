"""Writing a table of any size piece by piece, whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from darl.pairs.cells import flat, json_text, storable
from darl.pairs.formats import file_kind
from darl.storage import atomic_file, storage_errors

Write = Callable[[pa.Table], None]


@contextlib.contextmanager
def chunk_writer(path: str | Path) -> Iterator[Write]:
    """Yields what appends a table; the file takes its name when the block ends well, and else is as before.

    The extension chooses Parquet, JSON lines, CSV or TSV; all but Parquet may end in ``.gz``. Every table must
    have the same columns. A missing value is null in JSON lines and empty in CSV.

    Raises:
        DataError: the extension names no format.
        StorageError: the disk is full, read-only or forbidden.
    """
    path = Path(path)
    kind, gzipped = file_kind(path)
    with atomic_file(path) as scratch, storage_errors(path), scratch.open("wb") as raw, contextlib.ExitStack() as stack:
        file: Any = raw
        if gzipped:  # without name and time in its header, equal tables give equal bytes
            file = stack.enter_context(gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0))
        if kind == "parquet":
            writer: pq.ParquetWriter | None = None

            def write(table: pa.Table) -> None:
                nonlocal writer
                table = storable(table)
                if writer is None:
                    writer = stack.enter_context(pq.ParquetWriter(file, table.schema, compression="zstd"))
                writer.write_table(table)

            yield write
        elif kind == "jsonl":
            yield lambda table: _write_jsonl(table, file)
        else:
            yield _csv_writer(file, "\t" if kind == "tsv" else ",")


def _write_jsonl(table: pa.Table, file: BinaryIO) -> None:
    lines = "".join(json_text(row) + "\n" for row in table.to_pylist())
    # a lone surrogate cannot be UTF-8
    file.write(lines.encode("utf-8", "replace"))


def _csv_writer(file: BinaryIO, delimiter: str) -> Write:
    first = True

    def write(table: pa.Table) -> None:
        nonlocal first
        buffer = io.BytesIO()
        options = pa_csv.WriteOptions(include_header=first, delimiter=delimiter)
        pa_csv.write_csv(flat(table), buffer, options)
        file.write(buffer.getvalue())
        first = False

    return write

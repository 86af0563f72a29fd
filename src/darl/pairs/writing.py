"""write_pairs: a table to Parquet, JSON lines, CSV or TSV, whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from darl.pairs.cells import flat, json_text, storable
from darl.pairs.formats import file_kind
from darl.pairs.schema import PROVENANCE
from darl.pairs.table import PairTable
from darl.storage import atomic_file, storage_errors

_CHUNK = 50_000


def write_pairs(table: PairTable, path: str | Path, *, kind: str | None = None, provenance: bool = False) -> None:
    """Writes a table so that ``path`` holds either the old or the whole new file.

    Args:
        table: n pairs.
        path: the file; its extension chooses the format, ``.gz`` compresses.
        kind: the format, when the extension should not choose it: ``parquet``, ``jsonl``, ``csv`` or ``tsv``.
        provenance: whether to keep where each pair was read, as ``source_row`` and ``source_file``.

    CSV and TSV hold text only and cannot tell an empty text from a missing one. JSON has no NaN: it becomes null. A
    nested value is its JSON in CSV, and in Parquet where it holds a structure without fields.

    Raises:
        DataError: the extension names no format.
        StorageError: the disk is full, read-only or forbidden.

    >>> import tempfile
    >>> from darl.pairs.reading import read_pairs
    >>> path = Path(tempfile.mkdtemp()) / "pairs.jsonl.gz"
    >>> write_pairs(PairTable.from_pairs(["lamp"], ["desk lamp"], [1]), path)
    >>> read_pairs(path).items
    ['desk lamp']
    """
    path = Path(path)
    gzipped = path.suffix.lower() == ".gz"
    kind = kind or file_kind(path)[0]
    data = table.arrow
    if provenance:
        data = data.rename_columns([f"source_{name}" if name in PROVENANCE else name for name in data.column_names])
    else:
        data = data.drop_columns(list(PROVENANCE))
    with atomic_file(path) as scratch, storage_errors(path), _opened(scratch, gzipped) as file:
        if kind == "parquet":
            pq.write_table(storable(data), file, compression="zstd")
        elif kind == "jsonl":
            _write_jsonl(data, file)
        else:
            pa_csv.write_csv(flat(data), file, pa_csv.WriteOptions(delimiter="\t" if kind == "tsv" else ","))


@contextlib.contextmanager
def _opened(path: Path, gzipped: bool) -> Iterator[BinaryIO]:
    with path.open("wb") as raw:
        if not gzipped:
            yield raw
        else:
            # Without name and time in its header, equal tables give equal bytes.
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
                yield file  # type: ignore[misc]


def _write_jsonl(data: pa.Table, file: BinaryIO) -> None:
    for batch in data.to_batches(max_chunksize=_CHUNK):
        given = ({name: value for name, value in row.items() if value is not None} for row in batch.to_pylist())
        lines = (json_text(row) + "\n" for row in given)
        file.write("".join(lines).encode("utf-8"))

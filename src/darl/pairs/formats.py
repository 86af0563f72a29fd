"""File formats: JSON lines, CSV, TSV and Parquet, each also gzipped, into raw Arrow columns.

A loader judges only the syntax. A row that cannot be parsed becomes a :class:`BadRow` and the loading
goes on; a file that cannot be read at all (missing, truncated, of an unknown kind) is an error.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from darl.errors import DataError
from darl.pairs.badrows import NOT_UTF8, BadRow
from darl.pairs.delimited import read_delimited
from darl.pairs.schema import arrow_column, refuse_doubled
from darl.pairs.text import clean_text
from darl.storage import storage_errors

_CHUNK = 50_000  # rows held as Python objects at a time
_BOM = b"\xef\xbb\xbf"
_READ_AT_A_TIME = 2**16  # bytes of a Parquet column


@dataclass
class RawTable:
    """What a source holds before any check.

    Args:
        table: the columns under their own names, n rows.
        rows: int64 (n,), the 1-based row numbers. In a text file this is the line on which the row
            begins, as an editor counts (a CSV header is line 1).
        name: the source's name in messages.
        bad: the rows that could not be parsed.

    Raises:
        DataError: two columns have one name.
    """

    table: pa.Table
    rows: np.ndarray
    name: str
    bad: list[BadRow] = field(default_factory=list)

    def __post_init__(self) -> None:
        refuse_doubled(self.table.column_names, self.name)


def load_file(path: str | Path, *, kind: str | None = None, columns: Sequence[str] | None = None) -> RawTable:
    """Loads one file by its extension.

    Args:
        path: the file.
        kind: the format, when the extension misleads.
        columns: the columns wanted; Parquet then reads no other (a column that is not there is no error here).

    Raises:
        DataError: the kind is unknown, the gzip data is cut short, the file is not what its name says.
        StorageError: the file is missing or cannot be read.
    """
    path = Path(path)
    kind = kind or file_kind(path)[0]
    if kind == "parquet":
        with _opened(path) as file:
            return _load_parquet(file, str(path), columns)
    parts = list(stream_file(path, kind=kind))
    bad = sorted((row for part in parts for row in part.bad), key=lambda row: row.row)
    return RawTable(join([part.table for part in parts]), np.concatenate([p.rows for p in parts]), str(path), bad)


def stream_file(
    path: str | Path, *, kind: str | None = None, rows: int = _CHUNK, columns: Sequence[str] | None = None
) -> Iterator[RawTable]:
    """Loads one file a piece at a time, at least one piece; a column's type may differ between pieces of a text file.

    Args:
        path: the file. kind: the format, when the extension misleads.
        rows: rows of a piece.
        columns: of a Parquet file, which to read, where not all.

    Raises:
        DataError: the kind is unknown, the gzip data is cut short, the file is not what its name says.
        StorageError: the file is missing or cannot be read.
    """
    path = Path(path)
    kind = kind or file_kind(path)[0]
    with _opened(path) as file:
        if kind == "parquet":
            yield from _stream_parquet(file, str(path), rows, columns)
        elif kind == "jsonl":
            yield from _stream_jsonl(file, str(path), rows)
        else:
            yield from _stream_delimited(file, str(path), "\t" if kind == "tsv" else ",", rows)


def open_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The numbered lines of a UTF-8 text file, also ``.gz``, without their ends.

    Raises:
        DataError: the gzip data is cut short, or a line is not UTF-8.
        StorageError: the file is missing or cannot be read.
    """
    with _opened(path) as file:
        for row, line in enumerate(_lines(file, str(path)), 1):
            try:
                yield row, line.rstrip(b"\r\n").decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError("not valid UTF-8", where=f"{path}:{row}", mend="save the file as UTF-8") from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with storage_errors(path):
        if path.suffix.lower() != ".gz":
            with path.open("rb") as file:
                yield file
        else:
            with gzip.open(path, "rb") as file:
                yield file  # type: ignore[misc]


def file_kind(path: str | Path) -> tuple[str, bool]:
    """The format (``jsonl``, ``csv``, ``tsv`` or ``parquet``) and whether the file is gzipped.

    >>> file_kind("a/pairs.TSV.gz")
    ('tsv', True)
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    gzipped = suffixes[-1:] == [".gz"]
    kind = _KINDS.get((suffixes[:-1] if gzipped else suffixes)[-1:][0] if len(suffixes) > gzipped else "")
    if kind is None:
        raise DataError(
            f"{Path(path).suffix or 'a name without extension'} is not a known format",
            where=path,
            mend="use .jsonl, .csv, .tsv or .parquet, each also with .gz",
        )
    return kind, gzipped


def _stream_jsonl(file: BinaryIO, name: str, size: int) -> Iterator[RawTable]:
    bad: list[BadRow] = []

    def chunks() -> Iterator[tuple[list[int], list[dict]]]:
        rows, records = [], []
        for row, line in enumerate(_lines(file, name), 1):
            line = line.rstrip(b"\r\n")
            if not line.strip():
                continue
            try:
                record = json.loads(line.decode("utf-8"))
            except UnicodeDecodeError as error:
                bad.append(BadRow(name, row, NOT_UTF8, f"byte {error.start + 1}", _lossy(line)))
                continue
            except (ValueError, RecursionError) as error:
                bad.append(BadRow(name, row, "malformed JSON", str(error), _lossy(line)))
                continue
            if not isinstance(record, dict):
                bad.append(BadRow(name, row, "not a JSON object", type(record).__name__, _lossy(line)))
                continue
            rows.append(row)
            records.append(record)
            if len(rows) == size:
                yield rows, records
                rows, records = [], []
        yield rows, records

    for rows, records in chunks():
        names = dict.fromkeys(key for record in records for key in record)
        table = _named({clean_text(key): arrow_column([record.get(key) for record in records]) for key in names})
        yield RawTable(table, np.array(rows, dtype=np.int64), name, bad)
        bad = []


def _stream_delimited(file: BinaryIO, name: str, delimiter: str, size: int) -> Iterator[RawTable]:
    header, batches = read_delimited(_lines(file, name), delimiter, name, size)
    if not header:
        yield RawTable(pa.table({}), np.zeros(0, dtype=np.int64), name)
    for batch in batches:
        columns = zip(*batch.records, strict=True) if batch.records else [()] * len(header)
        table = _named({key: _csv_column(values) for key, values in zip(header, columns, strict=True)})
        yield RawTable(table, np.array(batch.rows, dtype=np.int64), name, batch.bad)


def _load_parquet(file: BinaryIO, name: str, columns: Sequence[str] | None) -> RawTable:
    with _parquet_errors(name):
        source = _parquet(file)
        table = source.read(None if columns is None else [c for c in columns if c in source.schema_arrow.names])
        table = table.replace_schema_metadata(None)
    return RawTable(table, np.arange(1, table.num_rows + 1), name)


def _stream_parquet(file: BinaryIO, name: str, size: int, columns: Sequence[str] | None) -> Iterator[RawTable]:
    with _parquet_errors(name):
        source = _parquet(file)
        schema, first = source.schema_arrow.remove_metadata(), 1
        # Arrow's threads would each keep what they free: the more, the longer the file.
        for batch in source.iter_batches(size, columns=columns, use_threads=False):
            table = pa.Table.from_batches([batch]).replace_schema_metadata(None)
            yield RawTable(table, np.arange(first, first + table.num_rows), name)
            first += table.num_rows
        if first == 1:
            yield RawTable(schema.empty_table(), np.zeros(0, dtype=np.int64), name)


def _parquet(file: BinaryIO) -> pq.ParquetFile:
    source = file if isinstance(file, io.BufferedReader) else io.BytesIO(file.read())
    # Arrow's own choice reads all of a row group ahead, and a million rows may be one.
    return pq.ParquetFile(source, pre_buffer=False, buffer_size=_READ_AT_A_TIME)


@contextlib.contextmanager
def _parquet_errors(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"this is not a whole Parquet file ({error})", where=name, mend="fetch or write the file again"
        ) from error


_KINDS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".tab": "tsv"}
_KINDS |= {".parquet": "parquet", ".pq": "parquet"}


def join(tables: list[pa.Table]) -> pa.Table:
    """Raw tables one below the other; a column whose type differs between them becomes text."""
    names = dict.fromkeys(name for table in tables for name in table.column_names)
    for name in names:
        kinds = {table.schema.field(name).type for table in tables if name in table.column_names}
        kinds.discard(pa.null())
        numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        if len(kinds) > 1 and not numbers:
            tables = [_mixed(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


def _mixed(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    # A value that no text has, so that arrow_column sees a mixture and writes every value as text.
    values = [*table.column(name).to_pylist(), "", 0]
    return table.set_column(table.column_names.index(name), name, arrow_column(values)[:-2])


def _named(columns: dict[str, pa.Array]) -> pa.Table:
    return pa.table(columns) if columns else pa.table({})


def _csv_column(values: tuple[str, ...] | tuple[()]) -> pa.Array:
    # CSV knows no null: an empty field is one.
    return arrow_column([value or None for value in values]).cast(pa.large_string())


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    """The lines of a binary file without a byte order mark; cut gzip data is an error with the line."""
    number = 0
    try:
        for line in file:
            number += 1
            yield line.removeprefix(_BOM) if number == 1 else line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the gzip data is cut short or damaged after line {number} ({error})",
            where=name,
            mend="fetch or compress the file again",
        ) from error


def _lossy(line: bytes) -> str:
    return line.decode("utf-8", "replace")

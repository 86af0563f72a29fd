"""Everything that pairs can be read from, opened one raw table at a time."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from darl.errors import DataError
from darl.pairs import hub
from darl.pairs.formats import RawTable, load_file
from darl.pairs.schema import arrow_column, refuse_doubled

Source = Any
"""A path, a glob, ``hf://…``, a list of these, a saved datasets folder, or a Dataset, DataFrame or Arrow table."""


def open_source(source: Source) -> Iterator[RawTable]:
    """Yields the raw tables of a source in order; a glob is expanded in the order of names.

    Raises:
        DataError: nothing matches, or the source is of an unknown kind.
        StorageError: a file cannot be read.
    """
    if isinstance(source, (list, tuple)):
        if not source:
            raise DataError("an empty list is no source of pairs", mend="name at least one file")
        for part in source:
            yield from open_source(part)
    elif isinstance(source, (str, Path)):
        yield from _open_path(str(source))
    elif isinstance(source, RawTable):
        yield source
    else:
        yield _from_object(source)


def source_name(source: Source) -> str:
    """A source in a few words, for messages."""
    if isinstance(source, Sequence) and not isinstance(source, str):
        return ", ".join(source_name(part) for part in source[:3]) + (" …" if len(source) > 3 else "")
    if isinstance(source, RawTable):
        return source.name
    return str(source) if isinstance(source, (str, Path)) else f"<{type(source).__name__}>"


def source_files(source: Source) -> Iterator[Path]:
    """The local files that a source names, those of its globs too.

    >>> list(source_files(["hf://owner/shop", "no such file.csv"]))
    []
    """
    if isinstance(source, (list, tuple)):
        for part in source:
            yield from source_files(part)
    elif isinstance(source, (str, Path)):
        if Path(source).is_file():
            yield Path(source)
        elif glob.has_magic(str(source)) and not Path(source).exists():
            yield from (
                Path(match) for match in sorted(glob.glob(str(source), recursive=True)) if Path(match).is_file()
            )


def _open_path(path: str) -> Iterator[RawTable]:
    if path.startswith(hub.PREFIX):
        yield hub.from_hub(path)
    elif Path(path).is_dir():
        if not hub.is_saved_dataset(Path(path)):
            raise DataError(
                "a folder is no source of pairs", where=path, mend=f"name its files, as in '{Path(path) / '*.jsonl'}'"
            )
        yield hub.from_saved(Path(path))
    elif not Path(path).exists() and glob.has_magic(path):
        matches = sorted(glob.glob(path, recursive=True))
        if not matches:
            raise DataError("no file matches", where=path, mend="check the folder and the pattern")
        for match in matches:
            yield from _open_path(match)
    else:
        yield load_file(path)


def _from_object(source: Any) -> RawTable:
    if isinstance(source, pa.Table):
        table = source
    elif hasattr(source, "with_format") and hasattr(source, "features"):  # datasets.Dataset
        table = hub.dataset_table(source)
    elif hasattr(source, "iloc") and hasattr(source, "columns"):  # pandas.DataFrame
        names = [str(name) for name in source.columns]
        refuse_doubled(names, "<DataFrame>")
        table = pa.table(
            {name: _from_series(source[column]) for name, column in zip(names, source.columns, strict=True)}
        )
    else:
        raise DataError(
            f"a {type(source).__name__} is no source of pairs",
            mend="give a path, a list of paths, hf://…, a Dataset, a DataFrame or an Arrow table",
        )
    return RawTable(table, np.arange(1, table.num_rows + 1), f"<{type(source).__name__}>")


def _from_series(series: Any) -> pa.Array | pa.ChunkedArray:
    if series.dtype.kind in "biufM":
        # A NaN weight is a fault to report, so it must not turn into a null.
        return pa.array(series, from_pandas=series.dtype.kind == "M")
    values = zip(series.isna().tolist(), series.tolist(), strict=True)
    return arrow_column([None if missing else _plain(value) for missing, value in values])


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray) else value

"""Data sets of Hugging Face `datasets`: from the hub, from a folder on disk, or in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from darl.errors import DataError
from darl.pairs.formats import RawTable, join

PREFIX = "hf://"


def parse_address(address: str) -> tuple[str, str | None, str | None]:
    """The data set, configuration and split of ``hf://name``, ``hf://owner/name[/config][:split]``.

    >>> parse_address("hf://owner/shop/en:train")
    ('owner/shop', 'en', 'train')
    >>> parse_address("hf://shop")
    ('shop', None, None)
    """
    path, _, split = address.removeprefix(PREFIX).partition(":")
    parts = path.split("/")
    if not all(parts) or len(parts) > 3:
        raise DataError("this is no data set address", where=address, mend="write hf://owner/name[/config][:split]")
    return "/".join(parts[:2]), (parts[2] if len(parts) == 3 else None), split or None


def from_hub(address: str) -> RawTable:
    """Loads a data set from the hub (or its local cache). Without a split all of them are read, and a
    column ``split`` says which.

    Raises:
        DataError: the hub cannot be reached, or has no such data set, configuration or split.
    """
    name, config, split = parse_address(address)
    import datasets  # heavy, and needed only here

    try:
        return RawTable(table := _table(datasets.load_dataset(name, config, split=split)), _numbers(table), address)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(
            f"the hub has no such data set, configuration or split, or it is not in the cache ({_first_line(error)})",
            where=address,
            mend="check the name and the connection",
        ) from error
    except Exception as error:  # the hub client raises the errors of whichever HTTP library it uses
        raise DataError(
            f"the data set cannot be fetched ({type(error).__name__}: {_first_line(error)})",
            where=address,
            mend="check the connection, or fetch it on a connected machine and give the path of the saved folder",
        ) from error


def is_saved_dataset(folder: Path) -> bool:
    """Whether a folder was written by ``Dataset.save_to_disk`` or ``DatasetDict.save_to_disk``."""
    return (folder / "state.json").exists() or (folder / "dataset_dict.json").exists()


def from_saved(folder: Path) -> RawTable:
    """Loads a folder written by ``save_to_disk``; the splits of a DatasetDict as in :func:`from_hub`.

    Raises:
        DataError: the folder is incomplete or damaged.
    """
    import datasets

    try:
        table = _table(datasets.load_from_disk(str(folder)))
    except Exception as error:
        raise DataError(
            f"the saved data set cannot be read ({_first_line(error)})", where=folder, mend="save it again"
        ) from error
    return RawTable(table, _numbers(table), str(folder))


def dataset_table(dataset: Any) -> pa.Table:
    """The Arrow table of a Dataset as the user sees it: selected, shuffled or filtered rows only."""
    table = dataset.with_format("arrow")[:]
    return pa.table({name: table.column(name) for name in table.column_names})  # leaves its metadata behind


def _table(loaded: Any) -> pa.Table:
    if not isinstance(loaded, dict):
        return dataset_table(loaded)
    tables = []
    for split, dataset in loaded.items():
        table = dataset_table(dataset)
        if "split" not in table.column_names:
            table = table.append_column("split", pa.array([split] * table.num_rows, type=pa.large_string()))
        tables.append(table)
    return join(tables)


def _numbers(table: pa.Table) -> np.ndarray:
    return np.arange(1, table.num_rows + 1)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]

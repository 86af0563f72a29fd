"""The columns of a table of pairs and their Arrow types."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError
from darl.pairs.text import clean_text

# Arrow's plain string holds 2 GiB a chunk; a million long product texts are more.
TEXT = pa.large_string()
FILE = pa.dictionary(pa.int32(), TEXT)

_SURROGATE = re.compile("[\ud800-\udfff]")

TEXT_COLUMNS = ("query", "item")
STRING_COLUMNS = ("query_id", "item_id", "domain", "split", "source")
PROVENANCE = ("row", "file")
KNOWN_COLUMNS = (*TEXT_COLUMNS, "grade", "weight", *STRING_COLUMNS, "time")


def arrow_column(values: Iterable[Any]) -> pa.Array:
    """Python values as an Arrow column; values of mixed kinds become text.

    A lone surrogate, which no file can hold, is replaced, in lists and structures too. A mixed column is cleaned
    (:func:`darl.pairs.text.clean_text`), and a nested value in it becomes its JSON.

    >>> arrow_column(["1", 2, None]).to_pylist()
    ['1', '2', None]
    """
    values = values if isinstance(values, list) else list(values)
    try:
        try:
            column = pa.array(values)
        except UnicodeError:
            column = pa.array([_without_surrogates(value) for value in values])
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, UnicodeError, OverflowError):
        column = pa.array([_as_text(value) for value in values], type=TEXT)
    return pc.cast(column, TEXT) if pa.types.is_string(column.type) else column


def refuse_doubled(names: Sequence[str], where: str) -> None:
    """Refuses a table with two columns of one name, of which nobody knows which is meant.

    Raises:
        DataError: names them.

    >>> refuse_doubled(["query", "item"], "shop.parquet")
    """
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"several columns are called {', '.join(map(repr, twice))}", where=where, mend="rename or drop all but one"
        )


def text_column(column: pa.Array | pa.ChunkedArray, name: str) -> pa.Array | pa.ChunkedArray:
    """A text, number or truth column as large strings; nulls stay, and NaN is one.

    Args:
        column: (n,). A float column of whole numbers is read as integers: what holds a gap is often stored as floats.
        name: the column's name in messages.

    Raises:
        DataError: the column holds lists, structures or bytes.

    >>> text_column(pa.array([12345678901.0, float("nan")]), "item_id").to_pylist()
    ['12345678901', None]
    """
    kind = column.type
    if pa.types.is_dictionary(kind):
        return text_column(pc.cast(column, kind.value_type), name)
    if not (is_text(kind) or pa.types.is_primitive(kind) or pa.types.is_null(kind)):
        raise DataError(f"column {name!r} holds {kind}, not text", mend="map a text column to it under `columns`")
    if pa.types.is_floating(kind):
        column = _whole_numbers(column)
    return column if kind == TEXT else pc.cast(column, TEXT)


def _whole_numbers(column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Floats with NaN as null; as integers where each is one, and small enough to be told from its neighbours."""
    column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)  # type: ignore[attr-defined]
    values = column.drop_null().to_numpy().astype(np.float64)
    whole = bool((np.abs(values) < 2**53).all() and (values == np.trunc(values)).all())
    return pc.cast(column, pa.int64()) if whole else column


def typed_column(name: str, column: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column in the type that its name asks for; other users' columns keep theirs.

    Raises:
        DataError: the values cannot be brought into that type.
    """
    try:
        if name in TEXT_COLUMNS or name in STRING_COLUMNS:
            return text_column(column, name)
        if name == "grade":
            return pc.cast(column, pa.int64())
        if name == "weight":
            return pc.cast(column, pa.float64())
        if name == "row":
            return pc.cast(column, pa.int64())
        if name == "file":
            return column if column.type == FILE else pc.cast(text_column(column, name), FILE)
        if is_text(column.type) or (name == "time" and not pa.types.is_temporal(column.type)):
            return text_column(column, name)
        if pa.types.is_dictionary(column.type):
            return typed_column(name, pc.cast(column, column.type.value_type))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"column {name!r} holds values of the wrong kind: {error}") from error
    return column


def is_text(kind: pa.DataType) -> bool:
    """Whether an Arrow type is one of the string types."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def codes(column: pa.Array | pa.ChunkedArray) -> tuple[np.ndarray, list]:
    """Dense codes of a column in order of first occurrence, and the distinct values.

    Args:
        column: (n,); a null gets the code −1.

    Returns:
        codes int64 (n,) and the distinct values (m,), so that ``values[codes[i]]`` is row i.

    >>> codes(pa.array(["b", "a", "b", None]))
    (array([ 0,  1,  0, -1]), ['b', 'a'])
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    encoded = column.dictionary_encode()
    indices = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    return indices, encoded.dictionary.to_pylist()


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(one) for key, one in value.items()}
    return [_without_surrogates(one) for one in value] if isinstance(value, (list, tuple)) else value


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return None if value is None else clean_text(value)
    if isinstance(value, (dict, list, tuple)):
        return clean_text(json.dumps(value, ensure_ascii=False, default=str))
    return clean_text(str(value))

"""What each file format can hold of a table: JSON has no NaN, CSV nothing nested, Parquet no empty structure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from darl.pairs.schema import TEXT


def json_text(value: Any) -> str:
    """JSON that every reader takes: NaN and the infinite become null; what JSON does not know becomes text.

    >>> json_text({"price": float("nan"), "code": b"x1"})
    '{"price": null, "code": "x1"}'
    """
    try:
        return json.dumps(value, ensure_ascii=False, default=_as_text, allow_nan=False)
    except ValueError:
        return json.dumps(_without_nan(value), ensure_ascii=False, default=_as_text)


def flat(table: pa.Table) -> pa.Table:
    """The table with columns that CSV can hold: a nested value becomes its JSON, bytes become text.

    >>> flat(pa.table({"tags": [["a"], None], "n": [1, 2]})).to_pylist()
    [{'tags': '["a"]', 'n': 1}, {'tags': None, 'n': 2}]
    """
    for index, name in enumerate(table.column_names):
        column = table.column(index)
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if pa.types.is_nested(column.type) or _is_bytes(column.type):
            column = nested_as_json(column)
        elif not (pa.types.is_primitive(column.type) or pa.types.is_null(column.type)):
            column = pc.cast(column, TEXT)
        table = table.set_column(index, name, column)
    return table


def storable(table: pa.Table) -> pa.Table:
    """The table with columns that Parquet can hold: what has a structure without fields in it becomes its JSON.

    >>> storable(pa.table({"attributes": [{}, None]})).to_pylist()
    [{'attributes': '{}'}, {'attributes': None}]
    """
    for index, name in enumerate(table.column_names):
        if _has_empty_structure(table.schema.field(index).type):
            table = table.set_column(index, name, nested_as_json(table.column(index)))
    return table


def nested_as_json(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column of lists, structures or bytes as text; nulls stay."""
    values = column.to_pylist()
    return pa.array(
        [None if v is None else _as_text(v) if isinstance(v, bytes) else json_text(v) for v in values], TEXT
    )


def _as_text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(part) for key, part in value.items()}
    return [_without_nan(part) for part in value] if isinstance(value, (list, tuple)) else value


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return any(is_kind(kind) for is_kind in (types.is_binary, types.is_large_binary, types.is_fixed_size_binary))


def _has_empty_structure(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind) and not kind.num_fields:
        return True
    if pa.types.is_dictionary(kind) or not pa.types.is_nested(kind):
        return False
    return any(_has_empty_structure(kind.field(at).type) for at in range(kind.num_fields))

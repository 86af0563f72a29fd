"""Which column of a source is which column of darl's, and the filter on column values."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from darl.errors import DataError, MissingColumnError
from darl.pairs.schema import KNOWN_COLUMNS, PROVENANCE, TEXT, is_text, text_column

ALIASES: dict[str, tuple[str, ...]] = {
    "query": ("search_query", "search_term", "query_text", "question", "q"),
    "item": ("text", "title", "document", "passage", "doc", "item_text", "product_title", "product_name"),
    "grade": ("label", "relevance", "relevance_grade", "relevance_label", "rel", "judgment", "judgement", "esci_label"),
    "weight": ("sample_weight",),
    "query_id": ("qid", "query-id"),
    "item_id": ("product_id", "doc_id", "docid", "corpus-id", "document_id"),
    "time": ("timestamp",),
}
"""Names that are understood without a mapping, by darl's own name for the column."""


def rename_columns(table: pa.Table, columns: Mapping[str, str] | None, *, where: str, require_grades: bool) -> pa.Table:
    """The same columns under darl's names, as :func:`darl_names` finds them.

    Args:
        table: raw columns.
        columns, where, require_grades: as there.

    Raises:
        DataError: as there.
    """
    kept = darl_names(table.column_names, columns, where=where, require_grades=require_grades)
    return pa.table({ours: table.column(theirs) for ours, theirs in kept.items()})


def darl_names(
    found: Sequence[str], columns: Mapping[str, str] | None, *, where: str, require_grades: bool
) -> dict[str, str]:
    """{darl's name: the source's} for every column of a source.

    Args:
        found: the source's columns.
        columns: {darl's name: the source's name}; what it does not name is found by name or alias. A source with none
            of the mapped columns, but with those that are needed under darl's own names, is one that darl wrote
            (labelled picks beside the graded pairs they were picked for): it needs no mapping.
        where: the source's name in messages.
        require_grades: whether a grade column must be there. Where it need not, a file without the mapped one, and
            without one that might be meant by it, is read as ungraded.

    A column that already bears a name which the mapping gives to another is kept as ``<name>_original``;
    a source's own ``row`` and ``file`` are kept as ``source_row`` and ``source_file``.

    Raises:
        DataError: a needed or a mapped column is missing, two aliases of one name are there, or the mapping names a
            column twice.

    >>> darl_names(["title", "q", "price"], {"query": "q"}, where="shop.csv", require_grades=False)
    {'query': 'q', 'item': 'title', 'price': 'price'}
    >>> darl_names(["query", "item"], {"query": "q"}, where="picks.jsonl", require_grades=False)
    {'query': 'query', 'item': 'item'}
    """
    needed = ("query", "item", "grade") if require_grades else ("query", "item")
    for theirs, count in Counter((columns or {}).values()).items():
        if count > 1:
            ours = ", ".join(name for name, mapped in (columns or {}).items() if mapped == theirs)
            raise DataError(f"column {theirs!r} is mapped to {ours}", where=where, mend="map each column to one name")
    mapped = {} if _darls_own(found, columns or {}, needed) else columns or {}
    new_names: dict[str, str] = {}  # theirs → ours
    for ours, theirs in mapped.items():
        if theirs not in found:
            if ours == "grade" and not require_grades and not _like_a_grade(theirs, found):
                continue  # a file of ungraded pairs beside graded ones, read with the same mapping
            raise missing_column(theirs, found, where)
        new_names[theirs] = ours
    for ours in KNOWN_COLUMNS:
        if ours in new_names.values() or (ours in found and ours not in new_names):
            continue
        lowered = {name.strip().casefold(): name for name in found if name not in new_names}
        present = [lowered[alias] for alias in (ours, *ALIASES.get(ours, ())) if alias in lowered]
        if len(present) > 1 and ours in needed:
            raise DataError(
                f"several columns could be the {ours}: {', '.join(present)}",
                where=where,
                mend=f"say which: columns={{{ours!r}: {present[0]!r}}}",
            )
        if present:
            new_names[present[0]] = ours
        elif ours in needed:
            raise missing_column(ours, found, where)
    taken = set(new_names.values())
    for name in found:
        if name not in new_names:
            new_names[name] = f"source_{name}" if name in PROVENANCE else f"{name}_original" if name in taken else name
    return {ours: theirs for theirs, ours in new_names.items()}


def _darls_own(found: Sequence[str], columns: Mapping[str, str], needed: Sequence[str]) -> bool:
    if not {"query", "item"}.intersection(columns) or not set(needed).issubset(found):
        return False
    others = [name.strip().casefold() for name in found if name not in KNOWN_COLUMNS]
    if any(
        name in found or difflib.get_close_matches(name.casefold(), others, n=1, cutoff=0.8)
        for name in columns.values()
    ):
        return False  # the mapping was meant, if misspelt
    return "grade" in found or "grade" not in columns or not _like_a_grade(columns["grade"], found)


def _like_a_grade(name: str, found: Sequence[str]) -> bool:
    """Whether a column is there that the user may have meant: silence would then lose their grades."""
    lowered = [column.strip().casefold() for column in found]
    known = {"grade", *ALIASES["grade"]}
    return bool(known.intersection(lowered) or difflib.get_close_matches(name.casefold(), lowered, n=1, cutoff=0.5))


def filter_mask(table: pa.Table, where: Mapping[str, Any] | None, *, source: str) -> np.ndarray:
    """Which rows have the wanted values, bool (n,).

    Args:
        table: n rows under darl's names.
        where: {column: value or list of values}; all must hold. Values are compared as text, so 1 finds "1";
            None finds a missing value.

    Raises:
        DataError: the table has no such column.
    """
    mask = np.ones(table.num_rows, dtype=bool)
    for name, wanted in (where or {}).items():
        if name not in table.column_names:
            raise missing_column(name, table.column_names, source)
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = pc.cast(column, column.type.value_type)
        if not (is_text(column.type) or pa.types.is_primitive(column.type) or pa.types.is_null(column.type)):
            raise DataError(f"column {name!r} holds {column.type} and cannot be filtered", where=source)
        values = list(wanted) if isinstance(wanted, Iterable) and not isinstance(wanted, str) else [wanted]
        texts = [_filter_text(value) for value in values]
        if pa.types.is_boolean(column.type):  # Python writes True, and so does the command that drift prints
            texts = [text.lower() if text else text for text in texts]
        options = pc.SetLookupOptions(pa.array(texts, type=TEXT))
        mask &= pc.call_function("is_in", [text_column(column, name)], options).to_numpy()
    return mask


def _filter_text(value: Any) -> str | None:
    # Arrow writes truth values in lower case.
    return None if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def missing_column(name: str, found: Sequence[str], where: str) -> MissingColumnError:
    """The error for a column that is not there: names the columns found and the nearest one."""
    near = difflib.get_close_matches(name.casefold(), [column.casefold() for column in found], n=1, cutoff=0.5)
    nearest = next((column for column in found if near and column.casefold() == near[0]), None)
    theirs = nearest or "…"
    return MissingColumnError(
        f"there is no column {name!r}; found: {', '.join(found) or 'none'}",
        where=where,
        mend=(f"did you mean {nearest!r}? " if nearest else "")
        + f"Map it with --columns {name}={theirs}, in a recipe with data.columns, in Python with "
        f"columns={{{name!r}: {theirs!r}}}",
    )

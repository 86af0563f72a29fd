"""WANDS, the Wayfair Annotation Data Set (Chen et al. 2022, ECIR).

Official files, tab separated in spite of their names: ``query.csv``, ``product.csv``, ``label.csv``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import pyarrow as pa

from darl.grades import GradeScale
from darl.pairs.converters.parts import ReadOptions, joined, load_part, lookup
from darl.pairs.formats import RawTable
from darl.pairs.reading import read_pairs
from darl.pairs.schema import TEXT
from darl.pairs.table import PairTable

SCALE = GradeScale(("Irrelevant", "Partial", "Exact"))
"""The three labels of WANDS."""


def read_wands(
    folder: str | Path,
    *,
    fields: Sequence[str] = ("product_name",),
    separator: str = " | ",
    **options: Unpack[ReadOptions],
) -> PairTable:
    """Reads WANDS from its official files; grades are on :data:`SCALE`.

    Args:
        folder: holds the three files.
        fields: the product columns that make the item text, such as ``product_description``.
        separator: between the fields.
        options: as in :func:`darl.pairs.read_pairs`.

    Kept columns: ``query_id``, ``item_id``, ``source``, ``domain`` (the query's class) and ``product_class``.
    WANDS comes without splits: use :func:`darl.pairs.split_pairs`.

    Raises:
        BadRowsError: a query or product is missing, or a row is otherwise unusable.
        DataError: a file is not the official one.
    """
    folder = Path(folder)
    labels = load_part(folder / "label.csv", ["query_id", "product_id", "label"], kind="tsv")
    queries = load_part(folder / "query.csv", ["query_id", "query", "query_class"], options, kind="tsv").table
    names = list(dict.fromkeys(["product_id", "product_class", *fields]))
    products = load_part(folder / "product.csv", names, options, kind="tsv").table
    table = labels.table
    query_ids, product_ids = table.column("query_id"), table.column("product_id")
    pairs = pa.table(
        {
            "query": lookup(query_ids, queries.column("query_id"), queries.column("query")),
            "item": lookup(product_ids, products.column("product_id"), joined(products, fields, separator)),
            "grade": table.column("label"),
            "query_id": query_ids,
            "item_id": product_ids,
            "source": pa.array(["wands"] * table.num_rows, type=TEXT),
            "domain": lookup(query_ids, queries.column("query_id"), queries.column("query_class")),
            "product_class": lookup(product_ids, products.column("product_id"), products.column("product_class")),
        }
    )
    return read_pairs(RawTable(pairs, labels.rows, labels.name, labels.bad), scale=SCALE, **options)

"""Amazon ESCI, the Shopping Queries Data Set (Reddy et al. 2022, arXiv:2206.06588).

Official files: ``shopping_queries_dataset_examples.parquet`` and ``shopping_queries_dataset_products.parquet``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Unpack

import pyarrow as pa
import pyarrow.compute as pc

from darl.grades import GradeScale
from darl.pairs.converters.parts import ReadOptions, joined, keep, load_part, lookup
from darl.pairs.formats import RawTable
from darl.pairs.reading import read_pairs
from darl.pairs.schema import TEXT
from darl.pairs.table import PairTable

SCALE = GradeScale(("irrelevant", "complement", "substitute", "exact"), (0.0, 0.01, 0.1, 1.0))
"""The four ESCI labels with the gains of the data set's ranking task."""

EXAMPLES, PRODUCTS = "shopping_queries_dataset_examples.parquet", "shopping_queries_dataset_products.parquet"
_LETTERS = {"E": "exact", "S": "substitute", "C": "complement", "I": "irrelevant"}


def read_esci(
    folder: str | Path,
    *,
    locale: str | None = "us",
    version: Literal["small", "large"] = "small",
    split: str | None = None,
    fields: Sequence[str] = ("product_title",),
    separator: str = " | ",
    **options: Unpack[ReadOptions],
) -> PairTable:
    """Reads ESCI from its official Parquet files; grades are on :data:`SCALE`.

    Args:
        folder: holds both files.
        locale: ``us``, ``es`` or ``jp``; None takes all.
        version: ``small`` (the ranking task, harder queries) or ``large`` (all pairs).
        split: ``train`` or ``test``; None takes both.
        fields: the product columns that make the item text, such as ``product_brand``.
        separator: between the fields.
        options: as in :func:`darl.pairs.read_pairs`.

    Kept columns: ``query_id``, ``item_id``, ``split``, ``source`` and ``locale``.

    Raises:
        BadRowsError: a product is missing, or a row is otherwise unusable.
        DataError: a file is not the official one.
    """
    folder = Path(folder)
    names = ["query", "query_id", "product_id", "product_locale", "esci_label", f"{version}_version", "split"]
    examples = keep(load_part(folder / EXAMPLES, names), f"{version}_version", "1")
    if locale is not None:
        examples = keep(examples, "product_locale", locale)
    if split is not None:
        examples = keep(examples, "split", split)
    products = load_part(folder / PRODUCTS, ["product_id", "product_locale", *fields], options)
    if locale is not None:
        products = keep(products, "product_locale", locale)
    table = examples.table
    # A product id is unique within a locale only.
    items = lookup(_key(table), _key(products.table), joined(products.table, fields, separator))
    labels = [_LETTERS.get(label, label) for label in table.column("esci_label").to_pylist()]
    pairs = pa.table(
        {
            "query": table.column("query"),
            "item": items,
            "grade": pa.array(labels, type=TEXT),
            "query_id": table.column("query_id"),
            "item_id": table.column("product_id"),
            "split": table.column("split"),
            "source": pa.array(["esci"] * table.num_rows, type=TEXT),
            "locale": table.column("product_locale"),
        }
    )
    return read_pairs(RawTable(pairs, examples.rows, examples.name, examples.bad), scale=SCALE, **options)


def _key(table: pa.Table) -> pa.ChunkedArray:
    separator = pa.scalar("\t", type=TEXT)
    return pc.call_function(
        "binary_join_element_wise", [table.column("product_id"), table.column("product_locale"), separator]
    )

"""Retrieval collections: BEIR folders (Thakur et al. 2021, arXiv:2104.08663) and TREC judgements (qrels).

Both list judged documents by id; a document that nobody judged is not in them, so most BEIR collections hold
relevant pairs only and serve ranking rather than grading.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import numpy as np
import pyarrow as pa

from darl.errors import DataError
from darl.grades import GradeScale
from darl.pairs.badrows import BadRow
from darl.pairs.converters.parts import ReadOptions, joined, load_part, lookup
from darl.pairs.formats import RawTable, open_lines
from darl.pairs.reading import read_pairs
from darl.pairs.schema import TEXT
from darl.pairs.table import PairTable

SCALE = GradeScale(("not relevant", "relevant"))
"""The scale of the binary collections. Graded ones (TREC-COVID, NFCorpus, DBpedia: 0 … 2) need their own."""


def read_beir(
    folder: str | Path,
    *,
    split: str = "test",
    scale: GradeScale = SCALE,
    fields: Sequence[str] = ("title", "text"),
    separator: str = " ",
    **options: Unpack[ReadOptions],
) -> PairTable:
    """Reads a BEIR folder: ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``, each also ``.gz``.

    Args:
        folder: holds the three.
        split: the name of the qrels file, ``train``, ``dev`` or ``test``.
        scale: the grades of this collection; default :data:`SCALE`.
        fields: the document fields that make the item text.
        separator: between the fields.
        options: as in :func:`darl.pairs.read_pairs`.

    Kept columns: ``query_id``, ``item_id``, ``split`` and ``source`` (the folder's name).

    Raises:
        BadRowsError: a judged query or document is missing, or a grade is off the scale.
        DataError: a file is not of this form.
    """
    folder = Path(folder)
    qrels = load_part(folder / "qrels" / f"{split}.tsv", ["query-id", "corpus-id", "score"])
    table = qrels.table.rename_columns(["query_id", "item_id", "grade"])
    table = table.append_column("split", pa.array([split] * table.num_rows, type=TEXT))
    qrels = RawTable(table, qrels.rows, qrels.name, qrels.bad)
    queries, corpus = folder / "queries.jsonl", folder / "corpus.jsonl"
    return _with_texts(qrels, queries, corpus, fields, separator, scale, folder.resolve().name, options)


def read_trec(
    qrels: str | Path,
    queries: str | Path,
    corpus: str | Path,
    *,
    scale: GradeScale = SCALE,
    fields: Sequence[str] = ("title", "text"),
    separator: str = " ",
    **options: Unpack[ReadOptions],
) -> PairTable:
    """Reads TREC judgements with the texts that they are about.

    Args:
        qrels: lines of ``query-id iteration document-id grade``, separated by white space, also ``.gz``.
        queries, corpus: JSON lines as in BEIR (``_id``, ``text``, ``title``), or lines of ``id<tab>text``
            (``.tsv`` or ``.txt``, without a header), each also ``.gz``.
        scale, fields, separator, options: as in :func:`read_beir`.

    Raises:
        BadRowsError: a judged query or document is missing, a grade is off the scale, a line has not four fields.
        DataError: a file is not of this form.
    """
    rows, records, bad = [], [], []
    for row, line in open_lines(Path(qrels)):
        record = line.split()
        if len(record) == 4:
            rows.append(row)
            records.append(record)
        elif record:
            bad.append(BadRow(str(qrels), row, "ragged row", f"{len(record)} fields, qrels have 4", line))
    ids, _, documents, grades = zip(*records, strict=True) if records else ((), (), (), ())
    data = {"query_id": ids, "item_id": documents, "grade": grades}
    table = pa.table({name: pa.array(list(values), type=TEXT) for name, values in data.items()})
    raw = RawTable(table, np.array(rows, dtype=np.int64), str(qrels), bad)
    return _with_texts(raw, Path(queries), Path(corpus), fields, separator, scale, Path(qrels).name, options)


def _with_texts(
    qrels: RawTable,
    queries: Path,
    corpus: Path,
    fields: Sequence[str],
    separator: str,
    scale: GradeScale,
    source: str,
    options: ReadOptions,
) -> PairTable:
    table = qrels.table
    known_queries, known_items = _texts(queries, ("text",), options), _texts(corpus, fields, options)
    query = lookup(table.column("query_id"), known_queries.column("_id"), known_queries.column("text"))
    text = joined(known_items, [name for name in fields if name in known_items.column_names], separator)
    table = table.append_column("query", query)
    table = table.append_column("item", lookup(table.column("item_id"), known_items.column("_id"), text))
    table = table.append_column("source", pa.array([source] * table.num_rows, type=TEXT))
    return read_pairs(RawTable(table, qrels.rows, qrels.name, qrels.bad), scale=scale, **options)


def _texts(path: Path, fields: Sequence[str], options: ReadOptions) -> pa.Table:
    """The ids and text fields of a JSON-lines or an id-tab-text file; the latter knows ``text`` only."""
    if ".jsonl" in path.suffixes:
        return load_part(path, ["_id", *fields], options).table
    ids, texts = [], []
    for row, line in open_lines(path):
        if not line:
            continue
        identifier, tab, text = line.partition("\t")
        if not tab:
            raise DataError("this line is not id<tab>text", where=f"{path}:{row}", mend="separate the two by a tab")
        ids.append(identifier)
        texts.append(text)
    return pa.table({"_id": pa.array(ids, type=TEXT), "text": pa.array(texts, type=TEXT)})

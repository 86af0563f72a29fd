"""Files of pairs to label: read without the grades they have, and what lies beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from darl.errors import DataError
from darl.grades import GradeScale
from darl.pairs import PairTable, read_pairs
from darl.pairs.columns import ALIASES
from darl.pairs.formats import RawTable, file_kind
from darl.pairs.sources import Source, open_source

GRADE_COLUMNS = frozenset(("grade", *ALIASES["grade"]))


def read_ungraded(source: Source, scale: GradeScale | None, columns: Mapping[str, str]) -> PairTable:
    """Pairs to label. A grade they have is not looked at, so it may be of another scale.

    Args:
        source: where to read them.
        scale: of the labels to come.
        columns: {darl's name: the source's}; one for the grade names a column to pass over.

    Raises:
        DataError, StorageError: as :func:`darl.pairs.read_pairs`.

    >>> import pyarrow as pa
    >>> old = pa.table({"query": ["lamp"], "item": ["desk lamp"], "label": ["seven of nine"]})
    >>> read_ungraded(old, GradeScale(("bad", "good")), {}).has_grades
    False
    """
    texts = {ours: theirs for ours, theirs in columns.items() if ours != "grade"}
    raw = [_without_grades(one, columns.get("grade"), set(texts.values())) for one in open_source(source)]
    return read_pairs(raw, scale=scale, columns=texts or None, require_grades=False)


def _without_grades(raw: RawTable, named: str | None, used: set[str]) -> RawTable:
    hidden = {named, *(name for name in raw.table.column_names if name.strip().casefold() in GRADE_COLUMNS)} - used
    return replace(raw, table=raw.table.drop_columns([name for name in raw.table.column_names if name in hidden]))


def file_beside(pairs_file: str | Path, ending: str) -> Path:
    """What is named after a file of pairs and lies beside it; only the extension of a format goes.

    >>> str(file_beside("work/round.1.jsonl.gz", "labels.sqlite")), str(file_beside("picked.v2", "labels.sqlite"))
    ('work/round.1.labels.sqlite', 'picked.v2.labels.sqlite')
    """
    path = Path(pairs_file)
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    try:
        file_kind(path)
    except DataError:
        return path.with_name(f"{path.name}.{ending}")
    return path.with_name(f"{plain.stem}.{ending}")

"""The verb `label`: pairs, grades and a guideline in, a page for annotators out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from darl.grades import GradeScale
from darl.labelling import serving  # by its module, so that what serves can be replaced
from darl.labelling.database import Database
from darl.labelling.files import read_ungraded
from darl.labelling.problems import LabellingError
from darl.labelling.project import default_file, open_project, read_project
from darl.labelling.serving import Address
from darl.pairs import PairTable, read_pairs
from darl.pairs.sources import Source
from darl.storage import storage_errors


def label_pairs(
    pairs: PairTable | Source,
    *,
    scale: GradeScale | None = None,
    gold: PairTable | Source | None = None,
    guideline: str | Path | None = None,
    db: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    host: str = "127.0.0.1",
    port: int = 8765,
    key: str | None = None,
    ready: Callable[[Address, str], None] | None = None,
) -> None:
    """Serves the labelling page until it is stopped; the same call goes on with the project.

    Args:
        pairs: the pairs to label, as :func:`darl.select` picks them; a grade they have is not looked at.
        scale: the grades; may be left out when the project is there already.
        gold: pairs with known grades, mixed in unseen.
        guideline: a file of Markdown or text.
        db: a file or a ``postgresql://`` URL; default ``<pairs>.labels.sqlite`` beside the file of the pairs.
        columns: {darl's name: the files' name}.
        settings: those of :class:`darl.labelling.LabelSettings` to begin with or to change; None leaves one as it is.
        host, port, key: as in :func:`darl.labelling.serve_page`.
        ready: called with the address, and the database's name, once the page can be opened.

    Raises:
        LabellingError: no database is named and the pairs lie in no file, or what :func:`open_project` and
            :func:`serve_page` raise. DataError, StorageError: a file cannot be read.
    """
    target = _target(pairs, db)
    text = None
    if guideline is not None:
        with storage_errors(guideline):
            text = Path(guideline).read_text(encoding="utf-8", errors="replace")
    database = Database(target, create=True)
    try:
        known = scale or _scale_of(database)
        table = pairs if isinstance(pairs, PairTable) else read_ungraded(pairs, known, columns or {})
        golden = gold
        if gold is not None and not isinstance(gold, PairTable):
            golden = read_pairs(gold, scale=known, columns=columns or None)
        given = {**(settings or {}), "guideline": text}
        project = open_project(database, table, scale=scale, gold=golden, settings=given)
        told = None if ready is None else lambda address: ready(address, database.name)
        serving.serve_page(project, host=host, port=port, key=key, ready=told)
    finally:
        database.close()


def _target(pairs: PairTable | Source, db: str | Path | None) -> str | Path:
    if db is not None:
        return db
    if not isinstance(pairs, (str, Path)) or "://" in str(pairs):
        raise LabellingError("no database is named", where="label", mend="give a file: db='labels.sqlite'")
    return default_file(pairs)


def _scale_of(database: Database) -> GradeScale | None:
    """The scale of the project in the database, None where it holds none yet."""
    try:
        return read_project(database).scale
    except LabellingError:
        return None

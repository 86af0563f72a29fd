"""Rows that cannot be used: what is kept of each, the error that lists them, the file that collects them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from darl.errors import BadRowsError
from darl.storage import atomic_file

NOT_UTF8 = "not valid UTF-8"


@dataclass(frozen=True)
class BadRow:
    """One unusable row.

    Args:
        file: the file (or ``<DataFrame>`` and the like) that it stands in.
        row: its 1-based number there.
        reason: the kind of fault, the same words for every row of that kind.
        detail: what this row holds, "" when the reason says it all.
        raw: the row as it was read, as far as it could be.
    """

    file: str
    row: int
    reason: str
    detail: str = ""
    raw: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.row}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


class UnusableRowsError(BadRowsError):
    """Every unusable row of a source at once: the first ``limit`` by place, all of them counted by reason.

    ``rows`` holds every :class:`BadRow`.

    >>> print(UnusableRowsError([BadRow("a.csv", 3, "empty query"), BadRow("a.csv", 9, "empty query")], limit=1))
    a.csv: 2 rows cannot be used: 2 × empty query
      a.csv:3: empty query
      … and 1 more
      mend: correct them, or read with on_bad_rows="skip" to leave them out
    """

    def __init__(self, rows: Sequence[BadRow], limit: int = 20, mend: str | None = None) -> None:
        self.rows = list(rows)
        files = list(dict.fromkeys(row.file for row in self.rows))
        lines = [f"  {row}" for row in self.rows[:limit]]
        if len(self.rows) > limit:
            lines.append(f"  … and {len(self.rows) - limit:,} more")
        count = f"{len(self.rows):,} rows" if len(self.rows) != 1 else "1 row"
        if mend is None and any(row.reason == NOT_UTF8 for row in self.rows):
            mend = 'save the file as UTF-8, or read with on_bad_rows="skip" to leave these rows out'
        super().__init__(
            "\n".join([f"{count} cannot be used: {summary(self.rows)}", *lines]),
            where=files[0] if len(files) == 1 else f"{len(files)} files",
            mend=mend or 'correct them, or read with on_bad_rows="skip" to leave them out',
        )


def summary(rows: Sequence[BadRow]) -> str:
    """The rows counted by reason, the most frequent first."""
    counts = Counter(row.reason for row in rows)
    return ", ".join(f"{count:,} × {reason}" for reason, count in counts.most_common())


def write_bad_rows(rows: Sequence[BadRow], path: str | Path) -> None:
    """Writes unusable rows as JSON lines (file, row, reason, detail, raw), whole or not at all."""
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)

"""The log of test sets: one line in `results/test_reads.jsonl` for each configuration that was judged on them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from machine import commit

READS = Path(__file__).resolve().parent / "results" / "test_reads.jsonl"


def note_reading(configuration: dict[str, Any], path: Path = READS, *, again: bool = False) -> None:
    """Note that this configuration reads test sets; one that is noted already is not noted again.

    Args:
        again: note it anyway, since other code has made its models.
    """
    known = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if not again and any(configuration.items() <= json.loads(line).items() for line in known):
        return
    line = configuration | {"when": datetime.now(UTC).isoformat(timespec="minutes"), "commit": commit()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")

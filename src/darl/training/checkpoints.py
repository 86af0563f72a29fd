"""Checkpoints that count only when whole: a kill while one is written or removed leaves another to resume from."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from darl.storage import atomic_write_json

WHOLE = "whole.json"  # written last into a checkpoint: its files and their sizes


def mark_whole(checkpoint: Path) -> None:
    """Flush a checkpoint's files to the disk and list them in its mark."""
    sizes = {}
    for path in sorted(checkpoint.rglob("*")):
        if path.is_file() and path.name != WHOLE:
            with path.open("rb") as file:
                os.fsync(file.fileno())
            sizes[path.relative_to(checkpoint).as_posix()] = path.stat().st_size
    atomic_write_json(checkpoint / WHOLE, sizes)


def is_whole(checkpoint: Path) -> bool:
    """Whether every file that the mark lists is there: an old checkpoint half removed still has its mark."""
    try:
        sizes = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
        return all((checkpoint / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError):
        return False


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end and not begun to be removed."""
    found = [path for path in folder.glob("checkpoint-*") if is_whole(path)]
    return max(found, key=lambda path: int(path.name.rsplit("-", 1)[1]), default=None)


def drop_broken_checkpoints(folder: Path) -> None:
    """Remove half-written checkpoints, which only take room."""
    for path in folder.glob("checkpoint-*"):
        if not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)


def is_disk_error(error: Exception) -> bool:
    """Whether a write failed. safetensors and torch's zip writer report a full disk as errors of their own."""
    text = str(error)
    return (
        isinstance(error, OSError)
        or (type(error).__name__ == "SafetensorError" and "os error" in text)
        or (isinstance(error, RuntimeError) and ("inline_container" in text or "PytorchStreamWriter" in text))
    )

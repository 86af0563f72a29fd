"""The version of a model: a hash over its files, so that other weights never go under the same name."""

from __future__ import annotations

import hashlib
from pathlib import Path

from darl.storage import sha256_file, storage_errors

DIGITS = 12


def signature(folder: Path) -> str:
    """What changes when the folder is written anew: names, sizes and times of its files. Cheap.

    Raises:
        StorageError: the folder is not there.
    """
    with storage_errors(folder):
        folder = folder.resolve(strict=True)
        rows = [f"{folder}"]
        for path in _files(folder):
            about = path.stat()
            rows.append(f"{path.relative_to(folder)} {about.st_size} {about.st_mtime_ns} {about.st_ino}")
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def model_version(folder: Path, known: dict[str, str]) -> str:
    """The first 12 hex digits of a SHA-256 over names and contents of the folder's files.

    Args:
        known: versions by :func:`signature`, of folders that were read before: they are not read again.

    Raises:
        StorageError: a file is missing or cannot be read.
    """
    try:
        seen = known.get(signature(folder))
    except Exception:  # not there: what loads the model says so better
        return "0" * DIGITS
    if seen is not None:
        return seen
    digest = hashlib.sha256()
    for path in _files(folder.resolve()):
        digest.update(f"{path.name} {sha256_file(path)}\n".encode())
    return digest.hexdigest()[:DIGITS]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))

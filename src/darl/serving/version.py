"""The version of a model: a hash over its files, so that other weights never go under the same name.

A folder is put in place while servers read it: what was loaded, its version and its signature are of one state of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from darl.errors import DarlError, ModelError
from darl.storage import sha256_file, storage_errors

DIGITS = 12
TRIES = 3  # at a folder that changes while it is read

T = TypeVar("T")


@dataclass(frozen=True)
class Read(Generic[T]):
    """What was loaded from a folder, and the folder's version and signature, which did not change meanwhile."""

    model: T
    folder: Path
    version: str
    signature: str


def read_unchanged(find: Callable[[], Path], load: Callable[[Path], T], known: dict[str, str]) -> Read[T]:
    """Load a folder, and again where it became another one meanwhile.

    Args:
        find: says which folder it is. load: makes of it what is wanted.
        known: as in :func:`model_version`.

    Raises:
        ModelError: it changes all the time. What ``load`` raises at a folder that does not.
    """
    for _ in range(TRIES):
        folder = find()
        before = _signature_or_none(folder)
        try:
            version = model_version(folder, known)
            model = load(folder)
        except Exception:
            if _signature_or_none(find()) == before:
                raise
            continue
        if before is not None and _signature_or_none(folder) == before:
            return Read(model, folder, version, before)
        del model  # before the next is loaded
    raise changing(find())


def changing(folder: Path) -> ModelError:
    """The error of a folder that is another one whenever it is looked at."""
    return ModelError(
        "the folder changes while it is loaded",
        where=folder,
        mend="put a new model in its place as a whole: write it beside, then rename it",
    )


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


def _signature_or_none(folder: Path) -> str | None:
    try:
        return signature(folder)
    except DarlError:
        return None


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))

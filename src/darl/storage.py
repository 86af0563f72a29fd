"""Writes that are whole or absent, content hashes, and disk errors with their mend.

A file or folder appears under its final name only when every byte of it is on the disk, so a process
killed at any point leaves either the old state or the new one.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darl.errors import StorageError

_MENDS = {
    errno.ENOSPC: ("no space is left on the disk", "free some space or write to another disk"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or ask for a larger quota"),
    errno.EACCES: ("permission denied", "choose a place that you may read and write, or change its permissions"),
    errno.EPERM: ("the operation is not permitted", "choose a place that you may read and write"),
    errno.EROFS: ("the disk is read-only", "write to another place"),
    errno.ENOENT: ("there is no such file or folder", "check the path for a typing slip"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "check the path, or move that file away"),
    errno.EISDIR: ("this is a folder, a file is needed", "name a file"),
    errno.ENOTEMPTY: ("the folder exists and is not empty", "remove it or choose another name"),
    errno.EEXIST: ("it exists already", "remove it or choose another name"),
    errno.ENAMETOOLONG: ("the name is too long for this disk", "choose a shorter name"),
    errno.EIO: ("the disk failed to read or write", "check the disk, then run again"),
}


@contextlib.contextmanager
def storage_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turns an ``OSError`` of the block into a :class:`StorageError` that names ``path`` and the mend.

    >>> with storage_errors("runs/a"):
    ...     raise OSError(errno.ENOSPC, "No space left on device")
    Traceback (most recent call last):
    ...
    darl.errors.StorageError: runs/a: no space is left on the disk
      mend: free some space or write to another disk
    """
    try:
        yield
    except OSError as error:
        what, mend = _MENDS.get(error.errno or 0, (error.strerror or str(error), "check the path and the disk"))
        raise StorageError(what, where=os.fspath(path), mend=mend) from error
    except Exception as error:
        # safetensors is written in Rust and reports a full disk as "… (os error 28)" in an error of its own
        found = re.search(r"\(os error (\d+)\)", str(error))
        if type(error).__name__ != "SafetensorError" or found is None:
            raise
        what, mend = _MENDS.get(int(found[1]), (str(error), "check the path and the disk"))
        raise StorageError(what, where=os.fspath(path), mend=mend) from error


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a scratch path beside ``path``; on success it is fsynced and takes the final name.

    Parent folders are made. When the block raises, the scratch file goes and ``path`` is as before.

    Raises:
        StorageError: the disk is full, read-only or forbidden.
    """
    path = Path(path)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".partial", dir=path.parent)
        os.close(handle)
        scratch = Path(name)
        try:
            # mkstemp makes a private file; the final one gets the rights that open() would give.
            os.chmod(scratch, 0o666 & ~_umask())
            yield scratch
            _sync(scratch)
            os.replace(scratch, path)
            _sync(path.parent)
        finally:
            scratch.unlink(missing_ok=True)


def atomic_write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes UTF-8 text so that ``path`` holds either the old or the whole new content.

    Raises:
        StorageError: the disk is full, read-only or forbidden.
    """
    with atomic_file(path) as scratch, scratch.open("w", encoding="utf-8", newline="") as file:
        file.write(text)


def atomic_write_json(path: str | os.PathLike[str], obj: Any) -> None:
    """Writes ``obj`` as indented JSON, whole or not at all; the inverse of :func:`read_json`."""
    atomic_write_text(path, json.dumps(obj, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | os.PathLike[str]) -> Any:
    """The object in a JSON file.

    Raises:
        StorageError: the file is missing, cannot be read, or does not hold JSON.
    """
    with storage_errors(path):
        data = Path(path).read_bytes()
    try:
        return json.loads(data)
    except ValueError as error:  # covers JSONDecodeError and UnicodeDecodeError
        raise StorageError(
            f"the file does not hold JSON ({error})",
            where=os.fspath(path),
            mend="it was cut short or edited by hand: restore it, or remove it and run the step again",
        ) from error


@contextlib.contextmanager
def atomic_folder(final: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields an empty folder ``<final>.partial``; on success it is fsynced and renamed to ``final``.

    When the block raises (or the process is killed) nothing stands under the final name. A partial
    folder that an earlier, killed process left is cleared first.

    Raises:
        StorageError: ``final`` exists already, or the disk is full, read-only or forbidden.

    >>> import tempfile
    >>> final = Path(tempfile.mkdtemp()) / "stage"
    >>> with atomic_folder(final) as folder:
    ...     _ = (folder / "a.txt").write_text("whole")
    ...     final.exists()
    False
    >>> (final / "a.txt").read_text()
    'whole'
    """
    final = Path(final)
    partial = final.with_name(final.name + ".partial")
    with storage_errors(final):
        if final.exists():
            raise FileExistsError(errno.EEXIST, "exists", str(final))
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        try:
            yield partial
            sync_files(partial)
            os.rename(partial, final)
            _sync(final.parent)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def sync_files(folder: Path) -> None:
    """Flush a folder and all that is in it to the disk, so that a mark that it is whole cannot outlive its files."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def link_or_copy(source: str, target: str) -> None:
    """Makes ``target`` the same file as ``source`` where the disk allows, else a copy; for ``shutil.copytree``."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def sha256_file(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's bytes, as hex.

    Raises:
        StorageError: the file is missing or cannot be read.
    """
    with storage_errors(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def stable_hash(obj: Any) -> str:
    """The SHA-256 of a JSON-able object, as hex; the order of keys does not matter.

    >>> stable_hash({"a": 1, "b": [2]}) == stable_hash({"b": [2], "a": 1})
    True
    """
    text = json.dumps(obj, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _umask() -> int:
    # The only way to read it is to set it; darl writes from one thread.
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync(path: Path) -> None:
    """Flushes a file or folder to the disk; a rename is durable only after its folder is flushed."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network disks cannot flush a folder; the rename is still atomic there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)

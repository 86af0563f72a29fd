"""What the resume tests run in processes of their own: fit, killed or stopped where a test asks for it."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import Any

from darl.recipe.settings import Recipe
from darl.training.pipeline import fit


@dataclass(frozen=True)
class Kill:
    """Die at the ``call``-th call of a function: before it does its work, or right after.

    Attributes:
        where: ``module:attribute``, as the caller looks it up.
        argument: count only calls with this text in one of their arguments.
        by: the signal that the process gets.
    """

    where: str
    call: int = 1
    after: bool = False
    argument: str = ""
    by: int = signal.SIGKILL

    def arm(self) -> None:
        module, _, path = self.where.partition(":")
        owner: Any = importlib.import_module(module)
        *parents, name = path.split(".")
        for parent in parents:
            owner = getattr(owner, parent)
        real, seen = getattr(owner, name), 0

        def lethal(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            if self.argument not in " ".join(map(str, (*args, *kwargs.values()))):
                return real(*args, **kwargs)
            seen += 1
            result = real(*args, **kwargs) if seen < self.call or self.after else None
            if seen == self.call:
                os.kill(os.getpid(), self.by)
            return result

        setattr(owner, name, lethal)


def run_fit(recipe: dict[str, Any], run: str, kill: Kill | None = None, redo: bool = False) -> None:
    """Fit in this process; die at ``kill``."""
    gc.freeze()  # what was imported before stays; each tuning ends with a full collection
    if kill is not None:
        kill.arm()
    fit(Recipe.model_validate(recipe), run=run, redo=redo, quiet=True)


def run_command(arguments: list[str], out: str, err: str, kill: Kill | None = None) -> None:
    """The command ``darl`` as this process; what it says goes to two files."""
    gc.freeze()
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with open(path, "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), stream.fileno())
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    if kill is not None:
        kill.arm()
    from darl.cli.main import app

    sys.argv = ["darl", *arguments]
    app(prog_name="darl")


def run_rank(recipe: dict[str, Any], run: str, rank: int, port: int) -> None:
    """Fit as one of two processes that ``torchrun`` would start."""
    places = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in places.items()})
    os.environ.update({"MASTER_ADDR": "127.0.0.1", "CUDA_VISIBLE_DEVICES": ""})
    run_fit(recipe, run)

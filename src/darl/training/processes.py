"""One process or many: under ``torchrun`` every process runs the same recipe, and only tuning is shared work."""

from __future__ import annotations

import os
from datetime import timedelta

# the main process probes and judges while the others wait; the usual limit of 10 or 30 minutes is too short
PATIENCE = timedelta(days=7)


def world_size() -> int:
    """How many processes ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process writes the run folder and does the stages that are not shared."""
    return int(os.environ.get("RANK", "0")) == 0


def device() -> str:
    """Where this process computes: its own GPU where there is one, else the CPU."""
    import torch

    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def barrier() -> None:
    """Wait until every process has come this far."""
    if world_size() == 1:
        return
    import torch
    from accelerate import PartialState

    PartialState(cpu=not torch.cuda.is_available(), timeout=PATIENCE).wait_for_everyone()

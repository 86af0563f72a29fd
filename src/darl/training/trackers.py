"""Trackers (tensorboard, mlflow, wandb …): set up, or a named error that says what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from transformers import TrainerCallback

from darl.errors import MissingExtraError, RecipeError
from darl.training.processes import is_main

Made = TypeVar("Made")


def with_trackers(make_trainer: Callable[[], Made], trackers: list[str]) -> Made:
    """The trainer, or what is wrong with its trackers.

    Raises:
        RecipeError: a tracker that transformers does not know. MissingExtraError: one that is not installed.
    """
    try:
        return make_trainer()
    except (ValueError, RuntimeError, ImportError) as error:
        if isinstance(error, ValueError) and "is not supported, only" in str(error):
            raise RecipeError(str(error), where="tune.report_to") from error
        if trackers and "install" in str(error):
            raise MissingExtraError(str(error), where="tune.report_to", mend=f"pip install {trackers[0]}") from error
        raise


def tensorboard(folder: Path) -> TrainerCallback:
    """Writes event files into ``folder``; transformers would put them among the checkpoints, which go.

    Raises:
        MissingExtraError: tensorboard is not installed.
    """
    from transformers.integrations.integration_utils import TensorBoardCallback

    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError(
            "tensorboard is not installed", where="tune.report_to", mend="pip install 'darl[tracking]'"
        ) from error
    return TensorBoardCallback(SummaryWriter(log_dir=str(folder)) if is_main() else None)

"""One call of transformers' Trainer, made resumable: checkpoints count only when whole.

The Trainer brings mixed precision, accumulation, several processes, FSDP and logging; this file only sets
it up, finds the newest whole checkpoint after a kill, and reports progress.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedModel, PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_utils import EvalPrediction

from darl.errors import DivergedError, RecipeError, StorageError
from darl.model import RelevanceModel
from darl.progress import Advance
from darl.recipe.settings import TuneSettings
from darl.training.checkpoints import drop_broken_checkpoints, is_disk_error, last_whole_checkpoint, mark_whole
from darl.training.packing import as_batch
from darl.training.processes import barrier, is_main, world_size
from darl.training.trackers import tensorboard, with_trackers

Packed = Callable[[Any], Any]
LossOf = Callable[[Any, dict[str, torch.Tensor]], torch.Tensor]


ASIDE = ("grades", "weights", "targets", "share")  # for the loss, not for the model
PACKED = "pairs"  # a batch that is not padded


def make_collate(model: RelevanceModel, packed: Packed | None) -> Callable[[list[dict[str, Any]]], dict[str, Any]]:
    """Rows to a batch, padded or packed, with what is for the loss alone beside it."""

    def collate(rows: list[dict[str, Any]]) -> dict[str, Any]:
        aside = {"grades": torch.tensor([row.pop("grades") for row in rows])} if "grades" in rows[0] else {}
        for name in ASIDE[1:]:
            if name in rows[0]:
                aside[name] = torch.tensor(np.array([row.pop(name) for row in rows], dtype=np.float32))
        return aside | ({PACKED: as_batch(rows)} if packed is not None else model.encoder.pad(rows))

    return collate


class Rows(Dataset):
    """Encoded examples as Trainer wants them."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(self.rows[index])


class DarlTrainer(Trainer):
    """Trainer with a loss of ours, a learning rate of its own for the head, and batches without padding."""

    def __init__(
        self,
        *args: Any,
        loss_of: LossOf,
        head_rate: float,
        is_head: Callable[[str], bool],
        packed: Packed | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.loss_of, self.head_rate, self.is_head, self.packed = loss_of, head_rate, is_head, packed
        # the loss is a mean over its batch, so accumulated batches must be averaged
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        aside = {name: inputs.pop(name) for name in ASIDE if name in inputs}
        if self.packed is not None and PACKED in inputs:
            with self.accelerator.autocast():
                outputs = self.packed(inputs[PACKED])
        else:
            outputs = model(**inputs)
        loss = self.loss_of(outputs, aside)
        return (loss, outputs) if return_outputs else loss

    def create_optimizer(self, model=None):
        if self.optimizer is None:
            groups: dict[tuple[bool, bool], list] = {}
            for name, parameter in (model or self.model).named_parameters():  # type: ignore[union-attr]
                if parameter.requires_grad:
                    decays = parameter.ndim > 1
                    groups.setdefault((self.is_head(name), decays), []).append(parameter)
            self.optimizer = torch.optim.AdamW(
                [
                    {
                        "params": parameters,
                        "lr": self.head_rate if head else self.args.learning_rate,
                        "weight_decay": self.args.weight_decay if decays else 0.0,
                    }
                    for (head, decays), parameters in groups.items()
                ],
                betas=(0.9, 0.999),
                eps=1e-8,
                fused=True,
            )
        return self.optimizer


class MarkWhole(TrainerCallback):
    """Marks each checkpoint when all of it is on disk, and counts steps for the progress bar."""

    def __init__(self, advance: Advance) -> None:
        self.advance, self.seen = advance, 0

    def on_step_end(self, args, state, control, **kwargs):
        if self.seen == 0 and state.global_step > 1:
            self.advance(state.global_step - 1)
        self.advance(1)
        self.seen += 1
        # a checkpoint forgets the losses since the last log: log what it holds, so that resuming loses none
        control.should_log |= control.should_save

    def on_epoch_end(self, args, state, control, **kwargs):
        control.should_log |= control.should_save

    def on_save(self, args, state, control, **kwargs):
        barrier()  # every process writes a file of its own into the checkpoint
        if state.is_world_process_zero:
            mark_whole(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


class StopDiverged(TrainerCallback):
    """Stops at the first logged loss that is no finite number: no later step mends the weights."""

    def on_log(self, args, state, control, **kwargs):
        if first_not_finite(state.log_history[-1:]) is not None:
            control.should_training_stop = True
            control.should_save = False


class Patience(TrainerCallback):
    """Stops when the dev objective has not risen for some epochs; keeps no state, so a kill cannot lose it."""

    def __init__(self, patience: int) -> None:
        self.patience = patience

    def on_evaluate(self, args, state, control, **kwargs):
        if stalled(state.log_history, self.patience):
            control.should_training_stop = True


def stalled(history: list[dict[str, Any]], patience: int) -> bool:
    """Whether the best dev objective is ``patience`` or more epochs old.

    >>> stalled([{"eval_objective": 0.5}, {"eval_objective": 0.5}], 1), stalled([{"eval_objective": 0.5}], 1)
    (True, False)
    """
    values = [entry["eval_objective"] for entry in history if "eval_objective" in entry]
    return bool(values) and len(values) - 1 - values.index(max(values)) >= patience


def train(
    network: PreTrainedModel | torch.nn.Module,
    rows: Sequence[dict[str, Any]],
    collate: Callable[[list[dict[str, Any]]], dict[str, Any]],
    loss_of: LossOf,
    settings: TuneSettings,
    folder: Path,
    *,
    seed: int,
    is_head: Callable[[str], bool],
    advance: Advance,
    dev_rows: Sequence[dict[str, Any]] | None = None,
    dev_objective: Callable[[EvalPrediction], float] | None = None,
    packed: Packed | None = None,
    name: str = "tuning",
    rate: str = "tune.learning_rate",
) -> dict[str, Any]:
    """Train ``network`` in place and return what Trainer logged.

    Args:
        rows: encoded examples; what ``ASIDE`` names in them is kept from the model and goes to the loss.
        collate: rows to a padded batch.
        loss_of: (model output, {"grades", …}) → scalar.
        folder: for checkpoints; resumed from if it holds a whole one.
        is_head: which parameters take the head's learning rate.
        dev_rows, dev_objective: for ``keep: best``.
        packed: takes what ``collate`` puts under ``PACKED``, in place of the network.
        name, rate: what is done, and the key of its learning rate, for messages.

    Returns:
        the steps done, the mean training loss, and the history of both; the same after a kill as without.

    Raises:
        RecipeError: arguments that TrainingArguments refuses. MissingExtraError: a tracker is not installed.
        StorageError: a full disk; the last whole checkpoint stays.
        DivergedError: the loss was no finite number; checkpoints from then on are worth nothing and go.
    """
    steps = total_steps(len(rows), settings)
    best = settings.keep == "best" or settings.patience is not None
    every = max(1, -(-steps // settings.checkpoints))
    arguments: dict[str, Any] = {
        "output_dir": str(folder),
        "num_train_epochs": settings.epochs,
        "per_device_train_batch_size": settings.batch_size,
        "per_device_eval_batch_size": settings.batch_size * 2,
        "gradient_accumulation_steps": settings.accumulate,
        "learning_rate": settings.learning_rate,
        "warmup_steps": int(settings.warmup * steps),
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "lr_scheduler_type": "linear",
        "seed": seed,
        "data_seed": seed,
        "save_strategy": "epoch" if best else "steps",
        "save_steps": every,
        "save_total_limit": 2,
        "logging_steps": max(1, steps // 20),
        "logging_nan_inf_filter": False,  # a loss that is no number is to be seen, not replaced by the one before
        "disable_tqdm": True,
        "report_to": [tracker for tracker in settings.report_to if tracker != "tensorboard"] or "none",
        "remove_unused_columns": False,
        "label_names": ["grades"],
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
        **precision_arguments(settings.precision),
    }
    callbacks: list[TrainerCallback] = [MarkWhole(advance), StopDiverged()]
    if best:
        arguments |= {"eval_strategy": "epoch", "load_best_model_at_end": True}
        arguments |= {"metric_for_best_model": "objective", "greater_is_better": True}
        if settings.patience:
            callbacks.append(Patience(settings.patience))
    if "tensorboard" in settings.report_to:
        callbacks.append(tensorboard(folder.parent / "tensorboard"))
    try:
        args = TrainingArguments(**(arguments | settings.trainer))
    except (TypeError, ValueError) as error:
        raise RecipeError(f"TrainingArguments refuses it: {error}", where="tune.trainer") from error
    if args.n_gpu > 1:  # several GPUs and one process: the batch, and with it the steps, stay as the recipe says
        args._n_gpu = 1
    make_trainer = partial(
        DarlTrainer,
        model=network,
        args=args,
        train_dataset=Rows(rows),
        eval_dataset=Rows(dev_rows) if best and dev_rows is not None else None,
        data_collator=collate,
        callbacks=callbacks,
        compute_metrics=(lambda out: {"objective": dev_objective(out)}) if dev_objective else None,
        loss_of=loss_of,
        head_rate=settings.head_learning_rate or settings.learning_rate or args.learning_rate,
        is_head=is_head,
        packed=packed,
    )
    trainer = with_trackers(make_trainer, settings.report_to)
    trainer.remove_callback(PrinterCallback)  # it prints to standard output, which is for darl's result
    checkpoint = last_whole_checkpoint(folder)
    barrier()  # before the broken ones go
    if is_main():
        drop_broken_checkpoints(folder)
    try:
        if checkpoint and settings.patience and stalled(history_of(checkpoint), settings.patience):
            # killed after it had stopped early: another step would be one too many
            trainer.state = TrainerState.load_from_json(str(checkpoint / "trainer_state.json"))
            trainer._load_best_model()
        else:
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except Exception as error:
        if not is_disk_error(error):
            raise
        if is_main():
            drop_broken_checkpoints(folder)
        raise StorageError(
            f"a checkpoint could not be written: {str(error).splitlines()[0]}",
            where=folder,
            mend="free some space and run the same command: it resumes from the last whole checkpoint",
        ) from error
    if diverged := first_not_finite(trainer.state.log_history):
        barrier()
        if is_main():
            shutil.rmtree(folder, ignore_errors=True)
        raise DivergedError(
            f"{name} diverged: by step {diverged} of {steps} the loss was no finite number",
            mend=f"set a lower `{rate}` (it was {args.learning_rate:g}), or `tune.precision: float32`",
        )
    kept = ("epoch", "step", "loss", "learning_rate", "eval_loss", "eval_objective")  # what does not tell the time
    history = [{key: entry[key] for key in kept if key in entry} for entry in trainer.state.log_history]
    history = [entry for entry in history if "loss" in entry or "eval_objective" in entry]
    return {"steps": trainer.state.global_step, "train_loss": mean_loss(history), "history": history}


def first_not_finite(history: list[dict[str, Any]]) -> int | None:
    """The step of the first logged loss that is NaN or infinite.

    >>> first_not_finite([{"step": 2, "loss": 1.0}, {"step": 4, "loss": float("nan")}])
    4
    """
    return next((entry["step"] for entry in history if not math.isfinite(entry.get("loss", 0.0))), None)


def history_of(checkpoint: Path) -> list[dict[str, Any]]:
    """What Trainer had logged by a checkpoint."""
    return TrainerState.load_from_json(str(checkpoint / "trainer_state.json")).log_history


def mean_loss(history: list[dict[str, Any]]) -> float:
    """The mean over steps of the losses logged, each of which is a mean since the log before.

    >>> mean_loss([{"step": 1, "loss": 4.0}, {"step": 4, "loss": 2.0}])
    2.5
    """
    logged = [(entry["step"], entry["loss"]) for entry in history if "loss" in entry]
    spans = [step - before for (step, _), (before, _) in zip(logged, [(0, 0.0), *logged], strict=False)]
    return sum(span * loss for span, (_, loss) in zip(spans, logged, strict=True)) / max(1, sum(spans))


def total_steps(rows: int, settings: TuneSettings) -> int:
    """Optimiser steps of a whole training run."""
    batches = -(-rows // (settings.batch_size * world_size()))
    return max(1, math.ceil(-(-batches // settings.accumulate) * settings.epochs))


def precision_arguments(precision: str) -> dict[str, bool]:
    """bf16 / fp16 flags; ``auto`` takes bfloat16 only where the machine computes it natively."""
    if precision == "auto":
        precision = "bfloat16" if native_bfloat16() else "float32"
    return {"bf16": precision == "bfloat16", "fp16": precision == "float16"}


def native_bfloat16() -> bool:
    """Whether bfloat16 is computed rather than emulated here (emulation can be a hundred times slower)."""
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check)

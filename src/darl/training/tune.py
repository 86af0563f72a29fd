"""Stage 2, fine-tuning: backbone and head together, full or LoRA, with any darl loss."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, set_seed

from darl.decisions.agreement import OBJECTIVES
from darl.errors import DataError, RecipeError
from darl.evaluation import confusion
from darl.losses import GradeLoss
from darl.model import RelevanceModel
from darl.model.encoding import EncodedPairs
from darl.model.head import head_name, is_head_parameter
from darl.progress import Advance
from darl.recipe.settings import LoraSettings, Recipe, TuneSettings
from darl.training.dropout import set_dropout
from darl.training.lower_layers import layer_stack, lower_layers
from darl.training.packing import packed_forward
from darl.training.processes import is_main
from darl.training.splits import SoftTargets
from darl.training.trainer import make_collate, train


def tune_model(
    model: RelevanceModel,
    encoded: EncodedPairs,
    grades: np.ndarray,
    loss: GradeLoss,
    recipe: Recipe,
    folder: Path,
    *,
    start: str = "probe",
    weights: np.ndarray | None = None,
    class_weights: torch.Tensor | None = None,
    taught: SoftTargets | None = None,
    dev: tuple[EncodedPairs, np.ndarray] | None = None,
    advance: Advance = lambda done: None,
) -> dict[str, Any]:
    """Fine-tune ``model`` in place; with LoRA the adapter is merged into the weights at the end.

    Args:
        start: what its head is: random, probed or a verbalizer's.
        encoded, grades, weights: n training pairs.
        taught: a teacher's targets for them.
        dev: pairs that judge each epoch under ``keep: best``.
        folder: checkpoints go to ``folder/checkpoints``, a LoRA adapter to ``folder/adapter``.

    Returns:
        what was logged: steps, training loss, history.
    """
    settings = with_learning_rate(recipe.tune, model.network, start=start)
    set_seed(recipe.seed)
    if settings.dropout is not None:
        set_dropout(model.network, settings.dropout)
    network: nn.Module = model.network
    if settings.kind == "lora":
        network = with_lora(model.network, settings.lora)
    freeze(model.network, embeddings=settings.freeze_embeddings, layers=settings.freeze_layers)  # adapters there too

    whole = mean_weight(grades, weights, class_weights)

    def loss_of(outputs: Any, aside: dict[str, torch.Tensor]) -> torch.Tensor:
        device = outputs.logits.device  # Trainer has moved the network, the loss and its weights follow
        c = None if class_weights is None else class_weights.to(device)
        w, targets, share = (aside.get(name) for name in ("weights", "targets", "share"))
        given = {} if whole is None else {"mean_weight": whole}
        return loss.to(device)(outputs.logits, aside["grades"], w, c, targets, share, **given)

    packed, rows = packed_forward(model), training_rows(encoded, grades, weights, taught)
    if packed is not None and settings.freeze_layers and settings.epochs > 1:
        lower = lower_layers(model.network, encoded, settings.freeze_layers)
        if lower is not None:
            packed = replace(packed, lower=lower)
            rows = [row | {"row": number} for number, row in enumerate(rows)]

    def objective(out: Any) -> float:
        logits = out.predictions[0] if isinstance(out.predictions, tuple) else out.predictions
        return objective_value(recipe.objective, out.label_ids, np.asarray(logits).argmax(1), model.scale.size)

    try:
        logged = train(
            network,
            rows,
            make_collate(model, packed),
            loss_of,
            settings,
            folder / "checkpoints",
            seed=recipe.seed,
            is_head=lambda name: is_head_parameter(
                name.removeprefix("module.").removeprefix("base_model.model."), model.network
            ),
            advance=advance,
            dev_rows=training_rows(*dev, None) if dev else None,
            dev_objective=objective if dev else None,
            packed=packed,
        )
    finally:
        for parameter in model.network.parameters():
            parameter.requires_grad_(True)
    if settings.kind == "lora":
        if is_main():
            network.save_pretrained(folder / "adapter")  # type: ignore[operator]
        model.network = network.merge_and_unload()  # type: ignore[operator]
        for parameter in model.network.parameters():
            parameter.requires_grad_(True)
    model.network.eval()
    return logged


def with_learning_rate(settings: TuneSettings, network: PreTrainedModel, *, start: str = "probe") -> TuneSettings:
    """The settings with the learning rate filled in where the recipe leaves it open.

    Full fine-tuning: 2e-4 · (384 / width)², so that wide backbones take small steps (768: 5e-5, 1024: 3e-5),
    at least 5e-6; LoRA: 1e-3 · (576 / width) between 1e-4 and 1e-3, tried at width 576 alone (4096: 1.4e-4).
    An encoder tuned in full from a random head takes half: at 2e-4 four of fifteen small ones learnt nothing, at 1e-4
    none of them (experiment 27).

    Args:
        start: what tuning begins from, one of :func:`~darl.training.starts.starts_of`.
    """
    if settings.learning_rate is not None:
        return settings
    width = network.config.get_text_config().hidden_size
    lora = min(1e-3, max(1e-4, 1e-3 * 576 / width))
    rate = lora if settings.kind == "lora" else min(2e-4, max(5e-6, 2e-4 * (384 / width) ** 2))
    if start == "random" and settings.kind == "full" and head_name(network) != "score":
        rate /= 2
    return settings.model_copy(update={"learning_rate": rate})


def training_rows(
    encoded: EncodedPairs, grades: np.ndarray, weights: np.ndarray | None, taught: SoftTargets | None = None
) -> list[dict[str, Any]]:
    """One dictionary a pair: model inputs, grade, weight, a teacher's targets."""
    rows: list[dict[str, Any]] = [encoded.row(i) | {"grades": int(grade)} for i, grade in enumerate(grades)]
    if weights is not None:
        for row, weight in zip(rows, weights, strict=True):
            row["weights"] = float(weight)
    if taught is not None:
        for row, targets, share in zip(rows, taught.probabilities, taught.share, strict=True):
            row |= {"targets": targets, "share": share}
    return rows


def mean_weight(grades: np.ndarray, weights: np.ndarray | None, class_weights: torch.Tensor | None) -> float | None:
    """The mean of w_i · c[y_i] over the training pairs, None where neither is given.

    Raises:
        DataError: every pair has weight 0.

    >>> mean_weight(np.array([0, 1]), np.array([1.0, 3.0]), None)
    2.0
    """
    if weights is None and class_weights is None:
        return None
    of_pairs = np.ones(len(grades)) if weights is None else np.asarray(weights, dtype=np.float64)
    of_grades = 1.0 if class_weights is None else class_weights.double().numpy()[grades]
    mean = float((of_pairs * of_grades).mean())
    if not mean > 0:
        raise DataError(
            "every training pair has weight 0",
            where="train",
            mend="give a positive weight to at least one pair, and to a grade that occurs",
        )
    return mean


def objective_value(name: str, grades: np.ndarray, predicted: np.ndarray, K: int) -> float:
    """What choices on dev maximise; a figure that is undefined counts as 0."""
    value = float(OBJECTIVES[name](confusion(np.asarray(grades), np.asarray(predicted), K)))
    return value if np.isfinite(value) else 0.0


def balanced_class_weights(grades: np.ndarray, K: int) -> torch.Tensor:
    """n / (K · n_k), the weights that give every grade the same mass, (K,).

    >>> balanced_class_weights(np.array([0, 0, 0, 1]), 2).tolist()
    [0.666..., 2.0]
    """
    counts = np.bincount(grades, minlength=K)
    return torch.tensor(len(grades) / (K * np.maximum(counts, 1)), dtype=torch.float32)


def freeze(network: PreTrainedModel, *, embeddings: bool, layers: int) -> None:
    """Keep the embeddings, or the embeddings and the lowest ``layers`` layers, as they are.

    Raises:
        RecipeError: the backbone has fewer layers, or none that darl finds.
    """
    body = getattr(network, network.base_model_prefix)
    frozen: list[nn.Module] = []
    if embeddings or layers:
        frozen += [body.get_submodule(name) for name in ("embeddings", "embed_tokens", "wte") if _has(body, name)]
    if layers:
        stack = layer_stack(network)
        if stack is None or layers > len(stack):
            has = len(stack) if stack is not None else "no known"
            raise RecipeError(f"cannot freeze {layers} layers: the backbone has {has}", where="tune.freeze_layers")
        for layer in stack[:layers]:
            set_dropout(layer, 0.0)  # what cannot learn need not be disturbed
        frozen += list(stack[:layers])
    for module in frozen:
        for parameter in module.parameters():
            parameter.requires_grad_(False)


def _has(module: nn.Module, name: str) -> bool:
    try:
        module.get_submodule(name)
    except AttributeError:
        return False
    return True


def with_lora(network: PreTrainedModel, settings: LoraSettings) -> nn.Module:
    """The network with a LoRA adapter (Hu et al. 2021) on its body; the head is trained in full."""
    from peft import LoraConfig, TaskType, get_peft_model

    head = head_name(network).split(".")[0]
    trained = [name for name, _ in network.named_modules() if name.endswith("pooler")]
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=settings.r,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.targets,
        modules_to_save=[head, *trained],
        # peft would exclude the head only for classes it knows
        exclude_modules=[head, *(f"{name}.dense" for name in trained)] if settings.targets == "all-linear" else None,
    )
    return get_peft_model(network, config)

"""The head: the last linear layer of a sequence classifier, one row a grade.

transformers names it ``score`` (causal LLMs), ``classifier`` (BERT and its kin) or
``classifier.out_proj`` (RoBERTa and its kin); everything here works on whichever the model has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from darl.errors import ModelError

HEAD_NAMES = (
    "score",
    "classifier.out_proj",
    "classifier.dense2",
    "classifier",
    "classification_head.out_proj",
    "cls",
)


def head_name(model: nn.Module) -> str:
    """The dotted name of the last linear layer, relative to the classifier.

    Raises:
        ModelError: the architecture has none that darl knows.
    """
    for name in HEAD_NAMES:
        try:
            module = model.get_submodule(name)
        except AttributeError:
            continue
        if _linear(module) is not None:
            return name
    raise ModelError(f"{type(model).__name__} has no linear head", mend="use a transformers sequence classifier")


def head_of(model: nn.Module) -> nn.Linear:
    """The last linear layer itself: weight (K, d), bias (K,) or None."""
    head = _linear(model.get_submodule(head_name(model)))
    assert head is not None
    return head


def _linear(module: nn.Module) -> nn.Linear | None:
    """The linear layer that a module is, or that an adapter of peft trains in its place."""
    trained = getattr(module, "modules_to_save", None)
    if isinstance(trained, nn.ModuleDict):
        active: list[str] = list(getattr(module, "active_adapters", []))  # type: ignore[arg-type]
        module = next((trained[name] for name in active if name in trained), module)
    return module if isinstance(module, nn.Linear) else None


def set_head(model: nn.Module, weight: torch.Tensor, bias: torch.Tensor | None = None) -> None:
    """Write a head in place. A bias for a head that has none is refused.

    Raises:
        ModelError: shapes do not fit.
    """
    head = head_of(model)
    fits = weight.shape == head.weight.shape and (
        bias is None or (head.bias is not None and bias.shape == head.bias.shape)
    )
    if not fits:
        raise ModelError(
            f"a head of shape {tuple(weight.shape)}{' with bias' if bias is not None else ''} does not fit "
            f"{tuple(head.weight.shape)}{'' if head.bias is None else ' with bias'}"
        )
    with torch.no_grad():
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias if bias is not None else torch.zeros_like(head.bias))


def scale_head(model: nn.Module, factor: float) -> None:
    """Multiply all logits by ``factor``: a temperature T is folded in as 1/T.

    >>> from types import SimpleNamespace
    >>> net = nn.Module(); net.score = nn.Linear(2, 3)
    >>> x = torch.ones(1, 2); before = net.score(x)
    >>> scale_head(net, 0.5)
    >>> bool(torch.allclose(net.score(x), before * 0.5))
    True
    """
    head = head_of(model)
    with torch.no_grad():
        head.weight.mul_(factor)
        if head.bias is not None:
            head.bias.mul_(factor)


def shift_head(model: nn.Module, shifts: Sequence[float], constant: Sequence[float] | None = None) -> None:
    """Add a number to each grade's logit: to the bias, or along ``constant``, (d,), in which all features are 1.

    Raises:
        ModelError: the head has no bias and no constant was given.
    """
    head, added = head_of(model), torch.tensor(list(shifts), dtype=torch.float64)
    with torch.no_grad():
        if head.bias is not None:
            head.bias.add_(added.to(head.bias))
        elif constant is not None:
            along = torch.outer(added, torch.tensor(list(constant), dtype=torch.float64))
            head.weight.add_(along.to(head.weight))
        else:
            raise ModelError(
                "the head has no bias, so grades cannot be shifted", where="calibrate.per_grade", mend="auto"
            )


def is_head_parameter(name: str, model: nn.Module) -> bool:
    """Whether a parameter belongs to the part above the backbone (head, and what feeds it)."""
    prefix = getattr(model, "base_model_prefix", "")
    return not name.startswith(f"{prefix}.") or ".pooler." in name


def settle_pooler(model: PreTrainedModel, missing: Iterable[str]) -> None:
    """Give a pooler that the checkpoint lacks a start that passes its input on.

    BERT's classifier reads tanh(W·h + b) of the first token. With W random the frozen features say
    nothing; with W = s·I and a small s, tanh is nearly linear and the features are the token itself.
    """
    names = [name for name in missing if name.endswith("pooler.dense.weight")]
    for name in names:
        dense = model.get_submodule(name.removesuffix(".weight"))
        if isinstance(dense, nn.Linear) and dense.in_features == dense.out_features:
            with torch.no_grad():
                dense.weight.copy_(torch.eye(dense.in_features) * 0.5)
                dense.bias.zero_()

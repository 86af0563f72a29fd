"""Dropout while a backbone is tuned: the recipe's share in place of the one that it was pretrained with."""

from __future__ import annotations

from torch import nn

from darl.errors import RecipeError

# What attention code keeps as a number, where it calls a function instead of a module.
ATTENTION = ("attention_dropout", "attn_dropout", "attn_pdrop", "dropout_prob")


def set_dropout(network: nn.Module, share: float) -> None:
    """Make every layer of ``network`` drop this share of its inputs in training, in place; 0 drops nothing.

    The configuration that is saved with the model stays as it is, and evaluation drops nothing either way. A LoRA
    adapter has a dropout of its own (``tune.lora.dropout``), so call this before it is put on.

    Raises:
        RecipeError: the share is not in [0, 1).

    >>> layers = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))
    >>> set_dropout(layers, 0.0); layers[1].p
    0.0
    """
    if not 0 <= share < 1:
        raise RecipeError(f"a share of {share}", where="tune.dropout", mend="take one from 0 to below 1")
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = share
        for name in ATTENTION:
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, share)


def attention_dropout(network: nn.Module) -> float:
    """The largest share of attention weights that any layer drops in training."""
    shares = [0.0]
    for path, module in network.named_modules():
        shares += [value for name in ATTENTION if isinstance(value := getattr(module, name, None), float)]
        if isinstance(module, nn.modules.dropout._DropoutNd) and ("attn" in path or "attention" in path):
            shares.append(module.p)
    return max(shares)

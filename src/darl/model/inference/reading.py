"""What is read off a network for some pairs, and how hidden states are pooled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.errors import RecipeError


@dataclass(frozen=True)
class Wanted:
    """What to read.

    Attributes:
        head: the head's input and the logits; the network must be a classifier.
        layer: whose hidden states to pool, as an index into them; None for none.
        pooling: ``mean``, ``first`` or ``last``.
    """

    head: bool = True
    layer: int | None = None
    pooling: str = "mean"


@dataclass(frozen=True)
class Read:
    """What was read for n pairs: logits (n, K), the head's inputs (n, d), pooled states (n, d), float32."""

    logits: torch.Tensor | None = None
    inputs: torch.Tensor | None = None
    pooled: torch.Tensor | None = None


def check_layer(network: PreTrainedModel, layer: int | None) -> None:
    """Refuse a layer that the network has not.

    Raises:
        RecipeError: it has no such layer.
    """
    last = network.config.get_text_config().num_hidden_layers
    if layer is not None and not -last - 1 <= layer <= last:
        raise RecipeError(
            f"the backbone has no layer {layer}",
            where="ood",
            mend=f"choose 0 (embeddings) to {last}, or −1 for the last",
        )


def is_last_layer(network: PreTrainedModel, layer: int) -> bool:
    """Whether an index into the hidden states means the last of them."""
    return layer in (-1, network.config.get_text_config().num_hidden_layers)


def pool(states: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    """(b, T, d) hidden states and (b, T) mask → (b, d) float32.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]]); mask = torch.tensor([[1, 1, 0]])
    >>> [pool(states, mask, kind).item() for kind in ("mean", "first", "last")]
    [2.0, 1.0, 3.0]
    """
    states = states.float()
    if pooling == "first":
        return states[:, 0]
    if pooling == "last":
        return states[torch.arange(len(states), device=states.device), mask.sum(1) - 1]
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1)


def to_numpy(values: torch.Tensor | None) -> np.ndarray:
    """What was read, as float32."""
    assert values is not None
    return values.float().cpu().numpy()

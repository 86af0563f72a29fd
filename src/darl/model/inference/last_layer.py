"""The last layer of a classifier, of which one token of each pair is read: what the others need not go through.

All of it is done by hooks on the network's own modules, each deaf to the passes of other threads.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import get_ident
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from darl.model.inference.attention import Layout


def last_attention(body: PreTrainedModel) -> nn.Module | None:
    """The last layer's attention of an encoder built like BERT, after which only the tokens that are read need go on.

    There residual and norm are within the attention, so what follows it works on each token alone: the feed-forward
    part, two thirds of a layer. None where the layers are built otherwise.
    """
    layers = getattr(getattr(body, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    last, attention = layers[-1], getattr(layers[-1], "attention", None)
    built_so = all(hasattr(last, name) for name in ("intermediate", "output", "feed_forward_chunk"))
    norm_within = hasattr(getattr(attention, "output", None), "LayerNorm")
    return attention if built_so and norm_within else None


def last_feed_forward(body: PreTrainedModel) -> nn.Module | None:
    """The last layer's feed-forward part of a decoder built like Llama, which works on each token alone.

    None where the layers are built otherwise.
    """
    layers = getattr(body, "layers", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    part = getattr(layers[-1], "mlp", None)
    return part if isinstance(part, nn.Module) else None


def read_starts_alone(attention: nn.Module, layout: Layout, starts: Tensor) -> list[RemovableHandle]:
    """Have an encoder's :func:`last_attention` give the first token of each segment alone, (1, m, d).

    Where its queries are a layer of their own only these tokens ask, and what is made of the answers runs on them.

    Args:
        layout: of the pass; is told of which layer the first tokens ask alone.
        starts: the first tokens of the segments, (m,).
    """
    within = getattr(attention, "self", None)
    query, layer = getattr(within, "query", None), getattr(within, "layer_idx", None)
    if not isinstance(query, nn.Module) or layer is None:

        def only_starts(_module: object, _args: object, output: tuple) -> tuple:
            return output[0][:, starts], *output[1:]

        return [attention.register_forward_hook(of_this_thread(only_starts))]

    def states_and_residual(_module: object, args: tuple) -> tuple:
        return tuple(states[:, starts] for states in args)

    layout.starts_alone = layer
    output: nn.Module = attention.output  # type: ignore[assignment]
    return [*run_at_places(query, starts), output.register_forward_pre_hook(of_this_thread(states_and_residual))]


def run_at_places(part: nn.Module, places: Tensor) -> list[RemovableHandle]:
    """Have a part that works on each token alone run on those at ``places``; the others, never read, are zero after it.

    Args:
        part: (1, T, d) → (1, T, e), or a tuple that begins with it.
        places: (m,).
    """
    whole: list[int] = []

    def only_places(_module: object, args: tuple) -> tuple:
        whole.append(args[0].shape[1])
        return args[0][:, places], *args[1:]

    def at_their_places(_module: object, _args: object, output: Any) -> Any:
        made = output[0] if isinstance(output, tuple) else output
        # under autocast what is made has another precision than what went in
        states = made.new_zeros(made.shape[0], whole.pop(), made.shape[-1]).index_copy_(1, places, made)
        return (states, *output[1:]) if isinstance(output, tuple) else states

    return [
        part.register_forward_pre_hook(of_this_thread(only_places)),
        part.register_forward_hook(of_this_thread(at_their_places)),
    ]


def of_this_thread(hook: Callable[..., Any]) -> Callable[..., Any]:
    """The hook, deaf to passes of other threads on the same network."""
    mine = get_ident()
    return lambda *args: hook(*args) if get_ident() == mine else None

"""Biases of an encoder's layers moved to where they cost nothing, for the time of an export.

An exported graph adds each bias in a pass of its own over all tokens. In a layer that norms after its residuals

    x ↦ y = LN(x + W_o · A(W_q x + b_q, W_k x + b_k, W_v x + b_v) + b_o),   y ↦ LN(y + W_2 · g(W_1 y + b_1) + b_2)

four of them are not needed, and the function stays the same:

- b_k adds q·b_k to all logits of a query alike, which a softmax over the keys does not see;
- b_v comes out of attention as it went in, since its weights add up to 1: W_o b_v joins b_o;
- b_2 is added by the norm before it in place of its own bias: its output y' = y + b_2 brings the residual's b_2 along,
  and b_1 − W_1 b_2 takes it out of the other branch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from darl.export.graph_parts import replace_nodes
from darl.export.libraries import onnx_library

# transformers' layers that are built and named so: attention over all tokens, norms after the residuals.
LAYERS = {"BertLayer", "RobertaLayer", "XLMRobertaLayer", "ElectraLayer", "CamembertLayer"}


@contextmanager
def folded_biases(network: torch.nn.Module) -> Iterator[int]:
    """The network with those biases folded; how many layers. Its own are back afterwards, to the bit."""
    layers = [layer for layer in network.modules() if type(layer).__name__ in LAYERS and _plain(layer)]
    touched = [bias for layer in layers for bias in _biases(layer)]
    before = [bias.detach().clone() for bias in touched]
    try:
        with torch.no_grad():
            for layer in layers:
                _fold(layer)
        yield len(layers)
    finally:
        with torch.no_grad():
            for bias, value in zip(touched, before, strict=True):
                bias.copy_(value)


def drop_empty_sums(graph: Any) -> int:
    """Take out each addition of nothing but zeros; how many there were."""
    to_array = onnx_library("onnx").numpy_helper.to_array
    empty = {one.name for one in graph.initializer if len(one.dims) == 1 and not np.any(to_array(one))}
    results, same = {one.name for one in graph.output}, {}
    for node in graph.node:
        left = [name for name in node.input if name not in empty]
        if node.op_type == "Add" and len(left) == 1 and node.output[0] not in results:
            same[node.output[0]] = left[0]
    for node in graph.node:
        for at, name in enumerate(node.input):
            while name in same:
                name = same[name]
            node.input[at] = name
    replace_nodes(graph, [node for node in graph.node if node.output[0] not in same])
    return len(same)


def _plain(layer: Any) -> bool:
    """Whether the layer has no more than the formula: one attention, over its own tokens, no relative positions."""
    attention = layer.attention.self
    wide = not hasattr(attention, "distance_embedding") and not getattr(layer, "is_decoder", False)
    return wide and all(bias is not None for bias in _biases(layer))


def _biases(layer: Any) -> list[torch.nn.Parameter]:
    attention, after = layer.attention.self, layer.attention.output
    keys = (attention.key.bias, attention.value.bias, after.dense.bias)
    return [*keys, after.LayerNorm.bias, layer.intermediate.dense.bias, layer.output.dense.bias]


def _fold(layer: Any) -> None:
    key, value, out, norm, inner, outer = _biases(layer)
    out += layer.attention.output.dense.weight @ value
    inner -= layer.intermediate.dense.weight @ outer
    norm += outer
    for bias in (key, value, outer):
        bias.zero_()

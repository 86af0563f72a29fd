"""Linear layers with weights laid out once for the processor's matrix products, for a server's workers.

A float32 product lays its weights out anew each time. Laid out beforehand by oneDNN, products of 25 to 1,000 tokens are
1.1 to 1.25 times as fast; in bfloat16 1.03 times, which is not worth the memory. torch compiles frozen networks to the
same operator, which is not part of its public interface: so each layer's is tried when it is made, and where there is
none, or it gives other numbers, the layer stays as it was.

oneDNN makes code for each number of tokens that it meets and keeps it, half a megabyte a layer's shape: not for jobs
over many large batches, which would grow by it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

MOST_BYTES = 512 * 2**20  # of the weights, which are held twice
TOKENS = 256  # of a typical batch
TOLERANCE = 1e-5  # of the largest number: sums are taken in another order


def pack_weights(network: nn.Module) -> int:
    """Lay out the weights of a network's linear layers, for as long as it lives; no gradients from then on.

    Args:
        network: on a CPU, in float32, of at most ``MOST_BYTES`` of linear layers; any other stays as it is.

    Returns:
        how many layers compute with packed weights.
    """
    layers = [module for module in network.modules() if type(module) is nn.Linear and _fits(module)]
    if sum(layer.weight.nbytes for layer in layers) > MOST_BYTES:
        return 0
    return sum(_pack(layer) for layer in layers)


def _fits(layer: nn.Linear) -> bool:
    return layer.weight.device.type == "cpu" and layer.weight.dtype == torch.float32 and "forward" not in vars(layer)


@torch.inference_mode()
def _pack(layer: nn.Linear) -> bool:
    tokens = torch.randn(1, 7, layer.in_features, generator=torch.Generator().manual_seed(0))
    own = layer(tokens)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), TOKENS)
        found = _forward(layer, packed, tokens)
    except (RuntimeError, AttributeError):  # a torch without oneDNN, or of another interface
        return False
    if found.shape != own.shape or not torch.allclose(found, own, rtol=0, atol=TOLERANCE * float(own.abs().max())):
        return False
    layer.forward = partial(_forward, layer, packed)  # type: ignore[method-assign]
    return True


def _forward(layer: nn.Linear, packed: Any, tokens: Tensor) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(tokens, packed, layer.bias, "none", [], "")

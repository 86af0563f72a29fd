"""Linear layers whose weights are laid out beforehand for the processor's matrix products.

A product first copies the weights into the order in which the processor reads them. Over thousands of tokens that is
nothing; over the thirty of one pair it is a third of the time. A server, whose weights stand still and whose batches
are small, has them in that order once and for all.

This is Intel's MKL, on which torch computes in float32 on x86. Its buffers serve any number of tokens, unlike oneDNN's,
which come with code for each number.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

# The number of tokens the order is chosen for. With both threads of a product 256 was right from 8 tokens to 400, where
# an order for 1 gained nothing and one for 4,096 took twice the time.
TOKENS = 256
TRIED = (1, 7, 300)  # numbers of tokens
TOLERANCE = 1e-5  # of the largest number: sums are taken in another order


Replaced = list[tuple[nn.Module, str, nn.Linear]]
"""Linear layers with the modules that they stood in and their names there."""


def lay_out_weights(network: nn.Module) -> Replaced:
    """Replace the linear layers of a network that only scores from now on; those that would give other numbers stay.

    Once what is returned is forgotten, the weights in their old order are given up and memory is as it was: the network
    can no longer be saved, trained or moved.

    Args:
        network: on a CPU.

    Returns:
        What was replaced, for :func:`put_back`; nothing where the weights are not in float32, or torch computes
        without MKL.

    >>> network = nn.Sequential(nn.Linear(8, 4), nn.GELU())
    >>> replaced = lay_out_weights(network)
    >>> len(replaced) == (1 if torch.backends.mkl.is_available() else 0)
    True
    >>> put_back(replaced); type(network[0]).__name__
    'Linear'
    """
    replaced: Replaced = []
    if not torch.backends.mkl.is_available():
        return replaced
    same: dict[tuple[int, int], bool] = {}  # by widths
    for parent in list(network.modules()):
        for name, module in list(parent.named_children()):
            # no subclass: those of adapters and quantised weights compute something else
            if type(module) is nn.Linear and module.weight.dtype == torch.float32:
                widths = module.in_features, module.out_features
                if widths not in same:
                    same[widths] = _same(module)
                if same[widths]:
                    setattr(parent, name, LaidOutLinear(module))
                    replaced.append((parent, name, module))
    return replaced


def put_back(replaced: Replaced) -> None:
    """The layers as they were."""
    for parent, name, module in replaced:
        setattr(parent, name, module)


class LaidOutLinear(nn.Module):
    """x ↦ x·Wᵀ + b with W laid out, x (…, d_in) in float32, without gradients."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self._laid: Any = torch.ops.mkl._mkl_reorder_linear_weight(linear.weight.detach(), TOKENS)
        # says how large W is, without its numbers
        self._shape = torch.empty(1).expand(self.out_features, self.in_features)

    def forward(self, tokens: Tensor) -> Tensor:
        count = tokens.numel() // self.in_features
        return torch.ops.mkl._mkl_linear(tokens, self._laid, self._shape, self.bias, count)


@torch.inference_mode()
def _same(linear: nn.Linear) -> bool:
    """Whether a layer gives the same numbers laid out."""
    made = torch.Generator().manual_seed(0)
    try:
        laid = LaidOutLinear(linear)
        for count in TRIED:
            tokens = torch.randn(1, count, linear.in_features, generator=made)
            own, found = linear(tokens), laid(tokens)
            if own.shape != found.shape or (own - found).abs().max() > TOLERANCE * own.abs().max():
                return False
    except (RuntimeError, AttributeError):  # another torch, or a layer that it does not lay out
        return False
    return True

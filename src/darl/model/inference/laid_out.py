"""Linear layers whose weights are laid out beforehand for the processor's matrix products.

A product first copies the weights into the order in which the processor reads them. Over thousands of tokens that is
nothing; over the thirty of one pair it is a third of the time. A server, whose weights stand still and whose batches
are small, has them in that order once and for all.

Two libraries within torch compute in float32 on x86, each with an order of its own, and which one is quicker depends on
the processor: a network is laid out for the one that was quicker on layers like its own.
"""

from __future__ import annotations

import time
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

# The number of tokens the order is chosen for. With both threads of a product 256 was right from 8 tokens to 400, where
# an order for 1 gained nothing and one for 4,096 took twice the time.
TOKENS = 256
TRIED = (1, 7, 300)  # numbers of tokens
TOLERANCE = 1e-5  # of the largest number: sums are taken in another order

TIMED = (32, TOKENS)  # numbers of tokens
TIMES = 5
QUICKER = 0.95  # of the first way's time: less than that is noise


Replaced = list[tuple[nn.Module, str, nn.Linear]]
"""Linear layers with the modules that they stood in and their names there."""

# Networks whose layers fill their tokens up: cheaper done once, before the first.
_evenly: WeakSet[nn.Module] = WeakSet()


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
    if not torch.backends.mkl.is_available():
        return []
    found = [
        (parent, name, module)
        for parent in network.modules()
        for name, module in parent.named_children()
        # no subclass: those of adapters and quantised weights compute something else
        if type(module) is nn.Linear and module.weight.dtype == torch.float32
    ]
    kinds = {_widths(linear): linear for _, _, linear in found}
    way = _quickest(list(kinds.values()))
    same = {widths for widths, linear in kinds.items() if _laid(linear, way) is not None}
    replaced = [one for one in found if _widths(one[2]) in same]
    for parent, name, linear in replaced:
        setattr(parent, name, way(linear))
    if replaced and way is ByOneDnn:
        _evenly.add(network)
    return replaced


def tokens_to_run(network: nn.Module, count: int) -> int:
    """How many tokens to run a network on that is to read so many: a few more, where it is quickest on few numbers."""
    return count + -count % _step(count) if network in _evenly else count


def put_back(replaced: Replaced) -> None:
    """The layers as they were."""
    for parent, name, module in replaced:
        setattr(parent, name, module)
    for network in list(_evenly):
        if not any(isinstance(module, ByOneDnn) for module in network.modules()):
            _evenly.discard(network)


class LaidOutLinear(nn.Module):
    """x ↦ x·Wᵀ + b with W laid out, x (…, d_in) in float32, without gradients."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias


class ByMkl(LaidOutLinear):
    """Intel's MKL, torch's own choice for float32; its buffers serve any number of tokens."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self._laid: Any = torch.ops.mkl._mkl_reorder_linear_weight(linear.weight.detach(), TOKENS)
        # says how large W is, without its numbers
        self._shape = torch.empty(1).expand(self.out_features, self.in_features)

    def forward(self, tokens: Tensor) -> Tensor:
        count = tokens.numel() // self.in_features
        return torch.ops.mkl._mkl_linear(tokens, self._laid, self._shape, self.bias, count)


class ByOneDnn(LaidOutLinear):
    """oneDNN, which on an AMD EPYC with AVX-512 takes .9 of MKL's time over 300 tokens and .65 over 30.

    It makes code for each number of tokens, some .6 MB and .7 ms, and keeps what :func:`darl.memory.keep_little_code`
    leaves it room for. So tokens are filled up to few numbers.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self._laid: Tensor = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), TOKENS)

    def forward(self, tokens: Tensor) -> Tensor:
        rows = tokens.reshape(-1, self.in_features)
        count = len(rows)
        if missing := -count % _step(count):
            rows = pad(rows, (0, 0, 0, missing))
        made = torch.ops.mkldnn._linear_pointwise(rows, self._laid, self.bias, "none", [], "")
        return made[:count].view(*tokens.shape[:-1], self.out_features)


WAYS: tuple[type[LaidOutLinear], ...] = (ByMkl, ByOneDnn)


def _step(count: int) -> int:
    """Eight, and for many tokens more: at most one in thirty-two is added."""
    return max(8, 2 ** (count.bit_length() - 6))


def _widths(linear: nn.Linear) -> tuple[int, int]:
    return linear.in_features, linear.out_features


@torch.inference_mode()
def _quickest(linears: list[nn.Linear]) -> type[LaidOutLinear]:
    """The way in which one layer of each width together take least time, on few tokens and on many alike."""
    taken = dict.fromkeys(WAYS, 0.0)
    for linear in linears:
        laid = {way: one for way in WAYS if (one := _laid(linear, way)) is not None}
        if len(laid) < len(WAYS):
            continue
        for count in TIMED:
            tokens = torch.randn(1, count, linear.in_features, generator=torch.Generator().manual_seed(0))
            best = dict.fromkeys(WAYS, float("inf"))
            for _ in range(TIMES):  # in turn, for another process may come between
                for way, layer in laid.items():
                    begin = time.perf_counter()
                    layer(tokens)
                    best[way] = min(best[way], time.perf_counter() - begin)
            for way, seconds in best.items():
                taken[way] += seconds / count
    first, *others = WAYS
    quickest = min(others, key=taken.__getitem__, default=first)
    return quickest if taken[quickest] < QUICKER * taken[first] else first


@torch.inference_mode()
def _laid(linear: nn.Linear, way: type[LaidOutLinear]) -> LaidOutLinear | None:
    """A layer laid out, or None where it would give other numbers."""
    made = torch.Generator().manual_seed(0)
    try:
        laid = way(linear)
        for count in TRIED:
            tokens = torch.randn(1, count, linear.in_features, generator=made)
            own, found = linear(tokens), laid(tokens)
            if own.shape != found.shape or (own - found).abs().max() > TOLERANCE * own.abs().max():
                return None
    except (RuntimeError, AttributeError):  # another torch, or a layer that it does not lay out
        return None
    return laid

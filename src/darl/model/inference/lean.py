"""A decoder's norms and feed-forward parts with less traffic of memory, while nothing needs gradients on a CPU.

Between the matrix products a CPU waits for memory: transformers' RMSNorm makes six copies of its tokens and a gated
feed-forward part four of its wide middle, each on new pages. Here the same operations, in the same precision, write
over what is not needed again.

As with packing, no list of classes: a module whose parts look right is tried on random numbers once a network, and
runs as it was made where it gives others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# Of the largest number: sums are taken in another order.
TOLERANCE, TOLERANCE_HALF = 1e-5, 1e-2

Forward = Callable[[nn.Module, Tensor], Tensor]
_known: WeakKeyDictionary[nn.Module, list[tuple[nn.Module, Forward]]] = WeakKeyDictionary()


@contextmanager
def lean_modules(network: nn.Module) -> Iterator[None]:
    """Within the block the network's norms and feed-forward parts run lean, where that gives the same numbers.

    Not for two threads on one network at a time; not where gradients or a GPU are used: nothing changes there.
    """
    device = next(network.parameters()).device
    if torch.is_grad_enabled() or device.type != "cpu":
        yield
        return
    if network not in _known:
        _known[network] = _eligible(network)
    replaced = [(module, lean) for module, lean in _known[network] if "forward" not in vars(module)]
    try:
        for module, lean in replaced:
            module.forward = partial(lean, module)
        yield
    finally:
        for module, _ in replaced:
            vars(module).pop("forward", None)


def rms_norm(module: nn.Module, tokens: Tensor) -> Tensor:
    """w · x / √(mean x² + ε), the division in float32 (Zhang and Sennrich 2019), x (…, d)."""
    if module.weight.dtype != tokens.dtype:
        return type(module).forward(module, tokens)
    wide = tokens.float() if tokens.dtype != torch.float32 else tokens.clone()
    length = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
    shrink = length.square_().div_(wide.shape[-1]).add_(_epsilon(module)).rsqrt_()
    return wide.mul_(shrink).to(tokens.dtype).mul_(module.weight)  # type: ignore[arg-type]


def gated(module: nn.Module, tokens: Tensor) -> Tensor:
    """W_down · (act(W_gate · x) ⊙ W_up · x) (Shazeer 2020), its middle in place, x (…, d)."""
    gate = module.gate_proj(tokens)  # type: ignore[operator]
    gate = nn.functional.silu(gate, inplace=True) if _is_silu(module) else module.act_fn(gate)  # type: ignore[operator]
    return module.down_proj(gate.mul_(module.up_proj(tokens)))  # type: ignore[operator]


def _eligible(network: nn.Module) -> list[tuple[nn.Module, Forward]]:
    """The modules that may run lean, and how: one of each class is tried."""
    found: list[tuple[nn.Module, Forward]] = []
    same: dict[type[nn.Module], bool] = {}
    for module in network.modules():
        lean = _lean_form(module)
        if lean is None:
            continue
        if type(module) not in same:
            same[type(module)] = _same(module, lean)
        if same[type(module)]:
            found.append((module, lean))
    return found


def _lean_form(module: nn.Module) -> Forward | None:
    if type(module).__name__.endswith("RMSNorm") and isinstance(getattr(module, "weight", None), Tensor):
        return rms_norm if _epsilon(module) is not None else None
    if all(isinstance(getattr(module, name, None), nn.Module) for name in ("gate_proj", "up_proj", "down_proj")):
        return gated if callable(getattr(module, "act_fn", None)) else None
    return None


@torch.no_grad()
def _same(module: nn.Module, lean: Forward) -> bool:
    weight = next(module.parameters())
    numbers = torch.randn(1, 7, weight.shape[-1], generator=torch.Generator().manual_seed(0)).to(weight.dtype)
    try:
        own, found = module(numbers.clone()), lean(module, numbers.clone())
    except Exception:  # quantised or otherwise unlike what its parts' names say
        return False
    if not isinstance(own, Tensor) or own.shape != found.shape or own.dtype != found.dtype:
        return False
    most = float(own.abs().max()) * (TOLERANCE if own.dtype == torch.float32 else TOLERANCE_HALF)
    return bool((own - found).abs().max() <= most)


def _epsilon(module: nn.Module) -> float | None:
    return next(
        (float(e) for n in ("variance_epsilon", "eps") if isinstance(e := getattr(module, n, None), float)), None
    )


def _is_silu(module: nn.Module) -> bool:
    return type(module.act_fn).__name__ in ("SiLU", "SiLUActivation")

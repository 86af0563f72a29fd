"""Norms and feed-forward parts with less traffic of memory, while nothing needs gradients on a CPU.

Between the matrix products a CPU waits for memory: transformers' RMSNorm makes six copies of its tokens, a gated
feed-forward part four of its wide middle and BERT's two, each on new pages. Here the same operations, in the same
precision, write over what is not needed again, and a wide middle is made of some tokens at a time.

As with packing, no list of classes: a module whose parts look right is tried on random numbers once a network, and
runs as it was made where it gives others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from inspect import signature
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

# Of the largest number: sums are taken in another order.
TOLERANCE, TOLERANCE_HALF = 1e-5, 1e-2

# Tokens whose wide middle is made together. On two cores 1,024 took .8 of the time of all 4,096 at once (384 to 1,536
# numbers, float32), 512 and fewer were slower: the products read their weights for each part anew.
PART = 1024

# oneDNN makes, and keeps, code for each number of tokens that GELU meets: some 50 KB and a fraction of a millisecond.
# So GELU runs on a multiple of these and then on the rest, which are few numbers however long a job is.
EVEN = 32


class Lean(NamedTuple):
    """A method of a module, how it runs lean, and how many tensors of tokens it takes."""

    method: str
    run: Callable[..., Tensor]
    tokens: int = 1


_known: WeakKeyDictionary[nn.Module, list[tuple[nn.Module, str, Callable[..., Tensor]]]] = WeakKeyDictionary()


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
    # straight into their attributes: a module's own way of setting one takes as long as a small product
    replaced = [(vars(module), name, run) for module, name, run in _known[network] if name not in vars(module)]
    try:
        for attributes, name, run in replaced:
            attributes[name] = run
        yield
    finally:
        for attributes, name, _ in replaced:
            attributes.pop(name, None)


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


def in_parts(module: nn.Module, tokens: Tensor) -> Tensor:
    """BERT's feed-forward part, norm(x + W₂ · act(W₁ · x)) (Devlin et al. 2019), :data:`PART` tokens at a time."""
    parts = [
        module.output(module.intermediate(part), part)  # type: ignore[operator]
        for part in tokens.split(PART, dim=-2)
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-2)


def activated(module: nn.Module, tokens: Tensor) -> Tensor:
    """GELU(W · x) (Hendrycks and Gimpel 2016), in place, x (…, T, d)."""
    wide = module.dense(tokens)  # type: ignore[operator]
    rest = wide.shape[-2] % EVEN
    if not rest or rest == wide.shape[-2]:
        return torch.ops.aten.gelu_(wide)
    for part in (wide[..., :-rest, :], wide[..., -rest:, :]):
        torch.ops.aten.gelu_(part)
    return wide


def added(module: nn.Module, tokens: Tensor, residual: Tensor) -> Tensor:
    """norm(r + W · x), the sum in place, x (…, h), r (…, d)."""
    wide = module.dense(tokens)  # type: ignore[operator]
    # under autocast the product has another precision than what it is added to
    total = wide.add_(residual) if wide.dtype == residual.dtype else wide + residual
    return module.LayerNorm(total)  # type: ignore[operator]


def _eligible(network: nn.Module) -> list[tuple[nn.Module, str, Callable[..., Tensor]]]:
    """The modules that may run lean, which method of theirs, and what runs in its place: one of each class is tried."""
    found: list[tuple[nn.Module, str, Callable[..., Tensor]]] = []
    same: dict[type[nn.Module], bool] = {}
    for module in network.modules():
        lean = _lean_form(module)
        if lean is None:
            continue
        if type(module) not in same:
            same[type(module)] = _same(module, lean)
        if same[type(module)]:
            found.append((module, lean.method, _bound(lean, module)))
    return found


def _bound(lean: Lean, module: nn.Module) -> Callable[..., Tensor]:
    """The method of this module, with its signature at hand: transformers looks at one each time it is called."""
    method = partial(lean.run, module)
    method.__signature__ = signature(method)  # type: ignore[attr-defined]
    return method


def _lean_form(module: nn.Module) -> Lean | None:
    if type(module).__name__.endswith("RMSNorm") and isinstance(getattr(module, "weight", None), Tensor):
        return Lean("forward", rms_norm) if _epsilon(module) is not None else None
    if _has_parts(module, "gate_proj", "up_proj", "down_proj"):
        return Lean("forward", gated) if callable(getattr(module, "act_fn", None)) else None
    if _has_parts(module, "intermediate", "output"):
        return Lean("feed_forward_chunk", in_parts) if hasattr(module, "feed_forward_chunk") else None
    if _has_parts(module, "dense", "intermediate_act_fn"):
        return Lean("forward", activated)
    if _has_parts(module, "dense", "LayerNorm"):
        return Lean("forward", added, tokens=2)
    return None


def _has_parts(module: nn.Module, *names: str) -> bool:
    return all(isinstance(getattr(module, name, None), nn.Module) for name in names)


@torch.no_grad()
def _same(module: nn.Module, lean: Lean) -> bool:
    """Whether the module gives the same numbers lean; not where random ones of its width mean nothing to it."""
    made, weight = torch.Generator().manual_seed(0), next(module.parameters())
    numbers = [
        torch.randn(1, 7, width, generator=made).to(weight.dtype) for width in (weight.shape[-1], weight.shape[0])
    ][: lean.tokens]
    try:
        own = getattr(module, lean.method)(*(n.clone() for n in numbers))
        found = lean.run(module, *(n.clone() for n in numbers))
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

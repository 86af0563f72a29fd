"""Which number type a network computes in: half precision only where the machine has it."""

from __future__ import annotations

import torch
from transformers import PreTrainedModel

HALVES = (torch.bfloat16, torch.float16)


def native_bfloat16() -> bool:
    """Whether this processor computes bfloat16 rather than emulates it, which is several times slower."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = (getattr(torch.cpu, name, None) for name in names)
    return any(check() for check in checks if check is not None)


def settle_precision(network: PreTrainedModel) -> None:
    """Cast a half-precision network on a CPU that would emulate it to float32, in place.

    Backbones are published in bfloat16 as a rule, and transformers loads them as they are. Every bfloat16 and
    float16 number is a float32 number, so the weights are the same; products are rounded less.
    """
    emulated = network.device.type == "cpu" and (network.dtype == torch.float16 or not native_bfloat16())
    if network.dtype in HALVES and emulated:
        network.float()

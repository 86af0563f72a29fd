"""Which number type a network computes in: as saved or as asked for, half precision only where the machine has it."""

from __future__ import annotations

from typing import Literal

import torch
from transformers import PreTrainedModel

from darl.errors import ModelError

Dtype = Literal["float32", "bfloat16", "float16"]
HALVES = (torch.bfloat16, torch.float16)
_DTYPES: dict[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def native_bfloat16() -> bool:
    """Whether this processor computes bfloat16 rather than emulates it, which is several times slower."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    checks = (getattr(torch.cpu, name, None) for name in names)
    return any(check() for check in checks if check is not None)


def settle_precision(network: PreTrainedModel, asked: Dtype | None = None) -> None:
    """Cast a network in place: to what is asked for, and to float32 where a CPU would emulate half precision.

    Backbones are published in bfloat16 as a rule, and transformers loads them as they are. Every bfloat16 and
    float16 number is a float32 number, so the weights are the same; products are rounded less. The other way round
    weights are rounded to 8 bits (bfloat16) or 11 (float16).

    Args:
        network: on the device where it will compute.
        asked: None leaves it as it is.

    Raises:
        ModelError: an unknown number type.
    """
    if asked is not None and asked not in _DTYPES:
        raise ModelError(f"{asked!r} is no number type to compute in", mend=f"one of {', '.join(_DTYPES)}")
    wanted = network.dtype if asked is None else _DTYPES[asked]
    emulated = network.device.type == "cpu" and (wanted == torch.float16 or not native_bfloat16())
    if wanted in HALVES and emulated:
        wanted = torch.float32  # at once: by way of half precision the weights would be rounded for nothing
    if network.dtype != wanted:
        network.to(wanted)  # type: ignore[arg-type]

"""Whether a network can be packed: tried once on a few made-up pairs, by comparing with the plain way.

No list of architectures could keep up, and a wrong entry in one would give wrong grades. So the first time a
network is met, pairs that share a prefix go through it both ways. Anything that differs (attention with its own
biases or windows, states that run along the row, another way of pooling) is scored the plain way from then on.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.inference.packed import read_packed
from darl.model.inference.padded import read_padded
from darl.model.inference.reading import Wanted

# Of the largest value: rounding in float32 is a thousandth of this, a wrong mask a hundred times as much.
TOLERANCE = 1e-3
TOLERANCE_HALF = 5e-2

_known: WeakKeyDictionary[torch.nn.Module, str | None] = WeakKeyDictionary()


def why_not_packed(network: PreTrainedModel, encoder: PairEncoder, *, head: bool) -> str | None:
    """Why a network cannot be packed, or None where it can; found out on the first call.

    Args:
        network: in evaluation mode.
        encoder: knows which inputs the network takes, and how long a pair may be.
        head: the network is a classifier whose head is read; else a bare body.
    """
    if network not in _known:
        _known[network] = _try(network, encoder, head)
    window = getattr(network.config.get_text_config(), "sliding_window", None)
    if window is not None and window < encoder.max_length:
        return f"its attention reaches back {window} tokens, a pair may have {encoder.max_length}"
    return _known[network]


def _try(network: PreTrainedModel, encoder: PairEncoder, head: bool) -> str | None:
    pairs = _made_up(network, encoder)
    wanted = Wanted(head=head, layer=None if head else -1)
    try:
        plain, packed = (
            _collect(reads, len(pairs), head)
            for reads in (
                read_padded(network, encoder, pairs, wanted, 10_000),
                read_packed(network, pairs, wanted, 10_000),
            )
        )
    except Exception as error:  # whatever it is, the plain way will tell the user if it concerns them
        return f"{type(error).__name__}: {error}"
    off = float((plain - packed).abs().max())
    most = float(plain.abs().max()) * (TOLERANCE if network.dtype == torch.float32 else TOLERANCE_HALF)
    return None if off <= most else f"packed and plain features differ by {off:.2g}"


def _collect(reads: object, count: int, head: bool) -> torch.Tensor:
    found: list[torch.Tensor | None] = [None] * count
    for rows, read in reads:  # type: ignore[attr-defined]
        values = read.inputs if head else read.pooled
        for row, value in zip(rows, values, strict=True):
            found[row] = value.float()
    return torch.stack([value for value in found if value is not None])


def _made_up(network: PreTrainedModel, encoder: PairEncoder) -> EncodedPairs:
    """Six pairs of two queries whose lengths differ, with prefixes long enough to be shared."""
    config = network.config.get_text_config()
    choice = np.random.default_rng(0)
    allowed = np.setdiff1d(np.arange(min(config.vocab_size, 1000)), [config.pad_token_id])
    room = encoder.max_length
    texts: list[list[int]] = []
    for items in ((3, 9, 5), (2, 7, 4)):
        query = choice.choice(allowed, 12).tolist()
        texts += [(query + choice.choice(allowed, size).tolist())[:room] for size in items]
    fields = {"input_ids": texts, "attention_mask": [[1] * len(ids) for ids in texts]}
    if "token_type_ids" in encoder.tokenizer.model_input_names:
        fields["token_type_ids"] = [[0] * len(ids) for ids in texts]
    return EncodedPairs(fields)

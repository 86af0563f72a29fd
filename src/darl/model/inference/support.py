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
from darl.model.head import head_name
from darl.model.inference.kept import KeptPrefixes
from darl.model.inference.packed import body_of, is_causal, read_packed
from darl.model.inference.padded import read_padded
from darl.model.inference.reading import Wanted

# Of the largest value: rounding in float32 is a thousandth of this, a wrong mask a hundred times as much.
TOLERANCE = 1e-3
TOLERANCE_HALF = 5e-2

_known: WeakKeyDictionary[torch.nn.Module, str | None] = WeakKeyDictionary()
_known_kept: WeakKeyDictionary[torch.nn.Module, str | None] = WeakKeyDictionary()


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


def why_not_kept(network: PreTrainedModel, encoder: PairEncoder) -> str | None:
    """Why a network's prefixes cannot be kept, or None where they can; found out on the first call.

    Args:
        network: a classifier in evaluation mode.
        encoder: as in :func:`why_not_packed`.
    """
    if network.device.type != "cpu":
        return "prefixes are kept on a CPU alone"
    why = why_not_packed(network, encoder, head=True)
    if why is None and network not in _known_kept:
        _known_kept[network] = _try_kept(network, encoder)
    return why or _known_kept[network]


def _try_kept(network: PreTrainedModel, encoder: PairEncoder) -> str | None:
    if not is_causal(network):
        return "its tokens see those after them"
    if head_name(network) != "score" or hasattr(body_of(network), "embeddings"):
        return "it is no decoder whose classifier reads the last token"
    # their angles depend on the longest row of a batch, so a key of one batch is wrong in the next
    if any(getattr(module, "rope_type", None) in ("dynamic", "longrope") for module in network.modules()):
        return "its rotary positions depend on the batch"
    pairs, wanted, kept = _made_up(network, encoder), Wanted(), KeptPrefixes(2**40)
    try:
        kept.serve(network)
        plain = _collect(read_padded(network, encoder, pairs, wanted, 10_000), len(pairs), True)
        off = 0.0
        for _ in range(2):  # the second time all prefixes are known
            found = _collect(read_packed(network, pairs, wanted, 10_000, kept=kept), len(pairs), True)
            off = max(off, float((plain - found).abs().max()))
    except Exception as error:  # whatever it is, scoring goes on without
        return f"{type(error).__name__}: {error}"
    if not kept.taken:
        return "no prefix could be kept: pairs are too short, or its layers' keys are not alike"
    return None if off <= _most(network, plain) else f"with kept prefixes features differ by {off:.2g}"


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
    return None if off <= _most(network, plain) else f"packed and plain features differ by {off:.2g}"


def _most(network: PreTrainedModel, plain: torch.Tensor) -> float:
    """How far two ways of computing features may be apart."""
    return float(plain.abs().max()) * (TOLERANCE if network.dtype == torch.float32 else TOLERANCE_HALF)


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
    return EncodedPairs(fields, min(4, room - 1), [min(12, len(ids) - 1) for ids in texts])

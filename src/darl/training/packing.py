"""Batches without padding: a training step computes each distinct token of its batch once.

The pairs of a batch go through the network as one packed row, as in scoring (:mod:`darl.model.inference`). A causal
backbone computes a prefix that pairs share (the prompt, and the query of a query's items) once, and its gradient is
the sum over these pairs: the same gradient as from padded batches, at the cost of the distinct tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from darl.model import RelevanceModel
from darl.model.encoding import EncodedPairs
from darl.model.inference.packed import packed_logits
from darl.model.inference.support import why_not_packed
from darl.training.dropout import attention_dropout
from darl.training.lower_layers import LowerLayers
from darl.training.processes import world_size


@dataclass(frozen=True)
class PackedBatch:
    """Some pairs, and which of the training pairs they are where they are of these."""

    encoded: EncodedPairs
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class PackedForward:
    """Stands in for ``network(**batch)``: logits of pairs that no batch has padded, (n, K) with their gradients."""

    network: PreTrainedModel
    lower: LowerLayers | None = None

    def __call__(self, batch: PackedBatch) -> SequenceClassifierOutput:
        within = None if self.lower is None or batch.rows is None else self.lower.above(batch.rows)
        logits = packed_logits(self.network, batch.encoded, within=within)
        return SequenceClassifierOutput(logits=logits)  # type: ignore[arg-type]


def packed_forward(model: RelevanceModel) -> PackedForward | None:
    """The packed forward pass of a model in training, or None where it has to be padded.

    Several processes synchronise gradients in the wrapped network's own forward pass, so they pad.
    """
    network = model.network
    if world_size() > 1 or (network.device.type == "cuda" and attention_dropout(network) > 0):
        return None  # on a GPU packed attention is flex_attention, which drops nothing
    was_training = network.training
    network.eval()
    try:
        with torch.no_grad():
            return None if why_not_packed(network, model.encoder, head=True) else PackedForward(network)
    finally:
        network.train(was_training)


def as_batch(rows: Sequence[dict[str, Any]]) -> PackedBatch:
    """Encoded examples of one batch; ``row`` is the number of a training pair."""
    numbers = np.array([row["row"] for row in rows], dtype=np.int64) if "row" in rows[0] else None
    return PackedBatch(EncodedPairs({name: [row[name] for row in rows] for name in rows[0] if name != "row"}), numbers)

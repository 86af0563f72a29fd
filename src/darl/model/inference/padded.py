"""The plain way through a network: batches of like lengths, padded to the longest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.model.encoding import EncodedPairs, PairEncoder
from darl.model.head import head_of
from darl.model.inference.reading import Read, Wanted, pool


def read_padded(
    network: PreTrainedModel, encoder: PairEncoder, encoded: EncodedPairs, wanted: Wanted, budget: int
) -> Iterator[tuple[np.ndarray, Read]]:
    """(row numbers, what was read) for each padded batch of at most ``budget`` tokens, padding included."""
    device = network.device
    caught: list[torch.Tensor] = []
    hook = None
    if wanted.head:
        hook = head_of(network).register_forward_pre_hook(lambda _module, inputs: caught.append(inputs[0]))
    try:
        for rows, batch in encoder.batches(encoded, budget):
            batch = {name: tensor.to(device) for name, tensor in batch.items()}
            output = network(**batch, output_hidden_states=wanted.layer is not None)
            logits = inputs = pooled = None
            if wanted.head:
                logits, inputs = output.logits, _at_the_end(caught.pop(), batch["input_ids"], network)
            if wanted.layer is not None:
                pooled = pool(output.hidden_states[wanted.layer], batch["attention_mask"], wanted.pooling)
            yield rows, Read(logits, inputs, pooled)
    finally:
        if hook is not None:
            hook.remove()


def _at_the_end(inputs: torch.Tensor, ids: torch.Tensor, network: PreTrainedModel) -> torch.Tensor:
    """The head's inputs: (b, d) as they are; of a causal LLM, whose head runs at each of (b, T, d), the last
    token's that is not padding."""
    if inputs.ndim == 2:
        return inputs
    pad = network.config.get_text_config().pad_token_id
    real = (ids != pad).int() * torch.arange(inputs.shape[1], device=inputs.device)
    return inputs[torch.arange(len(inputs), device=inputs.device), real.argmax(-1)]

"""All pairs through a network, packed where it can be, and what is wanted of them handed on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.model.encoding import TOKENS_PER_BATCH, TOKENS_PER_BATCH_GPU, EncodedPairs, PairEncoder
from darl.model.inference.kept import KeptPrefixes, set_store, store_of
from darl.model.inference.modules import modules_of
from darl.model.inference.packed import read_packed
from darl.model.inference.padded import read_padded
from darl.model.inference.reading import Read, Wanted
from darl.model.inference.support import why_not_kept, why_not_packed

Progress = Callable[[int], None]

# Below this many tokens a forward pass that does not fit into memory is not made smaller: something else is wrong.
LEAST_TOKENS = 256

# Tokens that fit, where the budget asked for did not.
_fitting: WeakKeyDictionary[torch.nn.Module, int] = WeakKeyDictionary()

# One forward pass at a time on a network: packing sets its attention, and scoring sets it to evaluation.
_locks: WeakKeyDictionary[torch.nn.Module, threading.RLock] = WeakKeyDictionary()
_making = threading.Lock()


def run_pairs(
    network: PreTrainedModel,
    encoder: PairEncoder,
    encoded: EncodedPairs,
    wanted: Wanted,
    consume: Callable[[np.ndarray, Read], None],
    *,
    tokens_per_batch: int | None,
    progress: Progress | None = None,
) -> None:
    """Read what is wanted of every pair, without gradients and with dropout off.

    Args:
        network: a classifier, or a bare body where no head is wanted.
        consume: is handed the numbers of some pairs and what was read for them, each pair once.
        tokens_per_batch: distinct tokens in one forward pass (of a network that cannot be packed, padded ones);
            None: as many as the network's device likes.
        progress: called with the number of pairs done.

    Where memory does not hold that many tokens, half as many are tried, and so on: for this network from then on.
    """
    budget = tokens_per_batch or default_budget(network)
    left = np.arange(len(encoded))
    with _alone(network):
        while len(left):
            budget = min(budget, _fitting.get(network, budget))
            part = encoded if len(left) == len(encoded) else encoded.take(left)
            done = np.zeros(len(left), dtype=bool)
            try:
                for rows, read in _reads(network, encoder, part, wanted, budget):
                    consume(left[rows], read)
                    done[rows] = True
                    if progress:
                        progress(len(rows))
            except torch.OutOfMemoryError:
                if budget // 2 < LEAST_TOKENS:
                    raise
                _fitting[network] = budget // 2
                torch.cuda.empty_cache()
            left = left[~done]


def keep_prefixes(network: PreTrainedModel, encoder: PairEncoder, max_bytes: int) -> str | None:
    """Keep prefixes of a classifier from now on, at most so many bytes; 0: none, and give up those kept.

    Returns:
        None, or why this network's prefixes cannot be kept.
    """
    with _alone(network):
        why = why_not_kept(network, encoder) if max_bytes else None
        set_store(network, KeptPrefixes(max_bytes) if max_bytes and why is None else None)
    return why


def default_budget(network: PreTrainedModel) -> int:
    """Tokens of a forward pass on the network's device."""
    return TOKENS_PER_BATCH_GPU if network.device.type == "cuda" else TOKENS_PER_BATCH


def _reads(
    network: PreTrainedModel, encoder: PairEncoder, encoded: EncodedPairs, wanted: Wanted, budget: int
) -> Iterator[tuple[np.ndarray, Read]]:
    if not len(encoded):
        return iter(())
    if why_not_packed(network, encoder, head=wanted.head) is None:
        return read_packed(network, encoded, wanted, budget, kept=_kept(network, encoder))
    return read_padded(network, encoder, encoded, wanted, budget)


def _kept(network: PreTrainedModel, encoder: PairEncoder) -> KeptPrefixes | None:
    """The network's store, where it has one that can be used as things are."""
    store = store_of(network)
    if store is None or torch.is_autocast_enabled(network.device.type) or why_not_kept(network, encoder) is not None:
        return None
    store.serve(network)
    return store


@contextmanager
def _alone(network: PreTrainedModel) -> Iterator[None]:
    """The network for this thread alone, without gradients and with dropout off."""
    with _lock(network), torch.inference_mode():
        # Setting modes takes as long as a small encoder's pass over one pair: only where one is not as it must be.
        if not any(module.training for module in modules_of(network)):
            yield
            return
        was_training = network.training
        network.eval()
        try:
            yield
        finally:
            network.train(was_training)


def _lock(network: PreTrainedModel) -> threading.RLock:
    with _making:
        if network not in _locks:
            _locks[network] = threading.RLock()
        return _locks[network]

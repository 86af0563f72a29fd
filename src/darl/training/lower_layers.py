"""Lower layers that stay frozen run once: what they give for each training token is kept for every epoch.

A layer that neither learns nor drops anything gives a token the same numbers in each step. So the first step takes all
training pairs through the frozen layers, packed as in scoring (a prefix that pairs share is kept once), and from then
on a step begins above them. Gradients are the same; what is saved is the frozen share of each further forward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from darl.model.encoding import EncodedPairs
from darl.model.inference.packed import PackPass, is_causal, run_body
from darl.model.inference.packs import Pack, make_packs
from darl.model.inference.run import default_budget

MOST_BYTES = 2 * 2**30
"""States of more than this are not kept: the frozen layers then run in each step."""


def layer_stack(network: PreTrainedModel) -> nn.ModuleList | None:
    """The layers of a network's body from the lowest up, or None where darl does not find them."""
    body = getattr(network, network.base_model_prefix, network)
    for name in ("layers", "encoder.layer", "transformer.layer", "h", "layer"):
        try:
            found = body.get_submodule(name)
        except AttributeError:
            continue
        return found if isinstance(found, nn.ModuleList) else None
    return None


def lower_layers(network: PreTrainedModel, encoded: EncodedPairs, count: int) -> LowerLayers | None:
    """What keeps the states above ``count`` frozen layers, or None where that cannot be or would take too much room."""
    stack = layer_stack(network)
    if stack is None or not 0 < count < len(stack):
        return None
    width = network.config.get_text_config().hidden_size
    fits = int(encoded.lengths.sum()) * width * 4 <= MOST_BYTES  # shared prefixes need less
    return LowerLayers(network, encoded, count) if fits else None


class LowerLayers:
    """The states above the frozen layers, for each token of n training pairs.

    Args:
        network: whose ``count`` lowest layers and embeddings do not learn and have no dropout.
        encoded: the n training pairs.
        count: at least 1, fewer than the network has.
    """

    def __init__(self, network: PreTrainedModel, encoded: EncodedPairs, count: int) -> None:
        stack = layer_stack(network)
        assert stack is not None
        assert 0 < count < len(stack)
        self.network, self.encoded = network, encoded
        self.layers = list(stack[:count])
        self._states: torch.Tensor | None = None  # (D, d), one row a distinct token
        self._of_token = np.zeros(0, dtype=np.int64)  # which of them each token of each pair has, one after another
        self._begin = np.cumsum(encoded.lengths) - encoded.lengths

    def above(self, rows: np.ndarray) -> PackPass:
        """A pass of a pack of training pairs ``rows`` that begins above the frozen layers."""

        @contextmanager
        def begin(pack: Pack) -> Iterator[None]:
            if self._states is None:
                self._run()
            assert self._states is not None
            pair = np.empty(len(pack.lengths), dtype=np.int64)  # one that each distinct row of the pack answers
            pair[pack.answer] = rows[pack.pairs]
            at = self._of_token[self._begin[pair[pack.tree.row]] + pack.tree.offset]
            states = self._states[torch.from_numpy(at).to(self._states.device)].unsqueeze(0)
            with ExitStack() as stack:
                for layer in self.layers[:-1]:
                    stack.enter_context(_giving(layer, None))
                stack.enter_context(_giving(self.layers[-1], states))
                yield

        return begin

    @torch.no_grad()
    def _run(self) -> None:
        """All training pairs through the frozen layers."""
        found, distinct = [], 0
        self._of_token = np.zeros(int(self.encoded.lengths.sum()), dtype=np.int64)
        for pack in make_packs(self.encoded, default_budget(self.network), share=is_causal(self.network)):
            with _ending_at(self.layers[-1]) as caught:
                run_body(self.network, pack)
            found.append(caught[0][0].clone())
            for back in range(int(pack.lengths.max())):  # every row's token `back`, the rows that have one
                has = np.flatnonzero(pack.lengths[pack.answer] > back)
                at = pack.tree.locate(np.minimum(back, pack.lengths - 1))[pack.answer[has]]
                self._of_token[self._begin[pack.pairs[has]] + back] = distinct + at
            distinct += len(pack.tree)
        self._states = torch.cat(found)


class _DoneError(Exception):
    """The frozen layers are through; the others need not run."""


@contextmanager
def _ending_at(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Within the block a pass ends behind ``layer``, and what it gave is in the list."""
    caught: list[torch.Tensor] = []

    def catch(_module: object, _args: object, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        raise _DoneError

    hook = layer.register_forward_hook(catch)
    try:
        yield caught
    except _DoneError:
        pass
    finally:
        hook.remove()


@contextmanager
def _giving(layer: nn.Module, states: torch.Tensor | None) -> Iterator[None]:
    """Within the block a layer gives ``states``, or what it was given, and computes nothing."""

    def forward(hidden_states: torch.Tensor, *_args: Any, **_options: Any) -> torch.Tensor:
        return hidden_states if states is None else states

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward

"""One pack through a network: a single row of distinct tokens, read where each pair ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from darl.model.encoding import EncodedPairs
from darl.model.head import head_name, head_of
from darl.model.inference.attention import Layout, PackingError, make_layout, packed_attention
from darl.model.inference.kept import KeptPrefixes
from darl.model.inference.laid_out import tokens_to_run
from darl.model.inference.last_layer import (
    last_attention,
    last_feed_forward,
    of_this_thread,
    read_starts_alone,
    run_at_places,
)
from darl.model.inference.lean import lean_modules
from darl.model.inference.modules import modules_of
from darl.model.inference.packs import Pack, make_packs
from darl.model.inference.prefix_tree import PrefixTree
from darl.model.inference.reading import Read, Wanted, is_last_layer
from darl.model.inference.side_by_side import can_run_side_by_side, cut_for_threads, side_by_side


def read_packed(
    network: PreTrainedModel,
    encoded: EncodedPairs,
    wanted: Wanted,
    budget: int,
    *,
    share: bool = True,
    kept: KeptPrefixes | None = None,
) -> Iterator[tuple[np.ndarray, Read]]:
    """(row numbers, what was read) for each pack of at most ``budget`` distinct tokens.

    Args:
        share: prefixes that pairs have in common stand once, where the network is causal.
        kept: prefixes known from earlier calls, and where to keep new ones; for a network of which
            :func:`~darl.model.inference.support.why_not_kept` is None, without gradients. Not used where states of
            a layer are wanted, which may be those of any token.

    Raises:
        PackingError: the network's attention does something that packing cannot follow.
    """
    causal = is_causal(network)
    if wanted.layer is not None or not wanted.head or not causal or not share:
        kept = None

    def make(tokens: int) -> Iterator[Pack]:
        return make_packs(encoded, tokens, share=causal and share, kept=kept)

    for pack, read in _read_packs(network, make, budget, wanted, causal, kept):
        answer = torch.from_numpy(pack.answer).to(network.device)
        yield pack.pairs, Read(*(None if x is None else x[answer] for x in (read.logits, read.inputs, read.pooled)))


def _read_packs(
    network: PreTrainedModel,
    make: Callable[[int], Iterator[Pack]],
    budget: int,
    wanted: Wanted,
    causal: bool,
    kept: KeptPrefixes | None,
) -> Iterator[tuple[Pack, Read]]:
    """Every pack and what was read, one after the other, or on a CPU side by side where there are enough of them."""
    if kept is None and can_run_side_by_side(network.device, network.dtype):
        packs = cut_for_threads(make, lambda pack: len(pack.tree), budget)
        if (first := next(packs, None)) is not None:
            with packed_attention(network, None), lean_modules(network):  # each pack's own: before, and after, these
                yield from side_by_side(chain([first], packs), lambda pack: _read_pack(network, pack, wanted, causal))
            return
    for pack in make(budget):
        yield pack, _read_pack(network, pack, wanted, causal, kept)


PackPass = Callable[[Pack], AbstractContextManager[None]]
"""Something that holds while a pack goes through a network."""


def packed_logits(network: PreTrainedModel, encoded: EncodedPairs, *, within: PackPass | None = None) -> torch.Tensor:
    """Logits of all pairs in one pack, (n, K) in their order, with gradients where these are on.

    Args:
        within: is entered with the pack while it goes through the network.

    Raises:
        PackingError: as :func:`read_packed`.
    """
    causal = is_causal(network)
    (pack,) = make_packs(encoded, 2**62, share=causal)
    with within(pack) if within else nullcontext():
        read = _read_pack(network, pack, Wanted(), causal)
    assert read.logits is not None
    answer = np.empty(len(encoded), dtype=np.int64)
    answer[pack.pairs] = pack.answer
    return read.logits[_tensor(answer, network.device)]


def packed_states(network: PreTrainedModel, encoded: EncodedPairs, last: np.ndarray) -> torch.Tensor:
    """Last-layer states of each pair's last ``last[i]`` tokens, (Σ last, d), pair by pair and in reading order.

    With gradients where these are on.

    Raises:
        PackingError: as :func:`read_packed`.
    """
    (pack,) = make_packs(encoded, 2**62, share=is_causal(network))
    states = run_body(network, pack).last_hidden_state[0]
    answer = np.empty(len(encoded), dtype=np.int64)
    answer[pack.pairs] = pack.answer
    back = np.arange(int(last.max()))  # the token itself, the one before it, …
    at = np.stack([pack.tree.locate(np.maximum(pack.lengths - 1 - b, 0))[answer] for b in back[::-1]], axis=1)
    return states[_tensor(at[back[::-1] < last[:, None]], network.device)]


def run_body(network: PreTrainedModel, pack: Pack) -> Any:
    """A pack through a network's body alone, with gradients where these are on: what transformers gives."""
    causal, body, device = is_causal(network), body_of(network), network.device
    inputs: dict[str, Any] = {name: _tensor(values, device).unsqueeze(0) for name, values in pack.fields.items()}
    inputs["position_ids"] = _tensor(_positions(body, pack), device).unsqueeze(0)
    layout = make_layout(pack.tree, causal=causal, device=device, dtype=network.dtype)
    with packed_attention(network, layout):
        return body(**inputs, **({"use_cache": False} if causal else {}))


def is_causal(network: PreTrainedModel) -> bool:
    """Whether a token sees only those before it.

    Raises:
        PackingError: the attention does not say.
    """
    if getattr(network.config.get_text_config(), "is_causal", True) is False:
        return False
    for module in modules_of(network):
        if isinstance(found := getattr(module, "is_causal", None), bool):
            return found
    raise PackingError("the attention does not say whether it is causal")


def _read_pack(
    network: PreTrainedModel, pack: Pack, wanted: Wanted, causal: bool, kept: KeptPrefixes | None = None
) -> Read:
    body = body_of(network)
    tree, device = pack.tree, network.device
    run = tokens_to_run(body, len(tree))
    fields = pack.fields | {"position_ids": _positions(body, pack)}
    # tokens beyond the tree's repeat its last; none is looked at, or read
    inputs: dict[str, Any] = {
        name: _tensor(_filled(values, run), device).unsqueeze(0) for name, values in fields.items()
    }
    layout = make_layout(tree, causal=causal, device=device, dtype=network.dtype, run=run)
    layout.known = pack.known
    if pack.new:
        layout.copied = _tensor(np.concatenate([prefix.at for prefix in pack.new]), device)
    early = wanted.layer is not None and not is_last_layer(network, wanted.layer)
    at_end = wanted.head and causal and head_name(network) == "score"
    caught: dict[str, torch.Tensor] = {}
    ends = _tensor(_ends(network, pack) if at_end else _starts(tree), device)
    narrow = None if causal or wanted.layer is not None else last_attention(body)
    end_part = last_feed_forward(body) if at_end and wanted.layer is None else None

    def reshape(_module: object, _args: object, output: Any) -> Any:
        """What the classifier gets: the token that it reads of each pair, as rows of one token."""
        if wanted.layer is not None:
            states = output.hidden_states[wanted.layer] if early else output.last_hidden_state
            caught["pooled"] = _pooled(states[0, : len(tree)], pack, wanted.pooling)
        read = output.last_hidden_state[0] if narrow is not None else output.last_hidden_state[0, ends]
        output.last_hidden_state = read.unsqueeze(1)  # (m, 1, d)
        if getattr(output, "pooler_output", None) is not None:
            output.pooler_output = body.pooler(output.last_hidden_state)  # type: ignore[operator]
        return output

    def catch(_module: object, args: tuple) -> None:
        caught["inputs"] = args[0]

    hooks = [body.register_forward_hook(of_this_thread(reshape))]
    if narrow is not None:
        hooks += read_starts_alone(narrow, layout, ends)
    if end_part is not None:
        hooks += run_at_places(end_part, ends)
    if wanted.head:
        hooks.append(head_of(network).register_forward_pre_hook(of_this_thread(catch)))
    options = {"use_cache": False} if causal else {}
    try:
        with packed_attention(network, layout), lean_modules(network):
            whole = network if wanted.head and not at_end else body
            output = whole(**inputs, **options, output_hidden_states=early)
            if at_end:
                logits = head_of(network)(output.last_hidden_state[:, 0])
            else:
                logits = output.logits if wanted.head else None
    finally:
        for hook in hooks:
            hook.remove()
    if kept is not None:
        _keep(kept, pack, layout)
    return Read(logits, caught.get("inputs"), caught.get("pooled"))


def _filled(values: np.ndarray, run: int) -> np.ndarray:
    """(T,) → (run,), the last repeated."""
    missing = run - len(values)
    return np.concatenate([values, np.repeat(values[-1:], missing)]) if missing else values


def _keep(kept: KeptPrefixes, pack: Pack, layout: Layout) -> None:
    """After a pack: what it took was used, what it computed may be taken."""
    kept.taken += sum(map(len, pack.known))
    kept.computed += len(pack.tree)
    kept.touch(pack.known)
    if pack.new and len({part.shape for part, _ in layout.copies.values()}) == 1:
        layers = [layout.copies[layer] for layer in sorted(layout.copies)]
        keys, values = (torch.stack(parts) for parts in zip(*layers, strict=True))  # (L, w, H_kv, d)
        end = 0
        for prefix in pack.new:
            begin, end = end, end + len(prefix.at)
            kept.add(prefix.ids, prefix.before, keys[:, begin:end], values[:, begin:end])


def body_of(network: PreTrainedModel) -> PreTrainedModel:
    """The backbone's body within a classifier, or the network where it is one itself."""
    return getattr(network, network.base_model_prefix, network)


def _positions(body: PreTrainedModel, pack: Pack) -> np.ndarray:
    """The position that the network gives each token, (T,)."""
    embeddings = getattr(body, "embeddings", None)
    if not hasattr(embeddings, "create_position_ids_from_input_ids"):
        return pack.tree.offset
    # RoBERTa and its kin count from the padding token's number, and leave out tokens that equal it
    padding = int(embeddings.padding_idx)  # type: ignore[union-attr, arg-type]
    counted = (pack.fields["input_ids"] != padding).astype(np.int64)
    total = np.cumsum(counted)
    before = (total - counted)[pack.tree.start][pack.tree.row]
    return (total - before) * counted + padding


def _starts(tree: PrefixTree) -> np.ndarray:
    return tree.locate(np.zeros(len(tree.leaf), dtype=np.int64))


def _ends(network: PreTrainedModel, pack: Pack) -> np.ndarray:
    """The last token of each distinct row that is not the padding token, as transformers' classifiers read it."""
    pad = network.config.get_text_config().pad_token_id
    offsets = pack.lengths - 1
    while True:
        at = pack.tree.locate(offsets)
        padding = (pack.fields["input_ids"][at] == pad) & (offsets > 0)
        if not padding.any():
            return at
        offsets = offsets - padding


def _pooled(states: torch.Tensor, pack: Pack, pooling: str) -> torch.Tensor:
    """(T, d) hidden states → (m, d) float32."""
    tree, device = pack.tree, states.device
    if pooling != "mean":
        at = _starts(tree) if pooling == "first" else tree.locate(pack.lengths - 1)
        return states[_tensor(at, device)].float()
    segment = _tensor(np.repeat(np.arange(len(tree.start)), tree.length), device)
    sums = torch.zeros(len(tree.start), states.shape[1], device=device).index_add_(0, segment, states.float())
    total = torch.from_numpy(tree.row_sums(sums.cpu().numpy())).to(device)
    return total / _tensor(pack.lengths, device).unsqueeze(1)


def _tensor(values: np.ndarray, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(device)

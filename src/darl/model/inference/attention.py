"""Exact attention over a packed tree of rows, for any network that uses transformers' attention interface.

The network runs on one row of T packed tokens, so every matrix product and norm sees distinct tokens only.
Attention alone looks at the tree: for each segment the keys are those of the segments above it and its own.

On a CPU, segments of like size are gathered into small padded blocks, (segments, tokens) × (segments, keys).
Query heads that share a key head are folded into the tokens, so no key is copied for them. On a GPU
:mod:`~darl.model.inference.flex` attends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from darl.model.inference.flex import attend_flex, flex_mask
from darl.model.inference.head_rows import HeadRows, head_rows
from darl.model.inference.kept import KeptPrefix
from darl.model.inference.modules import modules_of
from darl.model.inference.prefix_tree import PrefixTree

NAME = "darl_packed"
# A block ends where its padding would exceed this share of what it holds …
WASTE = 0.25
# … but small ones are not worth a call of their own.
SMALL_BLOCK = 20_000  # products of a query with a key
# Up to here, a head's scores in float32 stay where the processor reads them fast.
FEW_SCORES = 64 * 64
# Keys gathered at a time, which bounds the memory of a block.
MOST_KEYS = 16_384


class PackingError(Exception):
    """The network's attention asks for something that packed attention does not do."""


@dataclass(frozen=True)
class Block:
    """Some segments, gathered and padded: b of them, M tokens and C + M keys each.

    Attributes:
        queries: packed tokens, (b · M,).
        keys: packed tokens, or T + j for a known one, (b · (C + M),), those above a segment right-aligned.
        size: b.
        mask: additive, broadcasting to (b, M, C + M), or None.
    """

    queries: torch.Tensor
    keys: torch.Tensor
    size: int
    mask: torch.Tensor | None


@dataclass
class Layout:
    """How the tokens of a pack see each other, and in which way that is computed.

    Attributes:
        tokens: T, those packed; what runs behind them is neither looked at nor read.
        place: where each token that runs stands among the tokens of all blocks, one block after the other; anywhere,
            behind those packed.
        known: prefixes whose keys and values are not computed but taken, in their order in the tree.
        copied: packed tokens whose keys and values are copied out of every layer, (w,), or None.
        copies: these, by layer: keys and values, (w, H_kv, d) each.
        starts_alone: the layer in which only the first token of each segment asks, or None. What the attention gives
            the others there is zero.
    """

    blocks: list[Block]
    tokens: int = 0
    place: torch.Tensor | None = None
    flex_mask: Any = None
    longest: int = 0
    known: Sequence[KeptPrefix] = ()
    copied: torch.Tensor | None = None
    copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)
    folded: dict[tuple[int, int], torch.Tensor] = field(default_factory=dict)
    rows: dict[tuple[int, int], HeadRows] = field(default_factory=dict)
    starts_alone: int | None = None


_current: ContextVar[Layout | None] = ContextVar("darl_packed_layout", default=None)


def make_layout(
    tree: PrefixTree, *, causal: bool, device: torch.device, dtype: torch.dtype, run: int | None = None
) -> Layout:
    """The layout of a tree: blocks on a CPU, a block mask of ``flex_attention`` on a GPU.

    Args:
        run: tokens that go through the network, where on a CPU it is more than the tree's.
    """
    longest = int((tree.depth + tree.length).max())
    if device.type == "cuda":
        assert not tree.known  # the mask knows packed tokens alone
        return Layout([], len(tree), flex_mask=flex_mask(tree, causal=causal, device=device), longest=longest)
    blocks, place, begin = [], np.zeros(run or len(tree), dtype=np.int64), 0
    for part in _parts(tree):
        blocks.append(_block(tree, part, causal, device, dtype))
        longest_here = int(tree.length[part].max())
        for segment in part:
            start, length = int(tree.start[segment]), int(tree.length[segment])
            place[start : start + length] = np.arange(begin, begin + length)
            begin += longest_here
    return Layout(blocks, len(tree), torch.from_numpy(place).to(device), longest=longest)


@contextmanager
def packed_attention(network: torch.nn.Module, layout: Layout | None) -> Iterator[None]:
    """Within the block the network's attention follows the layout.

    For several threads on one network at a time only within a block of no layout, which lets in those with one.
    """
    configs = {id(c): c for module in modules_of(network) if (c := vars(module).get("config")) is not None}
    before = [(config, config._attn_implementation) for config in configs.values()]
    token = _current.set(layout)
    try:
        for config, _ in before:
            config._attn_implementation = NAME
        yield
    finally:
        for config, name in before:
            config._attn_implementation = name
        _current.reset(token)


def _attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **asked: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: (1, H, T, d) queries, (1, H_kv, T, d) keys → (1, T, H, d)."""
    layout = _current.get()
    if layout is None or attention_mask is not None:
        raise PackingError("no layout")
    for name in ("softcap", "s_aux", "position_bias", "head_mask"):
        if asked.get(name) is not None:
            raise PackingError(f"attention with {name}")
    if sliding_window is not None and layout.longest > sliding_window:
        raise PackingError("a sliding window")
    scale = float(query.shape[-1] ** -0.5 if scaling is None else scaling)
    if query.dtype != value.dtype:  # under autocast rotary positions leave queries and keys in float32
        query, key = query.to(value.dtype), key.to(value.dtype)
    if layout.flex_mask is not None:
        if dropout:
            raise PackingError("dropout in attention")  # flex_attention has none
        return attend_flex(query, key, value, layout.flex_mask, scale), None
    return _attend_blocks(query, key, value, layout, scale, dropout, getattr(module, "layer_idx", None)), None


AttentionInterface.register(NAME, _attend)


def _attend_blocks(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    layout: Layout,
    scaling: float,
    dropout: float = 0.0,
    layer: int | None = None,
) -> torch.Tensor:
    q, k, v = (states[0].transpose(0, 1).contiguous() for states in (query, key, value))  # (T, H, d)
    if layout.copied is not None or layout.known:
        if layer is None:
            raise PackingError("attention that does not say of which layer it is")
        if layout.copied is not None:
            layout.copies[layer] = k[layout.copied], v[layout.copied]
        k = torch.cat([k[: layout.tokens], *(prefix.keys[layer] for prefix in layout.known)])
        v = torch.cat([v[: layout.tokens], *(prefix.values[layer] for prefix in layout.known)])
    if layer is not None and layer == layout.starts_alone:
        return _attend_starts(q, k, v, layout, scaling, dropout)
    if dropout or torch.is_grad_enabled():
        return _attend_by_token(q, k, v, layout, scaling, dropout)
    return _attend_by_head(q, k, v, layout, scaling)


def _attend_by_token(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, scaling: float, dropout: float
) -> torch.Tensor:
    """Tokens gathered whole, which backwards are added up so: (T, H, d) queries → (1, T, H, d)."""
    assert layout.place is not None
    heads, kv_heads, width = q.shape[1], k.shape[1], v.shape[-1]
    fold = heads // kv_heads
    found = []
    for number, block in enumerate(layout.blocks):
        b, m = block.size, len(block.queries) // block.size
        # A row at a time, which `index_select` copies whole; indexing would go through its numbers one by one.
        q_block = q.index_select(0, block.queries).view(b, m, kv_heads, fold, -1).permute(0, 2, 3, 1, 4)
        k_block, v_block = (
            states.index_select(0, block.keys).view(b, -1, kv_heads, states.shape[-1]).transpose(1, 2)
            for states in (k, v)
        )  # (b, H_kv, C + M, d)
        q_block, mask = q_block.reshape(b, kv_heads, fold * m, -1), _folded_mask(layout, number, fold)
        attended = _attend_block(q_block, k_block, v_block, mask, scaling, dropout)
        rows = attended.view(b, kv_heads, fold, m, width).permute(0, 3, 1, 2, 4)  # (b, m, H_kv, fold, d)
        found.append(rows.reshape(b * m, heads, width))
    return torch.cat(found).index_select(0, layout.place).unsqueeze(0)


def _attend_by_head(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, scaling: float) -> torch.Tensor:
    """Heads gathered on their own, as :mod:`~darl.model.inference.head_rows` says: (T, H, d) queries → (1, T, H, d)."""
    heads, kv_heads, width = q.shape[1], k.shape[1], v.shape[-1]
    rows, fold, found = _rows(layout, heads, kv_heads), heads // kv_heads, []
    for number, (block, queries, keys) in enumerate(zip(layout.blocks, rows.queries, rows.keys, strict=True)):
        b = block.size
        q_block, k_block, v_block = (
            states.view(-1, states.shape[-1]).index_select(0, which).view(b, kv_heads, -1, states.shape[-1])
            for states, which in ((q, queries), (k, keys), (v, keys))
        )
        attended = _attend_block(q_block, k_block, v_block, _folded_mask(layout, number, fold), scaling)
        found.append(attended.reshape(-1, width))
    results = found[0] if len(found) == 1 else torch.cat(found)
    return results.index_select(0, rows.back).view(1, -1, heads, width)


def _attend_starts(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, layout: Layout, scaling: float, dropout: float
) -> torch.Tensor:
    """As :func:`_attend_by_token`, of each segment's first token alone; zero for the others."""
    heads, kv_heads, width = q.shape[1], k.shape[1], v.shape[-1]
    fold, found = heads // kv_heads, q.new_zeros(len(q), heads, width)
    for number, block in enumerate(layout.blocks):
        b = block.size
        starts = block.queries.view(b, -1)[:, 0]
        q_block = q.index_select(0, starts).view(b, kv_heads, fold, -1)
        k_block, v_block = (
            states.index_select(0, block.keys).view(b, -1, kv_heads, states.shape[-1]).transpose(1, 2)
            for states in (k, v)
        )
        attended = _attend_block(q_block, k_block, v_block, _folded_mask(layout, number, fold), scaling, dropout)
        found.index_copy_(0, starts, attended.reshape(b, heads, width))
    return found.unsqueeze(0)


def _attend_block(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
) -> torch.Tensor:
    """softmax(s·Q·Kᵀ + mask)·V of (b, H, M, d) queries, which may be written over."""
    if not dropout and _in_two_is_faster(query, key):
        return _attend_in_two(query, key, value, mask, scaling)
    return scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=dropout, scale=scaling)


def _in_two_is_faster(query: torch.Tensor, key: torch.Tensor) -> bool:
    """Whether two products beat the fused kernel: in half precision 2×, in float32 1.3× while scores are few."""
    if torch.is_grad_enabled():
        return False
    return query.dtype != torch.float32 or query.shape[-2] * key.shape[-2] <= FEW_SCORES


def _attend_in_two(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None, scaling: float
) -> torch.Tensor:
    """softmax(s·Q·Kᵀ + mask)·V by two batched products.

    In half precision scores are rounded before the softmax. Beside what the rest of a network rounds, logits are no
    further from those in float32 (SmolLM2-135M in bfloat16: .0099 on average against .0098).
    """
    scores = torch.matmul(query.mul_(scaling), key.transpose(-1, -2))
    if mask is not None:
        scores += mask
    return torch.matmul(scores.softmax(-1), value)


def _rows(layout: Layout, heads: int, kv_heads: int) -> HeadRows:
    known = layout.rows.get((heads, kv_heads))
    if known is None:
        assert layout.place is not None
        known = layout.rows[heads, kv_heads] = head_rows(layout.blocks, layout.place, heads, kv_heads)
    return known


def _folded_mask(layout: Layout, number: int, fold: int) -> torch.Tensor | None:
    """A block's mask, repeated for the query heads that share a key head, (b or 1, 1, fold · M, C + M)."""
    mask = layout.blocks[number].mask
    if mask is None:
        return None
    known = layout.folded.get((number, fold))
    if known is None:
        known = (mask if mask.shape[1] == 1 else mask.repeat(1, fold, 1)).unsqueeze(1)
        layout.folded[number, fold] = known
    return known


def _parts(tree: PrefixTree) -> Iterator[np.ndarray]:
    """Segments of like length and depth together, as many as padding and memory allow."""
    order = np.lexsort((tree.depth[tree.known :], tree.length[tree.known :]))[::-1] + tree.known
    low, real, most_tokens, most_depth = 0, 0, 0, 0
    for i, segment in enumerate(order):
        length, depth = int(tree.length[segment]), int(tree.depth[segment])
        tokens, above = max(most_tokens, length), max(most_depth, depth)
        count = i + 1 - low
        padded = count * tokens * (above + tokens)
        held = real + length * (depth + length)
        if count > 1 and (count * (above + tokens) > MOST_KEYS or (padded > (1 + WASTE) * held and real > SMALL_BLOCK)):
            yield order[low:i]
            low, held, tokens, above = i, length * (depth + length), length, depth
        real, most_tokens, most_depth = held, tokens, above
    yield order[low:]


def _block(tree: PrefixTree, segments: np.ndarray, causal: bool, device: torch.device, dtype: torch.dtype) -> Block:
    length, depth, start = tree.length[segments], tree.depth[segments], tree.start[segments]
    b, m, c = len(segments), int(length.max()), int(depth.max())
    own = start[:, None] + np.minimum(np.arange(m), length[:, None] - 1)
    above = np.zeros((b, c), dtype=np.int64)
    chains: dict[int, np.ndarray] = {}  # by parent: siblings see the same
    for i, segment in enumerate(segments):
        parent = int(tree.parent[segment])
        if parent < 0:
            continue
        if parent not in chains:
            chains[parent] = tree.path(parent)
        above[i, c - int(depth[i]) :] = chains[parent]
    seen = _seen(length, depth, m, c, causal)
    mask = None
    if seen is not None:
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(~torch.from_numpy(seen), torch.finfo(dtype).min)
        mask = mask.to(device)
    queries, keys = (torch.from_numpy(part.ravel()).to(device) for part in (own, np.concatenate([above, own], axis=1)))
    return Block(queries, keys, b, mask)


def _seen(length: np.ndarray, depth: np.ndarray, m: int, c: int, causal: bool) -> np.ndarray | None:
    """Which keys each token may see, (b or 1, M, C + M) or (b or 1, 1, C + M), or None where all are seen.

    In a causal network a padded key stands behind every real token, so only the triangle matters.
    """
    seen = np.ones((1, 1, c + m), dtype=bool)
    if (depth != c).any():
        seen = np.concatenate([np.arange(c) >= c - depth[:, None], np.ones((len(depth), m), dtype=bool)], axis=1)[
            :, None
        ]
    if causal:
        triangle = np.tril(np.ones((m, c + m), dtype=bool), c)
        return seen & triangle
    if (length != m).any():
        own = np.arange(m) < length[:, None]
        return seen & np.concatenate([np.ones((len(length), c), dtype=bool), own], axis=1)[:, None]
    return None if seen.all() else seen

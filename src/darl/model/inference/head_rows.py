"""A layout's blocks gathered a head of a token at a time: what the batched products take, and what they give, in place.

A row of packed states holds a token's heads one after the other, a batched product wants a head's tokens so. Gathering
whole tokens leaves the product to copy what it was given, and its result to be copied back. A head's row of a token is
32 to 128 numbers: gathering by these costs a tenth more than by tokens, and the copies are saved. Backwards it would
cost twelve times more, so this is for passes without gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


class Gathered(Protocol):
    """What is asked of a block: see :class:`darl.model.inference.attention.Block`."""

    @property
    def queries(self) -> torch.Tensor: ...
    @property
    def keys(self) -> torch.Tensor: ...
    @property
    def size(self) -> int: ...


@dataclass(frozen=True)
class HeadRows:
    """Which rows of (tokens · heads, d) states the blocks hold, and which rows of what they give the tokens hold.

    Attributes:
        queries: of each block, (b · H_kv · fold · M,).
        keys: of each block, (b · H_kv · (C + M),).
        back: rows of the blocks' results one below the other, (T · H,), each token's heads together.
    """

    queries: list[torch.Tensor]
    keys: list[torch.Tensor]
    back: torch.Tensor


def head_rows(blocks: Sequence[Gathered], place: torch.Tensor, heads: int, kv_heads: int) -> HeadRows:
    """The rows for so many heads; ``place`` is where each packed token stands among the tokens of all blocks, (T,)."""
    head, kv_head = torch.arange(heads), torch.arange(kv_heads)
    queries, keys, back, begin = [], [], [], 0
    for block in blocks:
        b, m = block.size, len(block.queries) // block.size
        queries.append((block.queries.view(b, 1, m) * heads + head.view(1, heads, 1)).view(-1))
        keys.append((block.keys.view(b, 1, -1) * kv_heads + kv_head.view(1, kv_heads, 1)).view(-1))
        first = torch.arange(b).view(b, 1, 1) * heads + head.view(1, 1, heads)  # of the head's tokens, by segment
        back.append((begin + first * m + torch.arange(m).view(1, m, 1)).view(b * m, heads))
        begin += b * heads * m
    found = back[0] if len(back) == 1 else torch.cat(back)
    return HeadRows(queries, keys, found.index_select(0, place).view(-1))

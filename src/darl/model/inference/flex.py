"""Attention over a packed tree on a GPU.

``flex_attention`` takes the mask from two numbers a token: k is seen by q where k ≤ q and the subtree of k's segment
ends behind q.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from darl.model.inference.prefix_tree import PrefixTree


def flex_mask(tree: PrefixTree, *, causal: bool, device: torch.device) -> Any:
    """``flex_attention``'s block mask of a tree."""
    from torch.nn.attention.flex_attention import create_block_mask

    segment = np.repeat(np.arange(len(tree.start)), tree.length)
    subtree = tree.start + tree.length  # one past the last token below a segment
    for i in range(len(subtree) - 1, -1, -1):
        if tree.parent[i] >= 0:
            subtree[tree.parent[i]] = max(subtree[tree.parent[i]], subtree[i])
    end = torch.as_tensor(subtree[segment], device=device)
    start = torch.as_tensor(tree.start[segment], device=device)

    def sees(_batch: Any, _head: Any, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        below = (q >= start[k]) & (q < end[k])
        return below & (k <= q) if causal else below

    return create_block_mask(sees, None, None, len(tree), len(tree), device=str(device))


def attend_flex(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, scaling: float) -> torch.Tensor:
    """Attention through a :func:`flex_mask`: (1, H, T, d) queries, (1, H_kv, T, d) keys → (1, T, H, d)."""
    from torch.nn.attention.flex_attention import flex_attention

    attend = _compiled_flex() if query.is_cuda else flex_attention
    found = attend(query, key, value, block_mask=mask, scale=scaling, enable_gqa=query.shape[1] != key.shape[1])
    return found.transpose(1, 2)


def _compiled_flex() -> Any:
    global _flex
    if _flex is None:
        from torch.nn.attention.flex_attention import flex_attention

        _flex = torch.compile(flex_attention, dynamic=True)
    return _flex


_flex: Any = None

"""Packs: pairs cut into groups of at most so many distinct tokens, each laid out as one row for the network."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from darl.model.encoding import EncodedPairs
from darl.model.inference.prefix_tree import LEAST_SAVING, PrefixTree, lone_rows, prefix_tree, shared_tokens


@dataclass(frozen=True)
class Pack:
    """Some distinct pairs, laid out for one forward pass.

    Attributes:
        tree: of the pack's m distinct rows.
        fields: for each model input the value at every packed token, (T,) each.
        lengths: tokens of each distinct row, (m,).
        pairs: the numbers of the pairs that the pack answers, (n,); n > m where pairs are alike.
        answer: which distinct row answers each of them, (n,).
    """

    tree: PrefixTree
    fields: dict[str, np.ndarray]
    lengths: np.ndarray
    pairs: np.ndarray
    answer: np.ndarray


def make_packs(encoded: EncodedPairs, budget: int, *, share: bool) -> Iterator[Pack]:
    """Packs of at most ``budget`` distinct tokens, except where one pair alone has more.

    Pairs that are alike are run once. The order of the packs is free; ``pairs`` says whose they are.

    Args:
        encoded: the pairs.
        budget: distinct tokens a pack may hold.
        share: common prefixes stand once (causal networks); else only equal pairs do, and a pack's rows are
            of like lengths.
    """
    distinct, answer = _distinct(encoded)
    ids = encoded.fields["input_ids"]
    if share:
        rows = [ids[i] for i in distinct]
        shared = shared_tokens(rows)
        # a prefix that is too short to share costs up to LEAST_SAVING − 1 tokens more
        saved = np.maximum(shared - (LEAST_SAVING - 1), 0)
    else:
        distinct, answer = _by_length(encoded.lengths, distinct, answer)
        rows = [ids[i] for i in distinct]
        shared = saved = np.zeros(len(rows), dtype=np.int64)
    lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
    by_row = np.argsort(answer, kind="stable")
    bounds = np.searchsorted(answer[by_row], np.arange(len(rows) + 1))
    for low, high in _cuts(lengths, saved, budget):
        if share:
            here = shared[low:high].copy()
            here[0] = 0
            tree = prefix_tree(rows[low:high], here)
        else:
            tree = lone_rows(lengths[low:high])
        pairs = by_row[bounds[low] : bounds[high]]
        fields = _fields(encoded, distinct[low:high], tree)
        yield Pack(tree, fields, lengths[low:high], pairs, answer[pairs] - low)


def _distinct(encoded: EncodedPairs) -> tuple[np.ndarray, np.ndarray]:
    """The first of each set of equal pairs, in lexicographic order of their tokens, and which one each pair equals."""
    ids, types = encoded.fields["input_ids"], encoded.fields.get("token_type_ids")
    keys = ids if types is None else list(zip(ids, types, strict=True))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    answer = np.zeros(len(keys), dtype=np.int64)
    first: list[int] = []
    for i in order:
        if not first or keys[i] != keys[first[-1]]:
            first.append(i)
        answer[i] = len(first) - 1
    return np.array(first, dtype=np.int64), answer


def _by_length(lengths: np.ndarray, distinct: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows with the longest first."""
    order = np.argsort(-lengths[distinct], kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return distinct[order], place[answer]


def _cuts(lengths: np.ndarray, saved: np.ndarray, budget: int) -> Iterator[tuple[int, int]]:
    """Consecutive rows within the budget, as (from, to)."""
    low, held = 0, 0
    for i in range(len(lengths)):
        cost = int(lengths[i] - saved[i])
        if i > low and held + cost > budget:
            yield low, i
            low, held = i, 0
        held += cost if i > low else int(lengths[i])
    if low < len(lengths):
        yield low, len(lengths)


def _fields(encoded: EncodedPairs, rows: np.ndarray, tree: PrefixTree) -> dict[str, np.ndarray]:
    """Every model input at each packed token; the attention mask is not one of them: nothing is padded."""
    first = np.concatenate([[0], np.cumsum([len(encoded.fields["input_ids"][i]) for i in rows])[:-1]])
    at = first[tree.row] + tree.offset
    return {
        name: np.concatenate([np.asarray(values[i], dtype=np.int64) for i in rows])[at]
        for name, values in encoded.fields.items()
        if name != "attention_mask"
    }

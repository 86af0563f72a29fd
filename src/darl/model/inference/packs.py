"""Packs: pairs cut into groups of at most so many distinct tokens, each laid out as one row for the network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from darl.model.encoding import EncodedPairs
from darl.model.inference.kept import Ids, KeptPrefix, KeptPrefixes
from darl.model.inference.prefix_tree import (
    LEAST_SAVING,
    PrefixTree,
    behind_known,
    lone_rows,
    prefix_tree,
    shared_tokens,
)


@dataclass(frozen=True)
class NewPrefix:
    """A prefix that a pack computes and that may be kept.

    Attributes:
        ids: all of it. before: the prefix in front of its own tokens, () for none.
        at: the packed tokens that are its own, (n,).
    """

    ids: Ids
    before: Ids
    at: np.ndarray


@dataclass(frozen=True)
class Pack:
    """Some distinct pairs, laid out for one forward pass.

    Attributes:
        tree: of the pack's m distinct rows.
        fields: for each model input the value at every packed token, (T,) each.
        lengths: tokens of each distinct row, (m,).
        pairs: the numbers of the pairs that the pack answers, (n,); n > m where pairs are alike.
        answer: which distinct row answers each of them, (n,).
        known: the prefixes that are the tree's known segments.
        new: what may be kept afterwards, a prefix before those that go on from it.
    """

    tree: PrefixTree
    fields: dict[str, np.ndarray]
    lengths: np.ndarray
    pairs: np.ndarray
    answer: np.ndarray
    known: Sequence[KeptPrefix] = ()
    new: Sequence[NewPrefix] = ()


def make_packs(encoded: EncodedPairs, budget: int, *, share: bool, kept: KeptPrefixes | None = None) -> Iterator[Pack]:
    """Packs of at most ``budget`` distinct tokens, except where one pair alone has more.

    Pairs that are alike are run once. The order of the packs is free; ``pairs`` says whose they are.

    Args:
        encoded: the pairs.
        budget: distinct tokens a pack may hold.
        share: common prefixes stand once (causal networks); else only equal pairs do, and a pack's rows are
            of like lengths.
        kept: prefixes that are known from earlier packs; needs ``share``.
    """
    distinct, answer = _distinct(encoded)
    ids = encoded.fields["input_ids"]
    found: list[KeptPrefix | None] = [None] * len(distinct)
    if share and kept is not None:
        found = [kept.find(ids[i], _ends_of_prefixes(encoded, i, kept.padding)) for i in distinct]
        distinct, answer, found = _by_prefix(found, distinct, answer)
    if share:
        rows = [ids[i][len(prefix.ids) if prefix else 0 :] for i, prefix in zip(distinct, found, strict=True)]
        shared = shared_tokens(rows)
        shared[1:][[a is not b for a, b in pairwise(found)]] = 0
        # a prefix that is too short to share costs up to LEAST_SAVING − 1 tokens more
        saved = np.maximum(shared - (LEAST_SAVING - 1), 0)
    else:
        distinct, answer = _reordered(np.argsort(-encoded.lengths[distinct], kind="stable"), distinct, answer)
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
        part, pairs = distinct[low:high], by_row[bounds[low] : bounds[high]]
        known: Sequence[KeptPrefix] = ()
        if any(found[low:high]):
            tree, known = _behind(tree, found[low:high])
        new = _new_prefixes(encoded, part, found[low:high], tree, kept) if share and kept is not None else ()
        fields = _fields(encoded, part, tree)
        yield Pack(tree, fields, encoded.lengths[part], pairs, answer[pairs] - low, known, new)


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


def _reordered(order: np.ndarray, distinct: np.ndarray, answer: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows in another order."""
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


def _ends_of_prefixes(encoded: EncodedPairs, pair: int, padding: int | None) -> list[int]:
    """Where the prefixes of a pair end that may be kept, the prompt's before the query's.

    The token that a classifier reads, a row's last that is no padding, must be computed: it stands behind both.
    """
    if encoded.before_item is None:
        return []
    row, ends = encoded.fields["input_ids"][pair], (encoded.before_query, encoded.before_item[pair])
    last = len(row) - 1
    while last > 0 and row[last] == padding:
        last -= 1
    return [end for end in dict.fromkeys(ends) if 0 < end <= last]


def _by_prefix(
    found: list[KeptPrefix | None], distinct: np.ndarray, answer: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[KeptPrefix | None]]:
    """The distinct rows with those of one kept prefix side by side, else in the order they had."""
    number: dict[KeptPrefix | None, int] = {}
    order = np.argsort([number.setdefault(prefix, len(number)) for prefix in found], kind="stable")
    return *_reordered(order, distinct, answer), [found[i] for i in order]


def _behind(tree: PrefixTree, found: Sequence[KeptPrefix | None]) -> tuple[PrefixTree, list[KeptPrefix]]:
    """The tree of what rows have after their kept prefixes, behind these, and all of these."""
    number: dict[KeptPrefix, int] = {}
    for prefix in dict.fromkeys(found):
        for part in prefix.chain() if prefix else ():
            number.setdefault(part, len(number))
    length = np.array([len(part) for part in number], dtype=np.int64)
    parent = np.array([number[part.before] if part.before else -1 for part in number], dtype=np.int64)
    under = np.array([number[prefix] if prefix else -1 for prefix in found], dtype=np.int64)
    return behind_known(tree, length, parent, under), list(number)


def _new_prefixes(
    encoded: EncodedPairs, rows: np.ndarray, found: Sequence[KeptPrefix | None], tree: PrefixTree, kept: KeptPrefixes
) -> list[NewPrefix]:
    new: dict[Ids, NewPrefix] = {}
    for i, (row, prefix) in enumerate(zip(rows, found, strict=True)):
        ids, before = encoded.fields["input_ids"][row], ()
        for end in _ends_of_prefixes(encoded, row, kept.padding):
            part = tuple(ids[:end])
            if end > (len(prefix.ids) if prefix else 0) and part not in kept and part not in new:
                new[part] = NewPrefix(part, before, tree.path(int(tree.leaf[i]))[len(before) : end])
            before = part
    return list(new.values())

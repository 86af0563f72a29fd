"""PrefixTree: rows of token ids laid out so that a prefix shared by several rows stands once.

A causal network computes for each token something that depends on the tokens before it alone. Rows that
begin with the same tokens (the prompt, then the query, then perhaps the item's first words) can therefore
share these tokens' keys and values. The rows are sorted, and neighbours' common prefixes become the inner
segments of a tree, laid out depth first: a token sees exactly the tokens of its own segment up to itself, and
those of the segments above.

Rows may stand behind segments whose keys and values are known already (kept.py): these come first among the segments,
their tokens after all packed ones, T, T + 1, …, as keys alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Sharing fewer tokens than this does not pay for the segment it makes.
LEAST_SAVING = 8


@dataclass(frozen=True)
class PrefixTree:
    """n rows as S segments of T distinct tokens, depth first.

    Attributes:
        row, offset: packed token t is token ``offset[t]`` of row ``row[t]``, (T,) each.
        start, length: a segment's first packed token and its number of tokens, (S,).
        parent: the segment above, −1 for none, (S,); always less than the segment itself.
        depth: tokens before the segment in each of its rows, (S,).
        leaf: the segment in which each row ends, (n,).
        known: how many of the segments, the first ones, are known: theirs are none of the T tokens.
    """

    row: np.ndarray
    offset: np.ndarray
    start: np.ndarray
    length: np.ndarray
    parent: np.ndarray
    depth: np.ndarray
    leaf: np.ndarray
    known: int = 0

    def __len__(self) -> int:
        return len(self.row)

    def chain(self, segment: int) -> list[int]:
        """The segments above one, outermost first."""
        above: list[int] = []
        while (segment := int(self.parent[segment])) >= 0:
            above.append(segment)
        return above[::-1]

    def path(self, segment: int) -> np.ndarray:
        """The tokens of the segments above one and its own, outermost first."""
        return np.concatenate([self.start[s] + np.arange(self.length[s]) for s in (*self.chain(segment), segment)])

    def locate(self, offsets: np.ndarray) -> np.ndarray:
        """The packed token that is token ``offsets[i]`` of row i, (n,)."""
        segment = self.leaf.copy()
        while (above := offsets < self.depth[segment]).any():
            segment[above] = self.parent[segment[above]]
        return self.start[segment] + offsets - self.depth[segment]

    def row_sums(self, sums: np.ndarray) -> np.ndarray:
        """Sums over each segment's tokens, (S, d) → sums over each row's tokens, (n, d)."""
        total = sums.copy()
        for segment in np.flatnonzero(self.parent >= 0):  # a parent comes before its children
            total[segment] += total[self.parent[segment]]
        return total[self.leaf]


def shared_tokens(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """How many leading tokens each row has in common with the row before it, (n,); the first has 0.

    >>> shared_tokens([[1, 2, 3], [1, 2, 4, 5], [7]]).tolist()
    [0, 2, 0]
    """
    shared = np.zeros(len(rows), dtype=np.int64)
    for i in range(1, len(rows)):
        here, before = rows[i], rows[i - 1]
        most = min(len(here), len(before))
        low = 0
        if most and here[0] == before[0]:
            low, high = 1, most
            while low < high:  # slices compare in C: bisect the length of the common part
                middle = (low + high + 1) // 2
                if here[low:middle] == before[low:middle]:
                    low = middle
                else:
                    high = middle - 1
        shared[i] = low
    return shared


def lone_rows(lengths: np.ndarray) -> PrefixTree:
    """Rows that share nothing, one segment a row; every row has at least one token.

    >>> lone_rows(np.array([2, 1])).offset.tolist()
    [0, 1, 0]
    """
    count, start = len(lengths), np.cumsum(lengths) - lengths
    row = np.repeat(np.arange(count), lengths)
    zeros = np.zeros(count, dtype=np.int64)
    return PrefixTree(
        row, np.arange(len(row)) - start[row], start, lengths, zeros - 1, zeros, np.arange(count, dtype=np.int64)
    )


def prefix_tree(rows: Sequence[Sequence[int]], shared: np.ndarray, least_saving: int = LEAST_SAVING) -> PrefixTree:
    """The tree of sorted rows, none of them empty and no two alike.

    Args:
        rows: token ids, in lexicographic order.
        shared: :func:`shared_tokens` of them.
        least_saving: tokens that an inner segment must save.

    >>> tree = prefix_tree([[1, 2, 3], [1, 2, 4, 5], [7]], np.array([0, 2, 0]), least_saving=2)
    >>> tree.length.tolist(), tree.parent.tolist(), tree.leaf.tolist(), len(tree)
    ([2, 1, 2, 1], [-1, 0, 0, -1], [1, 2, 3], 6)
    """
    segments: list[tuple[int, int, int, int]] = []  # row, from, to, parent
    leaf = np.zeros(len(rows), dtype=np.int64)
    waiting = [(0, len(rows), 0, -1)]  # rows low … high share `depth` tokens, which stand in `parent` and above
    while waiting:
        low, high, depth, parent = waiting.pop()
        if high - low == 1:
            if len(rows[low]) > depth or parent < 0:
                segments.append((low, depth, len(rows[low]), parent))
                parent = len(segments) - 1
            leaf[low] = parent
            continue
        common = int(shared[low + 1 : high].min())
        cuts = [low, *(low + 1 + np.flatnonzero(shared[low + 1 : high] == common)), high]
        if (common - depth) * (high - low - 1) >= least_saving:
            segments.append((low, depth, common, parent))
            parent, depth = len(segments) - 1, common
        waiting += [(int(a), int(b), depth, parent) for a, b in pairwise(cuts)][::-1]
    table = np.array(segments, dtype=np.int64).reshape(-1, 4)
    length = table[:, 2] - table[:, 1]
    start = np.cumsum(length) - length
    segment = np.repeat(np.arange(len(table)), length)
    offset = np.arange(len(segment)) - start[segment] + table[segment, 1]
    return PrefixTree(table[segment, 0], offset, start, length, table[:, 3], table[:, 1], leaf)


def behind_known(tree: PrefixTree, length: np.ndarray, parent: np.ndarray, under: np.ndarray) -> PrefixTree:
    """Rows behind segments that are known already.

    Args:
        tree: of the tokens that the rows have after these, at least one each.
        length, parent: of the k known segments, a parent before what stands below it, (k,) each.
        under: the known segment behind which each row goes on, −1 for none, (n,).

    >>> tree = behind_known(lone_rows(np.array([2, 1])), np.array([5]), np.array([-1]), np.array([0, -1]))
    >>> tree.offset.tolist(), tree.start.tolist(), tree.parent.tolist(), tree.path(1).tolist()
    ([5, 6, 0], [3, 0, 2], [-1, 0, -1], [3, 4, 5, 6, 7, 0, 1])
    """
    count = len(length)
    depth = np.zeros(count, dtype=np.int64)
    for segment in np.flatnonzero(parent >= 0):
        depth[segment] = depth[parent[segment]] + length[parent[segment]]
    before = np.append(depth + length, 0)[under]  # tokens of each row that are known, (n,)
    row = tree.row[tree.start]
    return PrefixTree(
        tree.row,
        tree.offset + before[tree.row],
        np.concatenate([len(tree) + np.cumsum(length) - length, tree.start]),
        np.concatenate([length, tree.length]),
        np.concatenate([parent, np.where(tree.parent < 0, under[row], tree.parent + count)]),
        np.concatenate([depth, tree.depth + before[row]]),
        tree.leaf + count,
        count,
    )

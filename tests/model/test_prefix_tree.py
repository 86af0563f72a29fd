"""PrefixTree and packs: every row can be read off the tree again, and what is shared stands once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.model.encoding import EncodedPairs
from darl.model.inference.packs import make_packs
from darl.model.inference.prefix_tree import behind_known, lone_rows, prefix_tree, shared_tokens
from model_texts import STEADY

ROWS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=12), min_size=1, max_size=25)


def sorted_rows(rows: list[list[int]]) -> list[list[int]]:
    return sorted({tuple(row): row for row in rows}.values())


def read_back(rows: list[list[int]], tree, row: int) -> list[int]:
    """The tokens of a row's segments, outermost first."""
    leaf = int(tree.leaf[row])
    return [
        rows[int(tree.row[t])][int(tree.offset[t])]
        for segment in [*tree.chain(leaf), leaf]
        for t in range(tree.start[segment], tree.start[segment] + tree.length[segment])
    ]


@STEADY
@given(ROWS, st.integers(1, 9))
def test_every_row_is_its_chain_of_segments(rows: list[list[int]], least: int) -> None:
    rows = sorted_rows(rows)
    tree = prefix_tree(rows, shared_tokens(rows), least)
    assert [read_back(rows, tree, i) for i in range(len(rows))] == rows
    assert (tree.parent < np.arange(len(tree.parent))).all()
    assert len(tree) <= sum(map(len, rows))


@STEADY
@given(ROWS)
def test_with_no_least_saving_every_distinct_prefix_stands_once(rows: list[list[int]]) -> None:
    rows = sorted_rows(rows)
    prefixes = {tuple(row[: i + 1]) for row in rows for i in range(len(row))}
    assert len(prefix_tree(rows, shared_tokens(rows), 1)) == len(prefixes)


@STEADY
@given(ROWS, st.data())
def test_a_token_is_found_wherever_it_stands(rows: list[list[int]], data: st.DataObject) -> None:
    rows = sorted_rows(rows)
    tree = prefix_tree(rows, shared_tokens(rows), 2)
    offsets = np.array([data.draw(st.integers(0, len(row) - 1)) for row in rows])
    at = tree.locate(offsets)
    assert [rows[int(tree.row[t])][int(tree.offset[t])] for t in at] == [
        row[offset] for row, offset in zip(rows, offsets, strict=True)
    ]


@STEADY
@given(ROWS)
def test_sums_over_segments_add_up_to_sums_over_rows(rows: list[list[int]]) -> None:
    rows = sorted_rows(rows)
    tree = prefix_tree(rows, shared_tokens(rows), 3)
    values = np.array([rows[int(r)][int(o)] for r, o in zip(tree.row, tree.offset, strict=True)], dtype=np.float64)
    sums = np.add.reduceat(values, tree.start)[:, None]
    assert tree.row_sums(sums)[:, 0].tolist() == [sum(row) for row in rows]


def test_a_row_that_is_the_beginning_of_another_ends_in_an_inner_segment() -> None:
    rows = [[1, 2], [1, 2, 3], [1, 2, 4]]
    tree = prefix_tree(rows, shared_tokens(rows), 2)
    assert tree.leaf.tolist() == [0, 1, 2]
    assert tree.length.tolist() == [2, 1, 1]


def test_deeply_nested_rows_need_no_recursion() -> None:
    rows = [[7] * (i + 1) for i in range(3000)]
    tree = prefix_tree(rows, shared_tokens(rows), 1)
    assert len(tree) == 3000
    assert tree.locate(np.zeros(3000, dtype=np.int64)).tolist() == [0] * 3000


def test_lone_rows_share_nothing() -> None:
    tree = lone_rows(np.array([3, 1, 2]))
    assert tree.start.tolist() == [0, 3, 4]
    assert tree.offset.tolist() == [0, 1, 2, 0, 0, 1]
    assert tree.leaf.tolist() == [0, 1, 2]


@STEADY
@given(ROWS, st.integers(1, 60), st.booleans())
def test_packs_answer_each_pair_once_with_its_own_tokens(rows: list[list[int]], budget: int, share: bool) -> None:
    encoded = EncodedPairs({"input_ids": rows, "attention_mask": [[1] * len(row) for row in rows]})
    seen: list[int] = []
    for pack in make_packs(encoded, budget, share=share):
        assert len(pack.tree) <= budget or len(pack.lengths) == 1
        ids = pack.fields["input_ids"]
        for pair, answer in zip(pack.pairs, pack.answer, strict=True):
            leaf = int(pack.tree.leaf[answer])
            spans = [(pack.tree.start[s], pack.tree.length[s]) for s in [*pack.tree.chain(leaf), leaf]]
            assert np.concatenate([ids[a : a + n] for a, n in spans]).tolist() == rows[pair]
            assert pack.lengths[answer] == len(rows[pair])
        seen += pack.pairs.tolist()
    assert sorted(seen) == list(range(len(rows)))


def test_pairs_that_differ_in_their_token_types_alone_are_not_the_same() -> None:
    fields = {"input_ids": [[1, 2], [1, 2], [1, 2]], "token_type_ids": [[0, 0], [0, 1], [0, 0]]}
    (pack,) = make_packs(EncodedPairs(fields), 100, share=False)
    assert len(pack.lengths) == 2
    answers = dict(zip(pack.pairs.tolist(), pack.answer.tolist(), strict=True))
    assert answers[0] == answers[2] != answers[1]


@pytest.mark.parametrize("share", [True, False])
def test_no_pairs_make_no_pack(share: bool) -> None:
    assert list(make_packs(EncodedPairs({"input_ids": [], "attention_mask": []}), 10, share=share)) == []


@STEADY
@given(ROWS, st.data())
def test_rows_behind_known_segments_are_read_through_them(rows: list[list[int]], data: st.DataObject) -> None:
    known = [[5, 5, 5], [6], [7, 7]]  # the second goes on from the first
    parent = np.array([-1, 0, -1])
    rows = sorted_rows(rows)
    under = np.array([data.draw(st.integers(-1, 2)) for _ in rows], dtype=np.int64)
    order = np.argsort(under, kind="stable")
    rows, under = [rows[i] for i in order], under[order]
    shared = shared_tokens(rows)
    shared[1:][under[1:] != under[:-1]] = 0
    tree = behind_known(prefix_tree(rows, shared, 1), np.array([3, 1, 2]), parent, under)
    front = [[], [5, 5, 5], [5, 5, 5, 6], [7, 7]]
    whole = [front[u + 1] + row for u, row in zip(under, rows, strict=True)]
    tokens = [whole[r][o] for r, o in zip(tree.row, tree.offset, strict=True)] + [t for part in known for t in part]
    assert [[tokens[t] for t in tree.path(int(leaf))] for leaf in tree.leaf] == whole
    last = tree.locate(np.array([len(row) - 1 for row in whole]))
    assert last.tolist() == [tree.path(int(leaf))[-1] for leaf in tree.leaf]
    assert len(tree) == len(tree.row) <= sum(map(len, rows))

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import DataError
from darl.pairs import PairTable

ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b ", "ü", ""]), st.text(max_size=5), st.integers(0, 4)), max_size=30
)


def table_of(rows):
    return PairTable.from_pairs([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


@pytest.fixture
def table():
    return PairTable.from_pairs(
        ["lamp", "Lamp ", "hose"], ["desk", "oil", "garden"], [2, 0, 1], weight=[1, 2, None], domain=["in", "in", "out"]
    )


def test_columns(table):
    assert len(table) == 3
    assert table.queries == ["lamp", "Lamp ", "hose"]
    assert table.items == ["desk", "oil", "garden"]
    assert table.grades.dtype == np.int64
    assert table.grades.tolist() == [2, 0, 1]
    assert table.weights is not None
    assert table.weights.tolist() == [1, 2, 1]
    assert table.column("row") == [1, 2, 3]
    assert table.column_names == ["query", "item", "grade", "weight", "domain", "row", "file"]
    assert table.place(1) == "<memory>:2"


def test_ungraded_tables_say_so(table):
    bare = table.without_grades()
    assert not bare.has_grades
    assert bare.weights is not None
    with pytest.raises(DataError, match="3 of 3 pairs have no grade"):
        _ = bare.grades
    with pytest.raises(DataError, match="1 of 2 pairs have no grade"):
        _ = PairTable.from_pairs(["a", "b"], ["x", "y"], [1, None]).grades


def test_methods_leave_the_table_as_it_is(table):
    before = table.fingerprint()
    table.with_column("grade", [0, 0, 0])
    table.concat(table)
    table.query_groups()[:] = 9
    assert table.fingerprint() == before
    assert table.query_groups().tolist() == [0, 0, 1]


def test_take_and_where_agree(table):
    assert table.take([2, 0]).items == ["garden", "desk"]
    assert table.take([-1]).items == ["garden"]
    assert table.where([True, False, True]).column("row") == [1, 3]
    with pytest.raises(DataError, match="does not fit"):
        table.where([True])


def test_concat_unifies_columns(table):
    other = PairTable.from_rows([{"query": "q", "item": "i", "domain": 7, "brand": "x"}])
    both = table.concat(other, table)
    assert len(both) == 7
    assert both.column("brand") == [None] * 3 + ["x"] + [None] * 3
    assert both.column("domain")[3] == "7"
    assert not both.has_grades
    mixed = table.with_column("n", [1, 2, 3]).concat(table.with_column("n", ["x", "y", "z"]))
    assert mixed.column("n") == ["1", "2", "3", "x", "y", "z"]
    assert both.take([6, 0, 3]).column("file") == ["<memory>"] * 3


@pytest.mark.parametrize(
    "make",
    [
        lambda: PairTable.from_pairs(["a"], ["b", "c"]),
        lambda: PairTable.from_pairs(["a"], [None]),
        lambda: PairTable.from_pairs(["a"], ["b"], ["good"]),
        lambda: PairTable.from_pairs(["a"], ["b"], [1.5]),
        lambda: PairTable.from_rows([{"query": "a"}]),
        lambda: PairTable(pa.table({"query": ["a"]})),
        lambda: PairTable(pa.table({"query": ["a"], "item": pa.array([None], pa.string())})),
        lambda: PairTable(pa.table({"query": ["a"], "item": [["b"]]})),
        lambda: PairTable.from_pairs(["a"], ["b"]).column("c"),
        lambda: PairTable.from_pairs(["a"], ["b"]).with_column("c", [1, 2]),
    ],
)
def test_wrong_data_is_a_data_error(make):
    with pytest.raises(DataError):
        make()


def test_unsafe_text_is_cleaned():
    table = PairTable.from_pairs(["a\0"], ["\ud800"], brand=["\udfff"])
    assert (table.queries, table.items, table.column("brand")) == (["a\ufffd"], ["\ufffd"], ["\ufffd"])


@given(ROWS, st.data())
def test_fingerprint_depends_on_contents_alone(rows, data):
    table = table_of(rows)
    cut = data.draw(st.integers(0, len(rows)))
    halves = table.take(range(cut)).concat(table.take(range(cut, len(rows))))
    assert halves.fingerprint() == table.fingerprint()
    sliced = PairTable(pa.concat_tables([table.arrow.slice(0, cut), table.arrow.slice(cut)]))
    assert sliced.fingerprint() == table.fingerprint()
    assert table.with_column("row", range(len(rows))).fingerprint() == table.fingerprint()


def test_fingerprint_sees_every_difference(table):
    others = [
        table.with_column("query", ["lamp", "Lamp", "hose"]),
        table.with_column("item", ["desko", "il", "garden"]),  # the same bytes, cut elsewhere
        table.with_column("grade", [2, 0, 0]),
        table.with_column("weight", [1, 2, 3]),
        table.take([1, 0, 2]),
        table.take([0, 1]),
        table.without_grades(),
    ]
    assert len({other.fingerprint() for other in [*others, table]}) == len(others) + 1


@given(ROWS)
def test_groups_are_dense_in_order_of_first_occurrence(rows):
    table = table_of(rows)
    groups, names = table.query_groups(), table.query_names()
    assert list(dict.fromkeys(groups.tolist())) == list(range(len(names)))
    assert [names[group] for group in groups] == [row[0].strip().lower() for row in rows]


@given(ROWS, st.integers(0, 40), st.integers(0, 5))
def test_samples(rows, n, seed):
    table = table_of(rows)
    by_pair = table.sample(n, seed)
    assert len(by_pair) == min(n, len(rows))
    assert by_pair.column("row") == sorted(by_pair.column("row"))
    assert by_pair.fingerprint() == table.sample(n, seed).fingerprint()
    by_query = table.sample(n, seed, by="query")
    # Whole queries: no query stands both in the sample and outside it.
    inside = {query.strip().lower() for query in by_query.queries}
    outside = set(range(1, len(rows) + 1)) - set(by_query.column("row"))
    assert not inside & {rows[row - 1][0].strip().lower() for row in outside}
    assert len(by_query) <= n or len(inside) == 1

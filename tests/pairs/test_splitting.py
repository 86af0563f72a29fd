import logging
from datetime import date
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import DataError, EmptySplitError
from darl.pairs import PairTable, normalise_query, split_pairs

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a", "A ", "b", "B", "c", "d", "E", "f", "ß", "SS"]),
        st.sampled_from(["x", "y", "z", None]),
        st.dates(date(2024, 1, 1), date(2024, 12, 31)).map(str),
    ),
    min_size=1,
    max_size=40,
)


def table_of(rows):
    queries, domains, times = zip(*rows, strict=True)
    return PairTable.from_pairs(queries, [f"item {i}" for i in range(len(rows))], domain=domains, time=times)


def check_laws(table, split):
    """Splits are query-disjoint, and every row stands once, in order, in a split or in ``dropped``."""
    splits = split()
    queries = [{normalise_query(query) for query in part.queries} for part in splits.values()]
    assert sum(map(len, queries)) == len(set().union(*queries))
    rows = [part.column("row") for part in (*splits.values(), splits.dropped)]
    assert sorted(chain.from_iterable(rows)) == table.column("row")
    assert all(part == sorted(part) for part in rows)
    again = split()
    assert [part.fingerprint() for part in splits.values()] == [part.fingerprint() for part in again.values()]
    return splits


@given(ROWS, st.integers(0, 9))
def test_laws_of_the_split_by_query(rows, seed):
    table = table_of(rows)
    shares = {"train": 0.5, "test": 0.5}
    if len(table.query_names()) < 2:
        with pytest.raises(EmptySplitError):
            split_pairs(table, shares, seed=seed)
        return
    splits = check_laws(table, lambda: split_pairs(table, shares, seed=seed))
    assert not len(splits.dropped)
    assert abs(len(splits["train"].query_names()) - len(splits["test"].query_names())) <= 1


@given(ROWS, st.sampled_from(["drop", "first"]))
def test_laws_of_the_split_by_domain(rows, straddling):
    table = table_of(rows)

    def split():
        return split_pairs(table, by="domain", domains={"train": ["x"], "far": ["y"]}, straddling=straddling)

    if not {row[1] for row in rows} >= {"x", "y"}:
        with pytest.raises(DataError, match="no pair is of domain"):
            split()
        return
    try:
        splits = check_laws(table, split)
    except EmptySplitError:  # every query of a domain straddles
        return
    assert straddling == "drop" or set(splits.dropped.column("domain")) <= {"z", None}
    if straddling == "drop":
        assert set(splits["train"].column("domain")) == {"x"}
        assert set(splits["far"].column("domain")) == {"y"}


@given(ROWS)
def test_laws_of_the_split_by_time(rows):
    table = table_of(rows)
    cutoffs = {"train": "2024-05-01", "dev": date(2024, 9, 1), "test": None}
    try:
        splits = check_laws(table, lambda: split_pairs(table, by="time", cutoffs=cutoffs))
    except EmptySplitError:
        return
    assert not len(splits.dropped)
    for name, low, high in (("train", "2024-01-01", "2024-05-01"), ("dev", "2024-05-01", "2024-09-01")):
        part, first = splits[name], {}
        for query, time in zip(part.query_groups().tolist(), part.column("time"), strict=True):
            first[query] = min(first.get(query, "9"), time)
        assert all(low <= time < high for time in first.values())


def test_shares_are_of_queries():
    table = PairTable.from_pairs([f"q{i}" for i in range(100)] * 2, [str(i) for i in range(200)])
    splits = split_pairs(table)
    assert {name: len(part) for name, part in splits.items()} == {"train": 160, "dev": 20, "test": 20}


def test_the_draw_does_not_depend_on_the_order_of_rows():
    table = PairTable.from_pairs([f"q{i}" for i in range(50)], ["x"] * 50)
    turned = table.take(np.arange(50)[::-1])
    for seed in (0, 1):
        first, second = split_pairs(table, seed=seed), split_pairs(turned, seed=seed)
        assert all(set(first[name].queries) == set(second[name].queries) for name in first)
    assert split_pairs(table, seed=0)["test"].queries != split_pairs(table, seed=1)["test"].queries


def test_straddling_queries(caplog):
    table = table_of([("a", "x", ""), ("a", "y", ""), ("b", "x", ""), ("c", "y", ""), ("a", "z", "")])
    domains = {"train": ["x"], "far": ["y"]}
    with caplog.at_level(logging.WARNING):
        dropped = split_pairs(table, by="domain", domains=domains)
    assert (dropped["train"].queries, dropped["far"].queries) == (["b"], ["c"])
    assert dropped.dropped.column("row") == [1, 2, 5]
    assert "dropped 3 of 5 pairs" in caplog.text
    first = split_pairs(table, by="domain", domains=domains, straddling="first")
    assert (first["train"].column("row"), first.dropped.column("row")) == ([1, 2, 3], [5])


def test_time_zones_and_late_queries():
    table = PairTable.from_pairs(
        ["a", "b", "c"], ["x", "y", "z"], time=["2024-01-01T00:30:00+01:00", "2024-01-01T00:00:00Z", "2025-01-01"]
    )
    splits = split_pairs(table, by="time", cutoffs={"train": "2024-01-01", "test": "2024-06-01"})
    assert (splits["train"].queries, splits["test"].queries, splits.dropped.queries) == (["a"], ["b"], ["c"])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shares": {"train": 0.5, "test": 0.6}}, "sum to 1"),
        ({"shares": {"train": 1.0, "test": 0.0}}, "positive"),
        ({"by": "size"}, "cannot split by 'size'"),
        ({"by": "domain"}, "needs `domains`"),
        ({"by": "domain", "domains": {"a": ["x"], "b": ["x"]}}, "given to two splits"),
        ({"by": "domain", "domains": {"a": ["x"], "b": ["w"]}}, "no pair is of domain w"),
        ({"by": "domain", "domains": {"a": "x"}}, "must be a list"),
        ({"by": "time"}, "needs `cutoffs`"),
        ({"by": "time", "cutoffs": {"a": "2024-02-01", "b": "2024-01-01"}}, "must increase"),
        ({"by": "time", "cutoffs": {"a": None, "b": "2024-01-01"}}, "must increase"),
        ({"by": "time", "cutoffs": {"a": "soon"}}, "is no time"),
        ({"by": "time", "cutoffs": {"a": None}}, "<memory>:2: this pair's time, 'never', is no time"),
    ],
)
def test_wrong_options_are_named(options, words):
    table = table_of([("a", "x", "2024-01-01"), ("b", "y", "never")])
    with pytest.raises(DataError, match=words):
        split_pairs(table, **options)


def test_missing_column_is_named():
    with pytest.raises(DataError, match="needs a column 'domain'"):
        split_pairs(PairTable.from_pairs(["a"], ["b"]), by="domain", domains={"a": ["x"]})

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darl.errors import LeakError
from darl.pairs import PairTable, check_leaks, drop_leaks, find_leaks, normalise_query, split_pairs

QUERIES = st.lists(st.sampled_from(["a", "A", "b ", "c", "ﬁ", "FI", "ü"]), max_size=12)


def table_of(queries):
    return PairTable.from_pairs(queries, [str(i) for i in range(len(queries))])


def test_a_leak_is_reported_with_both_places():
    train = table_of(["desk lamp", "hose", "desk lamp"]).with_column("file", ["train.csv"] * 3)
    dev, test = table_of(["rake"]), table_of(["x", "Desk  LAMP"]).with_column("file", ["test.csv"] * 2)
    with pytest.raises(LeakError) as caught:
        check_leaks(train, {"dev": dev, "test": test})
    message = str(caught.value)
    assert "test: 1 queries (2 training and 1 evaluation pairs)" in message
    assert "'desk lamp': train.csv:1 and test.csv:2" in message
    assert "dev" not in message


def test_many_leaks_are_counted():
    table = table_of([f"q{i}" for i in range(9)])
    with pytest.raises(LeakError, match="… and 4 more"):
        check_leaks(table, {"test": table})


@given(QUERIES, QUERIES, QUERIES)
def test_masks_follow_the_definition(train, dev, test):
    evaluations = {"dev": table_of(dev), "test": table_of(test)}
    report = find_leaks(table_of(train), evaluations)
    for name, queries in (("dev", dev), ("test", test)):
        asked, trained = {normalise_query(q) for q in queries}, {normalise_query(q) for q in train}
        leak = report.leaks[name]
        assert set(leak.queries) == asked & trained
        assert leak.train_mask.tolist() == [normalise_query(q) in asked for q in train]
        assert leak.evaluation_mask.tolist() == [normalise_query(q) in trained for q in queries]
    kept, dropped = drop_leaks(table_of(train), evaluations)
    assert check_leaks(kept, evaluations).clean
    assert len(kept) + len(dropped) == len(train)
    assert len(dropped) == report.train_mask.sum()


def test_splits_never_leak():
    splits = split_pairs(table_of([f"q{i % 30}" for i in range(90)]))
    assert check_leaks(splits["train"], {"dev": splits["dev"], "test": splits["test"]}).clean


def test_without_evaluations_nothing_leaks():
    table = table_of(["a"])
    kept, dropped = drop_leaks(table, {})
    assert (len(kept), len(dropped)) == (1, 0)
    assert check_leaks(table, {}).clean

"""open_pool: columns by any name, filters, and grades that are gone whatever they are called."""

from __future__ import annotations

import pytest

from darl.dasa.pool import open_pool
from darl.errors import EmptySplitError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "pool.csv"
    path.write_text("ask,title,truth,label,shop\na,lamp,1,2,uk\nb,hose,0,1,de\n", encoding="utf-8")
    return path


def test_grades_are_dropped_under_any_name(file):
    pairs = open_pool(file, columns={"query": "ask", "grade": "truth"}).pairs
    assert (pairs.queries, pairs.items) == (["a", "b"], ["lamp", "hose"])
    assert not {"grade", "label", "truth"} & set(pairs.column_names)


@pytest.mark.parametrize("where", [{"shop": "de"}, {"title": "hose"}, {"item": "hose"}, {"truth": 0}])
def test_a_filter_takes_darls_names_and_the_sources(file, where):
    pool = open_pool(file, columns={"query": "ask", "grade": "truth"}, where=where)
    assert pool.pairs.queries == ["b"]
    assert pool.pairs.place(0).endswith("pool.csv:3")  # the line in the file, header and all
    assert open_pool(pool) is pool


def test_a_filter_that_leaves_nothing_is_named(file):
    with pytest.raises(EmptySplitError, match=r"no pair with .*'fr'"):
        open_pool(file, columns={"query": "ask"}, where={"shop": "fr"})

"""Bodies of every dialect as they are read, without a server: what is refused, and how much that may cost."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from darl.serving.dialects.base import Dialect
from darl.serving.dialects.paths import ENDPOINTS
from darl.serving.limits import parse_json
from darl.serving.refusals import Refusal

DIALECTS = list({dialect.name: dialect for endpoint in ENDPOINTS for dialect in endpoint.dialects}.values())
MOST = 1000
MANY = 100_000


def dialect_named(name: str) -> Dialect:
    return next(dialect for dialect in DIALECTS if dialect.name == name)


def list_names(dialect: Dialect) -> list[str]:
    """Those of its lists that are in the dialect's example."""
    return [name for name in dialect.lists if isinstance(dialect.example.get(name), list)]


def test_every_dialect_names_its_lists() -> None:
    for dialect in DIALECTS:
        assert list_names(dialect), dialect.name


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("entry", [0, {}, [], [0], "a", ["a", "b"]], ids=json.dumps)
def test_a_list_that_is_too_long_is_refused_unread(dialect: Dialect, entry: Any) -> None:
    for name in list_names(dialect):
        with pytest.raises(Refusal) as caught:
            dialect.read(dialect.example | {name: [entry] * (MOST + 1)}, MOST)
        assert caught.value.kind == "too_many"
        assert caught.value.what == "1001 documents, more than the 1000 allowed here"


def test_every_alias_of_a_list_is_counted() -> None:
    score = dialect_named("vllm_score")
    for name in ("queries", "text_1", "data_1", "documents", "text_2", "data_2"):
        with pytest.raises(Refusal, match="1001 documents"):
            score.read({"queries": "a", "documents": "b"} | {name: ["a"] * 1001}, MOST)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        *[
            (dialect.name, dialect.example | {field: [entry] * MANY})
            for dialect in DIALECTS
            for field in list_names(dialect)
            for entry in (0, [0], {"text": []})
        ],
        ("cohere_v2", {"query": "a", "documents": ["b"], "rank_fields": [0] * MANY}),
        ("cohere_v2", {"query": "a", "documents": [{f"k{n}": [] for n in range(MANY)}]}),
        ("tei_predict", {"inputs": [[0] * MANY]}),
        ("tei_predict", {"inputs": [["a"] * MANY]}),
        ("vllm_classify", {"input": [[0] * MANY]}),
    ],
)
def test_a_body_that_is_wrong_throughout_costs_one_error(name: str, body: dict[str, Any]) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Refusal) as caught:
            dialect_named(name).read(body, 10 * MANY)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    assert caught.value.kind == "invalid"


def test_a_lone_pair_is_one_document() -> None:
    ask = dialect_named("tei_predict").read({"inputs": ["a", "b"]}, 1)
    assert (list(ask.queries), list(ask.items)) == (["a"], ["b"])


def test_a_cohere_document_may_have_any_scalars() -> None:
    cohere = dialect_named("cohere_v1")
    document = {"title": "cats", "price": 3, "rate": 0.5, "new": True, "old": None}
    body = {"query": "a", "documents": [document], "rank_fields": ["title", "price"]}
    assert list(cohere.read(body, MOST).items) == ["title: cats\nprice: 3"]
    with pytest.raises(Refusal) as caught:
        cohere.read({"query": "a", "documents": [document | {"rate": [1]}]}, MOST)
    assert str(caught.value.where).startswith("documents[0]")


@pytest.mark.parametrize("name", ["top_n", "nearest"])
@pytest.mark.parametrize("number", ["1" + "0" * 400, "-1" + "0" * 400, "1e308", "0.5", '"1"', "true"])
def test_a_number_of_any_size_is_read_or_refused(name: str, number: str) -> None:
    dialect = dialect_named("darl" if name == "nearest" else "jina")
    data = parse_json(json.dumps(dialect.example | {name: "N"}).replace('"N"', number).encode())
    if name == "top_n" and number in ("1" + "0" * 400, "1e308"):
        top_n = dialect.read(data, MOST).top_n
        assert top_n is not None
        assert [1, 2][:top_n] == [1, 2]
    else:
        with pytest.raises(Refusal) as caught:
            dialect.read(data, MOST)
        assert caught.value.status == 422

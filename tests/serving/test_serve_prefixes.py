"""A served LLM keeps prompts and queries between batches: the same answers, counted, bounded, and off where told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from running_server import RunningServer, serving

from darl.model import RelevanceModel
from darl.serving.loading import keep_prefixes, load_served, prefix_tokens
from darl.serving.metrics import Metrics
from darl.serving.settings import ServeSettings
from small_model import make_small_model

QUERIES = ["travel insurance", "red shoes", "travel insurance", "医疗保险"]
ITEMS = ["yearly cover for two adults", "light shoes", "vet bills", ""]


@pytest.fixture(scope="module")
def served_llm(tiny_decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_model(tiny_decoder, tmp_path_factory.mktemp("served-llm"))


def counted(server: RunningServer, source: str) -> float:
    found = re.search(
        rf'^darl_prefix_tokens_total{{source="{source}"}} (\S+)$', server.client.get("/metrics").text, re.M
    )
    return float(found[1]) if found else 0.0


def probabilities(server: RunningServer, ood: bool = False) -> np.ndarray:
    pairs = [{"query": query, "item": item} for query, item in zip(QUERIES, ITEMS, strict=True)]
    reply = server.post("/v1/relevance", {"pairs": pairs, "ood": ood})
    return np.array([result["grade_probs"] for result in reply.json()["results"]])


def test_a_query_that_comes_again_gets_equal_answers_for_fewer_tokens(served_llm: Path) -> None:
    model = RelevanceModel.from_pretrained(served_llm)
    expected = model.score(queries=QUERIES, items=ITEMS).probabilities
    rest = model.encode(queries=QUERIES, items=ITEMS)
    assert rest.before_item is not None
    with serving(served_llm, "spare=false", "threads=1", "prefix_cache_mb=1") as server:
        for ood in (False, True, False):
            np.testing.assert_allclose(probabilities(server, ood), expected, atol=1e-5)
        taken, computed = counted(server, "kept"), counted(server, "computed")
        assert taken > 0
        np.testing.assert_allclose(probabilities(server), expected, atol=1e-5)
        assert counted(server, "kept") - taken == len(set(_known(model, QUERIES)))
        assert counted(server, "computed") - computed == sum(rest.lengths) - sum(rest.before_item)


def _known(model: RelevanceModel, queries: list[str]) -> list[tuple[int, ...]]:
    """The distinct tokens before the items, each by what stands before it."""
    encoded = model.encode(queries=queries, items=[""] * len(queries))
    assert encoded.before_item is not None
    rows = zip(encoded.fields["input_ids"], encoded.before_item, strict=True)
    return [tuple(row[: i + 1]) for row, end in rows for i in range(end)]


def test_prefix_cache_mb_0_keeps_nothing(served_llm: Path) -> None:
    model = load_served(served_llm, device="cpu", threads=None)
    keep_prefixes(model, 0)
    first = model.score(queries=QUERIES, items=ITEMS).probabilities
    np.testing.assert_array_equal(model.score(queries=QUERIES, items=ITEMS).probabilities, first)
    assert prefix_tokens(model) == (0, 0)


def test_an_encoder_is_served_without(served_model: Path) -> None:
    model = load_served(served_model, device="cpu", threads=None)
    keep_prefixes(model, 256)
    model.score(queries=QUERIES, items=ITEMS)
    assert prefix_tokens(model) == (0, 0)


def test_a_loaded_llm_keeps_what_the_setting_says(served_llm: Path) -> None:
    model = load_served(served_llm, device="cpu", threads=None)
    assert isinstance(model, RelevanceModel)
    assert model.kept_prefixes is None
    keep_prefixes(model, ServeSettings(model=served_llm).prefix_cache_mb)
    assert model.kept_prefixes is not None
    assert model.kept_prefixes.max_bytes == 256 * 2**20


def test_the_metric_counts_both_kinds_of_tokens() -> None:
    metrics = Metrics()
    metrics.note_prefixes(30, 12)
    metrics.note_prefixes(0, 5)
    text = metrics.text().decode()
    assert 'darl_prefix_tokens_total{source="kept"} 30.0' in text
    assert 'darl_prefix_tokens_total{source="computed"} 17.0' in text

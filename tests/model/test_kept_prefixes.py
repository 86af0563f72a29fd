"""Kept prefixes: the same probabilities, fewer tokens through the network, a bounded store."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import ITEMS, QUERIES, make_model
from tiny_networks import DECODERS, OTHERS, tiny_network
from transformers import AutoTokenizer

from darl.errors import ModelError
from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.backbones import Backbone
from darl.model.encoding import EncodedPairs
from darl.model.features import FeatureSpec, head_and_pooled_features
from darl.model.inference.kept import KeptPrefixes
from darl.model.inference.packed import body_of, packed_logits
from darl.model.inference.packs import make_packs
from darl.model.inference.support import why_not_kept
from darl.model.template import PairTemplate, install_template
from model_texts import ANY_PAIRS, ANY_TEXT, STEADY, STEADY_FEW

GUIDE = "good: all that is asked. fair: in part. bad: nothing of it.\nquery:\n{query}\nitem:\n{item}\nrelevant?\n"
BARE = "{query}\n{item}"  # nothing after the item: of an empty one no token is left to compute
MUCH = 2**30
SHOPS = ["red shoes", "", "travel insurance for a family", "医疗保险 " * 60]
THINGS = st.text(max_size=30) | st.sampled_from(["", "<|pad|>", "<|pad|><|pad|>", "vet bills " * 40, "round table"])
BATCHES = st.lists(st.lists(st.tuples(st.sampled_from(SHOPS), THINGS), max_size=6), min_size=1, max_size=4)
FEW = settings(STEADY, max_examples=12)


@pytest.fixture(scope="module")
def make(tiny_decoder: Path) -> Callable[..., RelevanceModel]:
    """A model of an architecture, of its own."""

    def made(kind: str = "llama", template: str = GUIDE) -> RelevanceModel:
        tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
        install_template(tokenizer, PairTemplate.parse(template))
        network, scale = tiny_network(kind, tokenizer), GradeScale(("bad", "fair", "good"))
        return RelevanceModel(network, tokenizer, scale, backbone=Backbone(kind, kind), max_length=96)

    return made


@pytest.fixture(scope="module")
def pairs_of_models(make) -> dict[tuple[str, str], tuple[RelevanceModel, RelevanceModel]]:
    """The same network without and with a store."""

    class Made(dict):
        def __missing__(self, key: tuple[str, str]) -> tuple[RelevanceModel, RelevanceModel]:
            self[key] = make(*key), make(*key)
            return self[key]

    return Made()


@contextmanager
def counted(model: RelevanceModel) -> Iterator[list[int]]:
    """The tokens of each pass through the network's body."""
    counts: list[int] = []

    def count(_module: object, _args: object, inputs: dict) -> None:
        counts.append(inputs["input_ids"].numel())

    hook = body_of(model.network).register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield counts
    finally:
        hook.remove()


def store_of(model: RelevanceModel) -> KeptPrefixes:
    assert model.kept_prefixes is not None
    return model.kept_prefixes


# ------------------------------------------------------------------------------------------ the same numbers


@pytest.mark.parametrize("template", [GUIDE, BARE, "q {query} i {item}"], ids=["guideline", "bare", "no end"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox"])
@FEW
@given(batches=BATCHES, budget=st.sampled_from([1, 60, 4096]), room=st.sampled_from([2_000, 20_000, MUCH]))
def test_probabilities_are_those_without(pairs_of_models, kind: str, template: str, batches, budget, room) -> None:
    plain, keeps = pairs_of_models[kind, template]
    assert keeps.keep_prefixes(room)
    for batch in batches * 2:
        queries, items = [q for q, _ in batch], [i for _, i in batch]
        expected, found = (
            m.score(queries=queries, items=items, tokens_per_batch=budget).probabilities for m in (plain, keeps)
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert store_of(keeps).bytes <= room


@pytest.mark.parametrize("kind", DECODERS)
def test_every_decoder_that_packs_keeps(make, kind: str) -> None:
    model = make(kind)
    queries = ["red shoes"] * 4 + ["travel insurance", "travel insurance", "", "dog"]
    items = ["", "light shoes", "<|pad|>", "light shoes", "vet bills " * 60, "cover", "", "vet"]
    expected = model.score(queries=queries, items=items).probabilities
    assert model.keep_prefixes(MUCH)
    for _ in range(3):
        np.testing.assert_allclose(model.score(queries=queries, items=items).probabilities, expected, atol=1e-5)
    encoded = model.encode(queries=queries, items=items)
    assert encoded.before_item is not None
    of_queries = dict(zip(queries, encoded.before_item, strict=True)).values()
    prompt = encoded.before_query
    assert store_of(model).taken == 2 * (prompt + sum(before - prompt for before in of_queries))
    assert np.ptp(expected, axis=0).max() > 0.01  # the pairs differ at all


def test_one_item_behind_two_known_queries_is_read_behind_each(make) -> None:
    model, queries = make(), ["red shoes", "travel insurance"]
    item = "a round wooden table for four people, yearly cover, vet bills"
    expected = model.score(queries=queries, items=[item, item]).probabilities
    model.keep_prefixes(MUCH)
    model.score(queries=queries, items=["a", "b"])
    found = model.score(queries=queries, items=[item, item]).probabilities
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 1e-3


def test_half_precision_differs_by_its_rounding(make) -> None:
    model = make()
    queries, items = QUERIES * 3, ITEMS * 2 + ["", "vet", "a", "b", "c", "d"]
    exact = model.score(queries=queries, items=items).probabilities
    model.network.to(torch.bfloat16)
    plain = model.score(queries=queries, items=items).probabilities
    model.keep_prefixes(MUCH)
    model.score(queries=QUERIES, items=ITEMS)
    kept = model.score(queries=queries, items=items).probabilities
    assert store_of(model).taken
    assert abs(kept - exact).max() < 1.5 * abs(plain - exact).max() + 1e-3


def test_threads_share_a_store(make) -> None:
    model, found = make(), []
    queries, items = QUERIES * 4, ITEMS * 4
    expected = model.score(queries=queries, items=items).probabilities
    model.keep_prefixes(60_000)  # a few queries' worth: they give way to each other

    def work(first: int) -> None:
        for i in range(first, first + 12):
            rows = [i % len(queries), (i * 5 + 1) % len(queries)]
            scores = model.score(queries=[queries[r] for r in rows], items=[items[r] for r in rows])
            found.append(abs(scores.probabilities - expected[rows]).max())

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 48
    assert max(found) < 1e-5


# ------------------------------------------------------------------------------- what goes through the network


def test_a_query_that_comes_again_costs_its_items_alone(make) -> None:
    model = make()
    model.keep_prefixes(MUCH)
    model.score(queries=["red shoes"], items=["light"])
    encoded = model.encode(queries=["red shoes", "red shoes"], items=["vet bills", "round table"])
    assert encoded.before_item is not None
    rest = sum(encoded.lengths) - sum(encoded.before_item)
    with counted(model) as counts:
        model.logits(encoded)
    assert counts == [rest]
    assert store_of(model).taken == encoded.before_item[0]


def test_a_new_query_does_not_pay_for_the_prompt(make) -> None:
    model = make()
    model.keep_prefixes(MUCH)
    model.score(queries=["red shoes"], items=["light"])
    encoded = model.encode(queries=["dog"], items=["vet bills"])
    with counted(model) as counts:
        model.logits(encoded)
    assert counts == [encoded.lengths[0] - encoded.before_query]
    kept = {prefix.ids: prefix for prefix in store_of(model)}
    assert sorted(len(prefix.chain()) for prefix in kept.values()) == [1, 2, 2]  # the prompt stands once


def test_a_token_stays_to_be_computed_and_it_is_the_one_that_is_read(make) -> None:
    model = make(template=BARE)
    plain = [model.score(queries=["red shoes"], items=[item]).probabilities for item in ("", "<|pad|>")]
    model.keep_prefixes(MUCH)
    model.score(queries=["red shoes"], items=["light"])
    assert len(store_of(model)) == 1
    for item, expected in zip(("", "<|pad|>"), plain, strict=True):
        with counted(model) as counts:
            np.testing.assert_allclose(model.score(queries=["red shoes"], items=[item]).probabilities, expected, 1e-5)
        assert len(counts) == 1
        assert counts[0] >= 1


def test_packs_within_the_budget_count_what_is_computed(make) -> None:
    model = make()
    model.keep_prefixes(MUCH)
    queries, items = ["red shoes"] * 30 + ["dog"] * 30, [f"thing {i}" for i in range(60)]
    encoded = model.encode(queries=queries, items=items)
    model.logits(encoded)
    packs = list(make_packs(encoded, 50, share=True, kept=store_of(model)))
    assert all(len(pack.tree) <= 50 and pack.known for pack in packs)
    assert sorted(np.concatenate([pack.pairs for pack in packs])) == list(range(60))


# --------------------------------------------------------------------------------------------- where it is off


def test_it_is_off_unless_asked_for(make) -> None:
    model = make()
    model.score(queries=["red shoes"], items=["light"])
    assert model.kept_prefixes is None
    model.keep_prefixes(MUCH)
    assert not model.keep_prefixes(0)
    assert model.kept_prefixes is None
    with pytest.raises(ModelError):
        model.keep_prefixes(-1)


def test_encoders_keep_nothing(tiny_encoder: Path) -> None:
    model = make_model(tiny_encoder)
    assert not model.keep_prefixes(MUCH)
    assert model.kept_prefixes is None


@pytest.mark.parametrize("kind", ["mistral, short window", "gemma2, capped logits", "bloom, biased by distance"])
def test_networks_that_do_not_pack_keep_nothing(make, kind: str) -> None:
    assert kind in OTHERS
    assert not make(kind).keep_prefixes(MUCH)


def test_rotary_positions_that_depend_on_the_batch_keep_nothing(make) -> None:
    model = make()
    model.network.model.rotary_emb.rope_type = "dynamic"
    with torch.inference_mode():
        assert "rotary" in str(why_not_kept(model.network, model.encoder))
    assert not model.keep_prefixes(MUCH)


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_pooled_features_go_by_without_it(make, pooling: str) -> None:
    model, spec = make(), FeatureSpec("model", -1, pooling)
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    expected = head_and_pooled_features(model.network, model.encoder, encoded, spec)
    model.keep_prefixes(MUCH)
    model.logits(encoded)
    before = store_of(model).taken, store_of(model).computed
    found = head_and_pooled_features(model.network, model.encoder, encoded, spec)
    assert (store_of(model).taken, store_of(model).computed) == before
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_gradients_and_autocast_go_by_without_it(make) -> None:
    model = make()
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    model.keep_prefixes(MUCH)
    model.logits(encoded)
    before = store_of(model).taken, store_of(model).computed
    packed_logits(model.network, encoded).sum().backward()
    embedding = model.network.get_input_embeddings().weight
    assert embedding.grad is not None
    assert embedding.grad[encoded.fields["input_ids"][0][0]].abs().sum() > 0  # the prompt's first token has one
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model.logits(encoded)
    assert (store_of(model).taken, store_of(model).computed) == before


def stepped(model: RelevanceModel) -> None:
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter.mul_(1.1)


def cast(model: RelevanceModel) -> None:
    model.network.to(torch.float64)


@pytest.mark.parametrize("change", [stepped, cast])
def test_other_weights_see_nothing_of_before(make, change: Callable[[RelevanceModel], None]) -> None:
    model, other = make(), make()
    model.keep_prefixes(MUCH)
    model.score(queries=QUERIES, items=ITEMS)
    change(model)
    change(other)
    found, expected = (m.score(queries=QUERIES, items=ITEMS).probabilities for m in (model, other))
    assert store_of(model).taken == 0
    np.testing.assert_allclose(found, expected, atol=1e-6)


# --------------------------------------------------------------------------------------------------- the store


def states(tokens: int) -> torch.Tensor:
    return torch.zeros(2, tokens, 1, 4)  # 32 bytes a token


def test_those_not_used_for_longest_go_first() -> None:
    store = KeptPrefixes(3 * 2 * 64)
    for number in range(3):
        store.add((number, 0), (), states(2), states(2))
    found = store.find((0, 0, 5), [2])
    assert found is not None
    store.touch(found.chain())
    store.add((3, 0), (), states(2), states(2))
    assert [prefix.ids for prefix in store] == [(2, 0), (0, 0), (3, 0)]
    assert store.bytes == 3 * 2 * 64


def test_a_query_that_was_used_again_outlives_one_that_was_not(make) -> None:
    model = make(template=BARE)
    model.keep_prefixes(MUCH)
    for query in ("red shoes", "fat shoes"):
        model.score(queries=[query], items=["light"])
    store_of(model).max_bytes = store_of(model).bytes  # room for these two
    first, _ = [prefix.ids for prefix in store_of(model)]
    for query in ("red shoes", "dog"):
        model.score(queries=[query], items=["light"])
    assert next(iter(store_of(model))).ids == first


def test_a_prompt_outlives_the_queries_behind_it() -> None:
    store = KeptPrefixes(3 * 64)
    store.add((1,), (), states(1), states(1))
    for number in range(10):
        store.add((1, number), (1,), states(1), states(1))
    assert (1,) in store
    assert len(store) == 3
    assert [prefix.ids for prefix in store if prefix.before] == [(1, 8), (1, 9)]
    found = store.find((1, 8, 4), [1, 2])
    assert found is not None
    store.touch(found.chain())
    for number in (5, 6):  # another prompt drives out the queries first
        store.add((number,), (), states(1), states(1))
    assert [prefix.ids for prefix in store] == [(1,), (5,), (6,)]


def test_what_is_larger_than_the_bound_is_not_kept_and_drives_nothing_out() -> None:
    store = KeptPrefixes(3 * 64)
    store.add((1,), (), states(1), states(1))
    store.add((2, 2, 2, 2), (), states(4), states(4))
    store.add((1, 2, 2, 2), (1,), states(3), states(3))  # fits alone, but not beside what stands in front of it
    store.add((4, 4), (4,), states(1), states(1))  # nothing in front of it
    assert [prefix.ids for prefix in store] == [(1,)]


def test_bytes_are_those_of_the_memory_that_is_held(make) -> None:
    model = make()
    model.keep_prefixes(40_000)
    for number in range(60):
        model.score(queries=[f"query {number % 13}", "dog"], items=["light", "vet bills"])
        store = store_of(model)
        tensors = [tensor for prefix in store for tensor in (prefix.keys, prefix.values)]
        assert store.bytes == sum(tensor.untyped_storage().nbytes() for tensor in tensors) <= 40_000
        assert all(part.ids in store for prefix in store for part in prefix.chain())
    assert len(store) > 2


def test_a_store_too_small_for_one_prefix_stays_empty(make) -> None:
    model = make()
    expected = model.score(queries=QUERIES, items=ITEMS).probabilities
    assert model.keep_prefixes(100)
    for _ in range(2):
        np.testing.assert_allclose(model.score(queries=QUERIES, items=ITEMS).probabilities, expected, atol=1e-6)
    assert len(store_of(model)) == store_of(model).bytes == store_of(model).taken == 0


# ---------------------------------------------------------------------------------------- where the item begins


@STEADY_FEW
@given(pairs=ANY_PAIRS, long=st.booleans(), text=ANY_TEXT)
def test_the_encoder_knows_where_query_and_item_begin(make, pairs, long: bool, text: str) -> None:
    model = make()
    queries = [query * (60 if long else 1) for query, _ in pairs]
    encoded = model.encode(queries=[*queries, text], items=[*(item for _, item in pairs), "a"])
    again = model.encode(queries=[*queries, text], items=["b"] * (len(pairs) + 1))
    assert encoded.before_item is not None
    for row, other, begin in zip(
        encoded.fields["input_ids"], again.fields["input_ids"], encoded.before_item, strict=True
    ):
        assert row[:begin] == other[:begin]  # whatever the item is
        assert encoded.before_query < begin <= len(row)
    (whose,) = {tuple(row[: encoded.before_query]) for row in encoded.fields["input_ids"]}
    assert whose == tuple(model.encode(queries=["x"], items=["y"]).fields["input_ids"][0][: encoded.before_query])
    some = encoded.take([len(pairs), 0])
    assert some.before_item == [encoded.before_item[-1], encoded.before_item[0]]
    assert some.before_query == encoded.before_query


def test_pairs_whose_item_begins_nobody_knows_where_are_scored_as_before(make) -> None:
    model = make()
    model.keep_prefixes(MUCH)
    encoded = EncodedPairs(model.encode(queries=QUERIES, items=ITEMS).fields)
    model.logits(encoded)
    model.logits(encoded)
    assert len(store_of(model)) == store_of(model).taken == 0


# ------------------------------------------------------------------------------------------------ a real model


@pytest.mark.backbone
def test_a_real_llm_scores_alike_with_known_queries(backbone: Callable[[str], Path]) -> None:
    backbone("smollm2-135m")
    model = make_model("smollm2-135m", template=GUIDE)  # type: ignore[arg-type]
    queries, items = QUERIES[:3] * 2, ITEMS[:3] + ITEMS[::-1][:3]
    expected = model.score(queries=queries, items=items).probabilities
    assert model.keep_prefixes(2**28)
    for known in (False, True):
        found = model.score(queries=queries, items=items).probabilities
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert (store_of(model).taken > 0) is known

"""Encoding: what is cut when a pair is too long, texts that break tokenizers, and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import make_model

from darl.errors import ModelError
from darl.model.encoding import EncodedPairs, PairEncoder
from darl.pairs.text import clean_text
from model_texts import ANY_TEXT, HARD, STEADY


def segments(model, query: str, item: str) -> tuple[list[int], list[int]]:
    """The ids of the two texts on their own."""
    ids = model.tokenizer([clean_text(query), clean_text(item)], add_special_tokens=False)["input_ids"]
    return ids[0], ids[1]


def contains(whole: list[int], part: list[int]) -> bool:
    return any(whole[i : i + len(part)] == part for i in range(len(whole) - len(part) + 1))


def test_a_pair_that_fits_is_left_whole(shared_model) -> None:
    pair = ("red shoes", "garden table")
    assert shared_model.encode(queries=[pair[0]], items=[pair[1]]).row(0) == dict(shared_model.tokenizer(*pair))


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@STEADY
@given(query=ANY_TEXT, item=ANY_TEXT.map(lambda text: text * 20))
def test_no_pair_is_longer_than_the_limit(shared_models, kind: str, query: str, item: str) -> None:
    assert shared_models[kind].encode(queries=[query], items=[item]).lengths[0] <= 64


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
@STEADY
@given(query=ANY_TEXT, item=ANY_TEXT.map(lambda text: text * 20))
def test_the_query_stays_whole_while_it_leaves_the_item_a_quarter(shared_models, kind, query: str, item: str) -> None:
    model = shared_models[kind]
    query_ids, _ = segments(model, query, item)
    room = 64 - model.tokenizer.num_special_tokens_to_add(pair=True)
    encoded = model.encode(queries=[query], items=[item]).fields["input_ids"][0]
    if len(query_ids) <= room - room // 4:
        assert contains(encoded, query_ids)
    else:
        assert len(encoded) > room // 2


def test_a_very_long_query_leaves_the_item_its_quarter(shared_model) -> None:
    query, item = "red shoes " * 5000, "garden table " * 5000
    room = 64 - shared_model.tokenizer.num_special_tokens_to_add(pair=True)
    query_ids, item_ids = segments(shared_model, query, item)
    encoded = shared_model.encode(queries=[query], items=[item]).fields["input_ids"][0]
    assert len(encoded) == 64
    assert contains(encoded, query_ids[: room - room // 4 - 1])
    assert contains(encoded, item_ids[: room // 4])


def test_a_short_item_stays_whole_beside_a_very_long_query(shared_model) -> None:
    _, item_ids = segments(shared_model, "", "garden table")
    encoded = shared_model.encode(queries=["red shoes " * 500], items=["garden table"]).fields["input_ids"][0]
    assert contains(encoded, item_ids)


def test_the_suffix_is_never_cut(shared_models) -> None:
    model = shared_models["decoder"]
    suffix = model.tokenizer("", "")["input_ids"][-4:]
    assert model.encode(queries=["red " * 500], items=["table " * 500]).fields["input_ids"][0][-4:] == suffix


@pytest.mark.parametrize("spare", [2, 3, 4, 5, 7])
def test_a_tiny_limit_still_encodes_any_pair(tiny_backbone: Path, spare: int) -> None:
    tokenizer = make_model(tiny_backbone).tokenizer
    limit = tokenizer.num_special_tokens_to_add(pair=True) + spare
    encoded = PairEncoder(tokenizer, limit).encode(["", "red", "red " * 9], ["table " * 9, "", "table " * 9])
    assert encoded.lengths.max() == limit


def test_a_limit_without_room_for_texts_is_refused(tiny_backbone: Path) -> None:
    fixed = make_model(tiny_backbone).tokenizer.num_special_tokens_to_add(pair=True)
    with pytest.raises(ModelError, match=f"the template alone takes {fixed} tokens"):
        make_model(tiny_backbone, max_length=fixed + 1)


def test_the_limit_is_lowered_to_the_positions_of_the_network(tiny_encoder: Path) -> None:
    with pytest.warns(UserWarning, match="lowered to 128"):
        model = make_model(tiny_encoder, max_length=1000)
    assert model.score(queries=["red"], items=["garden table " * 900]).probabilities.shape == (1, 3)


def test_a_characters_expansion_does_not_cut_the_item_away(tiny_decoder: Path) -> None:
    from tokenizers import normalizers

    tokenizer = make_model(tiny_decoder).tokenizer
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    encoded = PairEncoder(tokenizer, 64).encode(["\ufdfa" * 10], ["garden table " * 50])
    item = tokenizer("garden table garden table", add_special_tokens=False)["input_ids"]
    assert encoded.lengths[0] == 64
    assert contains(encoded.fields["input_ids"][0], item)


@pytest.mark.parametrize("text", HARD)
def test_a_hard_text_on_either_side_is_encoded(shared_model, text: str) -> None:
    encoded = shared_model.encode(queries=[text, "red"], items=["table", text])
    assert (encoded.lengths > 0).all()


def test_equal_queries_are_encoded_equally(shared_model) -> None:
    encoded = shared_model.encode(queries=["red " * 99, "x", "red " * 99], items=["table"] * 3)
    assert encoded.row(0) == encoded.row(2)


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_many_pairs_are_encoded_some_at_a_time_to_the_same(shared_models, kind: str, monkeypatch) -> None:
    texts = {
        "queries": [f"red shoes {i // 3}" for i in range(10)],
        "items": [f"{'garden ' * i}table" for i in range(10)],
    }
    whole = shared_models[kind].encode(**texts)
    monkeypatch.setattr("darl.model.encoding.PAIRS_AT_A_TIME", 4)
    assert shared_models[kind].encode(**texts) == whole


@pytest.mark.parametrize("kind", ["encoder", "decoder"])
def test_remembered_queries_are_encoded_as_new_ones(shared_models, kind: str, monkeypatch) -> None:
    monkeypatch.setattr("darl.model.encoding.MOST_SEEN", 2)
    model = shared_models[kind]
    encoder = PairEncoder(model.tokenizer, model.max_length)
    for queries in (["mild soap"], ["mild soap", "a lamp"], ["a" * 300], ["a lamp", "tea"], ["milk"], ["mild soap"]):
        items, fresh = ["an item"] * len(queries), PairEncoder(model.tokenizer, model.max_length)
        assert encoder.encode(queries, items) == fresh.encode(queries, items)
        assert len(encoder._seen) <= 4
        assert not any(len(query) == 300 for query in encoder._seen)


def test_no_pairs_make_no_rows(shared_model) -> None:
    encoded = shared_model.encode(queries=[], items=[])
    assert len(encoded) == 0
    assert list(shared_model.encoder.batches(encoded)) == []


def test_arrays_of_texts_are_fine(shared_model) -> None:
    queries, items = np.array(["red", "dog"]), np.array(["shoes", "vet"])
    assert len(shared_model.encode(queries=queries, items=items)) == 2


@pytest.mark.parametrize(
    ("queries", "items", "words"),
    [
        ("red", "dog", "one query given"),
        (["red"], "d", "one item given"),
        (["red", None], ["a", "b"], "query 1 is None"),
        (["red"], [float("nan")], "item 0 is nan"),
        (["red"], ["a", "b"], "as many queries as items"),
        (None, ["a"], "as many queries as items"),
    ],
)
def test_what_is_no_list_of_texts_is_named(shared_models, queries, items, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        shared_models["encoder"].encode(queries=queries, items=items)


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=30)


def rows_of_lengths(lengths: list[int]) -> EncodedPairs:
    """Row i holds the id i + 5, as often as it is long."""
    ids = [[i + 5] * length for i, length in enumerate(lengths)]
    return EncodedPairs({"input_ids": ids, "attention_mask": [[1] * length for length in lengths]})


@STEADY
@given(lengths=LENGTHS, budget=st.integers(0, 200))
def test_batches_hold_every_row_once(shared_models, lengths: list[int], budget: int) -> None:
    batches = list(shared_models["decoder"].encoder.batches(rows_of_lengths(lengths), budget))
    assert sorted(np.concatenate([rows for rows, _ in batches]).tolist()) == list(range(len(lengths)))


@STEADY
@given(lengths=LENGTHS, budget=st.integers(0, 200))
def test_batches_keep_to_the_token_budget(shared_models, lengths: list[int], budget: int) -> None:
    for rows, batch in shared_models["decoder"].encoder.batches(rows_of_lengths(lengths), budget):
        assert len(rows) == 1 or batch["input_ids"].numel() <= budget


@STEADY
@given(lengths=LENGTHS, budget=st.integers(0, 200))
def test_batches_pad_on_the_right_and_mask_it(shared_models, lengths: list[int], budget: int) -> None:
    for rows, batch in shared_models["decoder"].encoder.batches(rows_of_lengths(lengths), budget):
        for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=True):
            assert mask.tolist() == [1] * lengths[row] + [0] * (len(mask) - lengths[row])
            assert ids[: lengths[row]].tolist() == [row + 5] * lengths[row]

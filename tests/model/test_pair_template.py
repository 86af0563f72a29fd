"""The template: what it accepts, the ids it makes, and that it travels with the tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from transformers import AutoTokenizer

from darl.errors import RecipeError
from darl.model.backbones import load_tokenizer, resolve_backbone
from darl.model.template import DECODER_TEMPLATE, PairTemplate, install_template
from darl.pairs.text import clean_text
from model_texts import ANY_TEXT, STEADY

TEMPLATE = PairTemplate.parse("query: {query} item: {item} relevant?")


def tokenizer_of(folder: Path):
    return load_tokenizer(resolve_backbone(str(folder)))


def ids_of(tokenizer, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.fixture(scope="module")
def templated(tiny_decoder: Path, tiny_encoder: Path):
    made = {}
    for kind, folder in (("decoder", tiny_decoder), ("encoder", tiny_encoder)):
        made[kind] = tokenizer_of(folder)
        install_template(made[kind], TEMPLATE)
    return made


def test_parse_keeps_every_character_around_the_slots() -> None:
    assert PairTemplate.parse(" a\n{query}\tb {item}c ") == PairTemplate(" a\n", "\tb ", "c ")


def test_text_and_parse_are_inverse() -> None:
    assert str(PairTemplate.parse(DECODER_TEMPLATE)) == DECODER_TEMPLATE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no slots",
        "{query}",
        "{item}",
        "{item} {query}",
        "{query} {query} {item}",
        "{query} {item} {item}",
        "{query} {brand} {item}",
        "{query} {} {item}",
        "{Query} {Item}",
        "\ud800 {query} {item}",
        "{query} {item}\x00",
        None,
        7,
    ],
)
def test_a_bad_template_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RecipeError, match="template") as caught:
        PairTemplate.parse(text)
    assert "{query}" in (caught.value.mend or "")


@STEADY
@given(query=ANY_TEXT, item=ANY_TEXT)
@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_a_pair_is_its_five_segments(templated, kind: str, query: str, item: str) -> None:
    tokenizer, query, item = templated[kind], clean_text(query), clean_text(item)
    start = {"decoder": [], "encoder": [tokenizer.cls_token_id]}[kind]
    expected = [
        *start,
        *ids_of(tokenizer, "query: "),
        *ids_of(tokenizer, query),
        *ids_of(tokenizer, " item: "),
        *ids_of(tokenizer, item),
        *ids_of(tokenizer, " relevant?"),
    ]
    assert tokenizer(query, item)["input_ids"] == expected


@pytest.mark.parametrize("kind", ["decoder", "encoder"])
def test_the_template_survives_saving(templated, kind: str, tmp_path: Path) -> None:
    templated[kind].save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    pair = ("red shoes", "garden table 医疗")
    assert again(*pair)["input_ids"] == templated[kind](*pair)["input_ids"]


def test_a_lone_text_is_a_pair_with_an_empty_item(templated) -> None:
    tokenizer = templated["decoder"]
    in_a_batch = tokenizer(["red shoes"], [""])["input_ids"][0]
    assert tokenizer("red shoes")["input_ids"] == tokenizer("red shoes", "")["input_ids"] == in_a_batch


def test_the_fixed_tokens_are_counted(templated) -> None:
    tokenizer = templated["decoder"]
    assert tokenizer.num_special_tokens_to_add(pair=True) == len(tokenizer("", "")["input_ids"])


def test_the_start_token_comes_first(tiny_decoder: Path) -> None:
    tokenizer = tokenizer_of(tiny_decoder)
    tokenizer.bos_token = "<|endoftext|>"
    install_template(tokenizer, TEMPLATE)
    assert tokenizer("a", "b")["input_ids"][0] == tokenizer.bos_token_id


def test_the_start_token_can_be_left_out(tiny_decoder: Path) -> None:
    tokenizer = tokenizer_of(tiny_decoder)
    tokenizer.bos_token = "<|endoftext|>"
    install_template(tokenizer, TEMPLATE, start=False)
    assert tokenizer.bos_token_id not in tokenizer("a", "b")["input_ids"]


def test_a_template_that_writes_the_start_token_gets_no_second(tiny_encoder: Path) -> None:
    tokenizer = tokenizer_of(tiny_encoder)
    install_template(tokenizer, PairTemplate.parse("[CLS]{query}[SEP]{item}[SEP]"))
    assert tokenizer("red", "shoes")["input_ids"].count(tokenizer.cls_token_id) == 1


def test_a_tokenizer_that_pads_to_a_fixed_length_does_not_pad_the_segments(tiny_encoder: Path) -> None:
    tokenizer = tokenizer_of(tiny_encoder)
    tokenizer.backend_tokenizer.enable_padding(length=50, pad_id=tokenizer.pad_token_id)
    tokenizer.backend_tokenizer.enable_truncation(2)
    install_template(tokenizer, TEMPLATE)
    ids = tokenizer("red", "shoes")["input_ids"]
    assert tokenizer.pad_token_id not in ids
    assert ids[-len(ids_of(tokenizer, " relevant?")) :] == ids_of(tokenizer, " relevant?")


def test_a_template_without_any_token_is_refused(tiny_decoder: Path) -> None:
    with pytest.raises(RecipeError, match="no token of its own"):
        install_template(tokenizer_of(tiny_decoder), PairTemplate.parse("{query}{item}"))

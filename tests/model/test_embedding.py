"""Embeddings of single texts: as sentence-transformers makes them, whatever the texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darl.model.backbones import load_body, load_tokenizer, resolve_backbone
from darl.model.embedding import CONVENTIONS, Convention, embed
from darl.model.encoding import PairEncoder
from model_texts import ANY_TEXT, STEADY

TEXTS = ["pet insurance", "vet bills cover for cats and for dogs of any age", "", "pet insurance", "鸡 🐈"]


@pytest.fixture(scope="module")
def parts(tiny_encoder: Path):
    backbone = resolve_backbone(str(tiny_encoder))
    return load_body(backbone).eval(), PairEncoder(load_tokenizer(backbone), 32)


@pytest.mark.parametrize(("pooling", "theirs"), [("mean", "mean"), ("first", "cls")])
def test_they_are_those_of_sentence_transformers(parts, tiny_encoder: Path, pooling: str, theirs: str) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Pooling, Transformer

    body = Transformer(str(tiny_encoder), max_seq_length=32)
    modules = [body, Pooling(body.get_word_embedding_dimension(), pooling_mode=theirs)]
    expected = SentenceTransformer(modules=modules, device="cpu").encode(TEXTS, normalize_embeddings=True)
    assert np.abs(embed(*parts, TEXTS, pooling) - expected).max() < 1e-5


def test_each_distinct_text_is_read_once_and_every_text_has_its_vector(parts) -> None:
    read: list[int] = []
    found = embed(*parts, TEXTS, progress=read.append)
    assert sum(read) == 4
    assert found.shape == (5, 32)
    assert (found[0] == found[3]).all()
    assert embed(*parts, []).shape == (0, 32)


@settings(STEADY, max_examples=25)
@given(st.lists(ANY_TEXT, min_size=1, max_size=5))
def test_any_text_has_a_unit_vector(parts, texts: list[str]) -> None:
    assert np.allclose(np.linalg.norm(embed(*parts, texts), axis=1), 1.0, atol=1e-5)


def test_a_convention_says_what_it_is() -> None:
    assert [one.told() for one in CONVENTIONS] == [
        "mean of tokens",
        "mean of tokens, after 'query: ' and 'passage: '",
        "first token",
    ]
    assert Convention(pooling="last").told() == "last token"

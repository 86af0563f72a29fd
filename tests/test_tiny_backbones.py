"""The tiny backbones load through the Auto classes and tell pairs apart, as the other tests expect."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

PAIRS = [("travel insurance", "pet cover"), ("red shoes", "医疗保险 and zyx, never seen")]


@pytest.mark.parametrize("name", ["tiny_decoder", "tiny_encoder"])
def test_sequence_classification_loads_and_separates_pairs(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=3).eval()
    batch = tokenizer([q for q, _ in PAIRS], [i for _, i in PAIRS], padding=True, return_tensors="pt")
    with torch.inference_mode():
        logits = model(**batch).logits
    assert tokenizer.is_fast
    assert tokenizer.pad_token_id is not None
    assert logits.shape == (2, 3)
    assert torch.isfinite(logits).all()
    assert not torch.allclose(logits[0], logits[1], atol=1e-3)


def test_the_decoder_answers_with_distinct_grade_tokens(tiny_decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
    model = AutoModelForCausalLM.from_pretrained(tiny_decoder)
    first = {tokenizer(f" {word}")["input_ids"][0] for word in ("irrelevant", "weak", "strong")}
    assert len(first) == 3
    assert model.get_output_embeddings().weight.shape == (len(tokenizer), 32)
    text = "any text, 任何文字"
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_the_encoder_marks_the_pair(tiny_encoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder)
    encoded = tokenizer("red shoes", "pet cover")
    tokens = tokenizer.convert_ids_to_tokens(encoded["input_ids"])
    assert tokens[0] == "[CLS]"
    assert tokens.count("[SEP]") == 2
    assert encoded["token_type_ids"][-1] == 1
    assert AutoModel.from_pretrained(tiny_encoder).config.hidden_size == 32

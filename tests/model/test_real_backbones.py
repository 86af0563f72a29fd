"""The embedded backbones themselves: they know their language, and a saved model scores alike in transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from small_models import make_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from darl.model import RelevanceModel
from darl.model.backbones import is_decoder, load_causal_lm, load_tokenizer, resolve_backbone
from darl.model.embedded import EMBEDDED
from darl.model.features import FeatureSpec

pytestmark = pytest.mark.backbone
Fetch = Callable[[str], Path]


@pytest.mark.parametrize("name", EMBEDDED)
def test_transformers_and_a_cross_encoder_score_two_pairs_alike(backbone: Fetch, tmp_path: Path, name: str) -> None:
    queries = ["cat insurance", "running shoes"]
    items = ["Vet fee cover for cats and kittens", "Wooden garden table, seats four"]
    backbone(name)
    model = make_model(name)  # type: ignore[arg-type]
    assert is_decoder(model.backbone) is (EMBEDDED[name].kind == "decoder")
    scores = model.score(queries=queries, items=items)
    assert abs(scores.probabilities[0] - scores.probabilities[1]).max() > 1e-3

    folder = model.save_pretrained(tmp_path / "model")
    batch = AutoTokenizer.from_pretrained(folder)(queries, items, padding=True, return_tensors="pt")
    with torch.inference_mode():
        plain = AutoModelForSequenceClassification.from_pretrained(folder)(**batch).logits.softmax(-1)
    np.testing.assert_allclose(plain.numpy(), scores.probabilities, atol=1e-4)

    # a chat template among the files would have CrossEncoder wrap each pair in a conversation
    encoder = CrossEncoder(str(folder), device="cpu")
    wrapped = encoder.predict(list(zip(queries, items, strict=True)), apply_softmax=True)
    np.testing.assert_allclose(wrapped, scores.probabilities, atol=1e-4)


def similarities(model: RelevanceModel, text: str, others: list[str]) -> np.ndarray:
    """Cosines of mean-pooled texts, centred on no corpus: only their order counts."""
    rows = model.features(model.encode(queries=[text, *others], items=[""] * (1 + len(others))), FeatureSpec())
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[1:] @ rows[0]


@pytest.mark.parametrize(
    ("name", "text", "near", "far"),
    [
        ("minilm-l6", "insurance for my cat", "vet fee cover for pets", "wooden garden table"),
        ("me5-small", "insurance for my cat", "vet fee cover for pets", "wooden garden table"),
        ("me5-small", "宠物保险", "insurance for cats and dogs", "wooden garden table"),
    ],
)
def test_an_encoder_knows_what_is_near(backbone: Fetch, name: str, text: str, near: str, far: str) -> None:
    similar, dissimilar = similarities(make_model(backbone(name)), text, [near, far])
    assert similar > dissimilar


def test_the_decoder_knows_a_capital(backbone: Fetch) -> None:
    found = resolve_backbone(str(backbone("smollm2-135m")))
    tokenizer = load_tokenizer(found)
    with torch.inference_mode():
        batch = tokenizer("The capital of France is", return_tensors="pt")
        answer = load_causal_lm(found)(**batch).logits[0, -1].argmax().item()
    assert tokenizer.decode([answer]).strip() == "Paris"

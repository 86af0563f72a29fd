"""Packed scoring gives the plain way's numbers, on every architecture that can be packed, and knows which cannot."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_networks import DECODERS, ENCODERS, OTHERS, tiny_network
from transformers import AutoTokenizer

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.backbones import Backbone
from darl.model.features import FeatureSpec, head_and_pooled_features
from darl.model.inference import attention
from darl.model.inference.attention import make_layout
from darl.model.inference.flex import attend_flex, flex_mask
from darl.model.inference.last_layer import last_attention
from darl.model.inference.packed import body_of, read_packed
from darl.model.inference.padded import read_padded
from darl.model.inference.prefix_tree import prefix_tree, shared_tokens
from darl.model.inference.reading import Wanted
from darl.model.inference.support import why_not_packed
from darl.model.relevance_model import softmax
from darl.model.template import PairTemplate, install_template
from model_texts import STEADY

GUIDE = "good: all that is asked. fair: in part. bad: nothing of it.\nquery:\n{query}\nitem:\n{item}\nrelevant?\n"
LISTS = st.lists(
    st.tuples(
        st.sampled_from(["red shoes", "", "travel insurance for a family", "医疗保险 " * 30]),
        st.lists(st.text(max_size=40) | st.sampled_from(["", "<|pad|>", "vet bills " * 40, "round table"]), max_size=9),
    ),
    max_size=4,
)

FEW = settings(STEADY, max_examples=12)


@pytest.fixture(scope="module")
def models(tiny_decoder: Path, tiny_encoder: Path) -> dict[str, RelevanceModel]:
    """A model an architecture, made when first asked for."""

    class Made(dict):
        def __missing__(self, kind: str) -> RelevanceModel:
            causal = kind in DECODERS or kind.split(",")[0] in ("mistral", "gemma2", "bloom")
            tokenizer = AutoTokenizer.from_pretrained(tiny_decoder if causal else tiny_encoder)
            if causal:
                install_template(tokenizer, PairTemplate.parse(GUIDE))
            network = tiny_network(kind, tokenizer)
            scale = GradeScale(("bad", "fair", "good"))
            self[kind] = RelevanceModel(network, tokenizer, scale, backbone=Backbone(kind, kind), max_length=96)
            return self[kind]

    return Made()


def texts(lists: list[tuple[str, list[str]]]) -> tuple[list[str], list[str]]:
    return [q for q, items in lists for _ in items], [item for _, items in lists for item in items]


def both_ways(model: RelevanceModel, queries: list[str], items: list[str], budget: int) -> tuple[np.ndarray, ...]:
    encoded = model.encode(queries=queries, items=items)
    found = np.full((2, len(encoded), 3), np.nan)
    with torch.inference_mode():
        for way, reads in enumerate(
            (
                read_padded(model.network, model.encoder, encoded, Wanted(), 4096),
                read_packed(model.network, encoded, Wanted(), budget),
            )
        ):
            for rows, read in reads:
                found[way, rows] = read.logits.numpy()
    return found[0], found[1]


@pytest.mark.parametrize("kind", [*DECODERS, *ENCODERS])
def test_an_architecture_that_can_be_packed_is(models, kind: str) -> None:
    model = models[kind]
    assert why_not_packed(model.network, model.encoder, head=True) is None
    queries = ["red shoes"] * 7 + ["travel insurance", "travel insurance", ""]
    items = ["", "light shoes", "light", "<|pad|>", "[PAD]", "light shoes", "vet bills " * 60, "cover", "", ""]
    plain, packed = both_ways(model, queries, items, 4096)
    np.testing.assert_allclose(packed, plain, atol=2e-5)
    assert np.ptp(plain, axis=0).max() > 0.05  # the pairs differ at all


@pytest.mark.parametrize("kind", ENCODERS)
def test_the_end_of_an_encoders_last_layer_runs_on_what_is_read_alone(models, kind: str) -> None:
    model, seen = models[kind], []
    last = last_attention(body_of(model.network))
    assert last is not None
    layer = body_of(model.network).encoder.layer[-1]
    parts = {"feed-forward": layer.intermediate, "queries": last.self.query, "keys": last.self.key}
    hooks = [
        part.register_forward_hook(lambda _module, _args, out, name=name: seen.append((name, out.shape[1])))
        for name, part in parts.items()
    ]
    try:
        model.score(queries=["red shoes", "cover", "cover"], items=["light shoes", "vet bills", "vet bills"], ood=False)
    finally:
        for hook in hooks:
            hook.remove()
    tokens = dict(seen[-3:])
    assert tokens["queries"] == tokens["feed-forward"] == 2  # of the three pairs two are equal, and run once
    assert tokens["keys"] > 8


@pytest.mark.parametrize("kind", OTHERS)
def test_an_architecture_that_cannot_be_packed_is_found_out_and_still_scored(models, kind: str) -> None:
    model = models[kind]
    assert why_not_packed(model.network, model.encoder, head=True) is not None
    queries, items = ["red shoes"] * 3 + ["dog"], ["light shoes", "", "table for four people", "vet bills"]
    encoded = model.encode(queries=queries, items=items)
    alone = np.concatenate([model.logits(model.encode(queries=[q], items=[i])) for q, i in zip(queries, items)])  # noqa: B905
    np.testing.assert_allclose(model.logits(encoded), alone, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert", "xlm-roberta"])
@FEW
@given(lists=LISTS, budget=st.sampled_from([1, 60, 300, 4096]))
def test_probabilities_equal_those_of_plain_scoring(models, kind: str, lists, budget: int) -> None:
    plain, packed = both_ways(models[kind], *texts(lists), budget)
    assert not np.isnan(packed).any()
    np.testing.assert_allclose(softmax(packed), softmax(plain), atol=1e-5)


def test_a_list_of_thousands_of_items(models) -> None:
    items = [f"light running shoes {'for men ' * (i % 5)} size {i}" for i in range(2500)]
    model = models["llama"]
    found = model.logits(model.encode(queries=["red shoes"] * len(items), items=items))
    some = items[::97]
    plain, _ = both_ways(model, ["red shoes"] * len(some), some, 2048)
    np.testing.assert_allclose(found[::97], plain, atol=2e-5)


@pytest.mark.parametrize("kind", ["llama", "gpt_neox", "bert", "roberta"])
@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
@pytest.mark.parametrize("layer", [0, 1, -1])
def test_pooled_features_equal_the_plain_ones(models, kind: str, pooling: str, layer: int) -> None:
    model = models[kind]
    queries, items = ["red shoes"] * 4 + ["dog"], ["light shoes", "", "<|pad|>", "table " * 70, "vet bills"]
    encoded = model.encode(queries=queries, items=items)
    spec = FeatureSpec("model", layer, pooling)
    inputs, pooled = head_and_pooled_features(model.network, model.encoder, encoded, spec)
    wanted = Wanted(head=True, layer=layer, pooling=pooling)
    with torch.inference_mode():
        for rows, read in read_padded(model.network, model.encoder, encoded, wanted, 50):
            np.testing.assert_allclose(inputs[rows], read.inputs, atol=2e-5)
            np.testing.assert_allclose(pooled[rows], read.pooled, atol=2e-5)


def test_the_networks_attention_is_as_before(models) -> None:
    model = models["llama"]
    before = model.network.config._attn_implementation
    model.score(queries=["red"] * 3, items=["a", "b", "c"])
    assert model.network.config._attn_implementation == before
    with pytest.raises(attention.PackingError):
        attention._attend(model.network, *(torch.zeros(1, 1, 1, 1),) * 3, None)


def test_threads_on_one_model_do_not_disturb_each_other(models) -> None:
    model = models["llama"]
    queries, items = ["red shoes"] * 20, [f"shoe {i}" for i in range(20)]
    expected = model.score(queries=queries, items=items).probabilities
    found: list[np.ndarray] = []

    def work() -> None:
        for _ in range(3):
            found.append(model.score(queries=queries, items=items).probabilities)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    for one in found:
        np.testing.assert_allclose(one, expected, atol=1e-6)


@pytest.mark.parametrize("causal", [True, False])
def test_the_gpus_mask_lets_each_token_see_the_same_as_the_blocks(causal: bool) -> None:
    rows = sorted([[1, 2, 3], [1, 2, 4, 5], [1, 2, 4, 6, 7], [7], [8, 9]])
    tree = prefix_tree(rows, shared_tokens(rows) if causal else np.zeros(5, dtype=np.int64), 1)
    layout = make_layout(tree, causal=causal, device=torch.device("cpu"), dtype=torch.float32)
    torch.manual_seed(0)
    query, key, value = (
        torch.randn(1, 4, len(tree), 8),
        torch.randn(1, 2, len(tree), 8),
        torch.randn(1, 2, len(tree), 8),
    )
    blocks = attention._attend_blocks(query, key, value, layout, 0.3)
    with torch.no_grad():  # gathered otherwise
        np.testing.assert_allclose(attention._attend_blocks(query, key, value, layout, 0.3), blocks, atol=1e-6)
    mask = flex_mask(tree, causal=causal, device=torch.device("cpu"))
    np.testing.assert_allclose(attend_flex(query, key, value, mask, 0.3), blocks, atol=1e-5)

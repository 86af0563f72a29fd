"""Linear layers laid out beforehand: the same numbers for any number of tokens, and only where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_networks import DECODERS, ENCODERS, tiny_network
from torch import nn
from transformers import AutoTokenizer

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.backbones import Backbone
from darl.model.inference import laid_out
from darl.model.inference.laid_out import LaidOutLinear, lay_out_weights, put_back
from darl.serving.loading import lay_out

has_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch computes without MKL here")
QUERIES, ITEMS = ["red shoes"] * 3 + ["dog"], ["light shoes", "", "table for four people " * 9, "vet bills"]


def laid(network: nn.Module) -> int:
    return sum(isinstance(module, LaidOutLinear) for module in network.modules())


@has_mkl
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("wide", "out"), [(1, 1), (7, 5), (64, 192), (576, 1536)])
def test_a_layer_gives_its_own_numbers_for_any_number_of_tokens(wide: int, out: int, bias: bool) -> None:
    network = nn.Sequential(nn.Linear(wide, out, bias=bias))
    own = network[0]
    assert lay_out_weights(network) == [(network, "0", own)]
    with torch.inference_mode():
        for shape in [(1, 1), (0,), (3,), (2, 5), (1, 255), (257,), (1500,)]:
            tokens = torch.randn(*shape, wide)
            torch.testing.assert_close(network(tokens), own(tokens), rtol=0, atol=2e-5)
        turned = torch.randn(wide, 9).T  # not in the order of its rows
        torch.testing.assert_close(network(turned), own(turned), rtol=0, atol=2e-5)


@has_mkl
def test_the_weights_stand_once() -> None:
    network = nn.Sequential(nn.Linear(512, 512))
    lay_out_weights(network)
    assert [tuple(parameter.shape) for parameter in network.parameters()] == [(512,)]  # the bias
    assert network[0]._shape.untyped_storage().nbytes() == 4


@has_mkl
@pytest.mark.parametrize("kind", [*DECODERS, *ENCODERS])
def test_every_architecture_is_served_with_the_same_numbers(tiny_decoder: Path, kind: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
    network = tiny_network(kind, tokenizer)
    model = RelevanceModel(network, tokenizer, GradeScale(("bad", "fair", "good")), backbone=Backbone(kind, kind))
    encoded = model.encode(queries=QUERIES, items=ITEMS)
    before = model.logits(encoded)
    lay_out(model)
    assert laid(network) > 4 or kind == "gpt2"  # whose layers are convolutions of width one
    np.testing.assert_allclose(model.logits(encoded), before, atol=1e-5)


@has_mkl
def test_a_network_that_reads_its_weights_stays_as_it_is(tiny_decoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
    network = tiny_network("llama", tokenizer)
    model = RelevanceModel(network, tokenizer, GradeScale(("bad", "fair", "good")), backbone=Backbone("llama", "llama"))
    before = model.logits(model.encode(queries=QUERIES, items=ITEMS))
    first = network.model.layers[0].mlp
    own = first.forward
    monkeypatch.setattr(first, "forward", lambda tokens: own(tokens.to(first.up_proj.weight.dtype)))
    lay_out(model)
    assert not laid(network)
    np.testing.assert_allclose(model.logits(model.encode(queries=QUERIES, items=ITEMS)), before, atol=1e-6)


def test_half_precision_and_layers_of_other_kinds_stay() -> None:
    class Other(nn.Linear):
        pass

    network = nn.Sequential(nn.Linear(8, 8).bfloat16(), Other(8, 8), nn.Conv1d(4, 4, 1))
    assert lay_out_weights(network) == []


def test_without_mkl_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Sequential(nn.Linear(8, 8))
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: False)
    assert lay_out_weights(network) == []


@has_mkl
def test_a_layer_that_would_give_other_numbers_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(LaidOutLinear):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens) * 1.001

    monkeypatch.setattr(laid_out, "LaidOutLinear", Wrong)
    network = nn.Sequential(nn.Linear(8, 8))
    assert lay_out_weights(network) == []


@has_mkl
def test_what_was_replaced_can_be_put_back() -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 4)))
    layers = network[0], network[1][0]
    put_back(lay_out_weights(network))
    assert (network[0], network[1][0]) == layers

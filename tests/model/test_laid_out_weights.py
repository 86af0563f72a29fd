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
from darl.model.features import FeatureSpec
from darl.model.inference import laid_out
from darl.model.inference.laid_out import ByMkl, ByOneDnn, LaidOutLinear, lay_out_weights, put_back, tokens_to_run
from darl.serving.loading import lay_out

has_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="torch computes without MKL here")
QUERIES, ITEMS = ["red shoes"] * 3 + ["dog"], ["light shoes", "", "table for four people " * 9, "vet bills"]


@pytest.fixture(params=[ByMkl, ByOneDnn])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[LaidOutLinear]:
    """The one way that there is to choose from."""
    monkeypatch.setattr(laid_out, "WAYS", (request.param,))
    return request.param


def laid(network: nn.Module) -> int:
    return sum(isinstance(module, LaidOutLinear) for module in network.modules())


@has_mkl
@pytest.mark.usefixtures("way")
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
def test_the_weights_stand_once(way: type[LaidOutLinear]) -> None:
    network = nn.Sequential(nn.Linear(512, 512))
    lay_out_weights(network)
    assert type(network[0]) is way
    assert [tuple(parameter.shape) for parameter in network.parameters()] == [(512,)]  # the bias
    others = [value for value in vars(network[0]).values() if isinstance(value, torch.Tensor) and not value.is_mkldnn]
    assert sum(value.untyped_storage().nbytes() for value in others) in (4, 0)


@has_mkl
@pytest.mark.usefixtures("way")
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
@pytest.mark.usefixtures("way")
def test_kept_prefixes_and_features_give_the_same_numbers(tiny_decoder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
    network = tiny_network("llama", tokenizer)
    model = RelevanceModel(network, tokenizer, GradeScale(("bad", "fair", "good")), backbone=Backbone("llama", "llama"))
    encoded, spec = model.encode(queries=QUERIES, items=ITEMS), FeatureSpec(source="model", pooling="mean")
    before, features = model.logits(encoded), model.features(encoded, spec)
    lay_out(model)
    assert model.keep_prefixes(2**20)
    for _ in range(3):
        np.testing.assert_allclose(model.logits(encoded), before, atol=1e-5)
    assert model.kept_prefixes is not None
    assert model.kept_prefixes.taken
    np.testing.assert_allclose(model.features(encoded, spec), features, atol=1e-5)


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
    class Wrong(ByMkl):
        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return super().forward(tokens) * 1.001

    monkeypatch.setattr(laid_out, "WAYS", (Wrong,))
    network = nn.Sequential(nn.Linear(8, 8))
    assert lay_out_weights(network) == []


@has_mkl
def test_what_was_replaced_can_be_put_back(way: type[LaidOutLinear]) -> None:
    network = nn.Sequential(nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 4)))
    layers = network[0], network[1][0]
    replaced = lay_out_weights(network)
    assert type(network[0]) is way
    put_back(replaced)
    assert (network[0], network[1][0]) == layers
    assert tokens_to_run(network, 7) == 7


@has_mkl
def test_the_quicker_way_is_taken_where_it_is_clearly_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(float(i) for i in range(10_000))
    seconds = {"slow": 10.0, "a little quicker": 9.9, "quick": 5.0}
    passed = 0.0

    def later(name: str) -> type[LaidOutLinear]:
        class Way(ByMkl):
            def forward(self, tokens: torch.Tensor) -> torch.Tensor:
                nonlocal passed
                passed += seconds[name] - 1
                return super().forward(tokens)

        return Way

    monkeypatch.setattr(laid_out.time, "perf_counter", lambda: next(now) + passed)
    for second, taken in [("a little quicker", 0), ("quick", 1)]:
        ways = later("slow"), later(second)
        monkeypatch.setattr(laid_out, "WAYS", ways)
        network = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
        lay_out_weights(network)
        assert type(network[0]) is type(network[1]) is ways[taken]


@has_mkl
def test_tokens_are_filled_up_to_few_numbers_and_by_few(way: type[LaidOutLinear]) -> None:
    network = nn.Sequential(nn.Linear(8, 8))
    lay_out_weights(network)
    run = {count: tokens_to_run(network, count) for count in range(1, 5_000)}
    if way is ByMkl:
        assert all(filled == count for count, filled in run.items())
    else:
        assert all(count <= filled < max(count + 8, count * 33 / 32) for count, filled in run.items())
        assert len(set(run.values())) < 200
    assert tokens_to_run(nn.Sequential(nn.Linear(8, 8)), 7) == 7

"""The head of seven architectures: which layer it is, what belongs to it, and how it is written."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    PreTrainedModel,
)

from darl.errors import ModelError
from darl.model.backbones import position_room
from darl.model.head import head_name, head_of, is_head_parameter, scale_head, set_head, settle_pooler

WIDE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "pad_token_id": 0}
SETTINGS: dict[str, dict] = {
    "bert": WIDE,
    "roberta": WIDE | {"max_position_embeddings": 66, "pad_token_id": 1},
    "llama": WIDE | {"num_key_value_heads": 2},
    "distilbert": {"dim": 16, "hidden_dim": 32, "n_layers": 1, "n_heads": 2},
    "modernbert": WIDE | {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2},
    "electra": WIDE | {"embedding_size": 8},
    "deberta-v2": WIDE | {"pooler_hidden_size": 16},
    "gpt2": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "bos_token_id": 1, "eos_token_id": 1},
    "xlnet": {"d_model": 16, "n_layer": 1, "n_head": 2, "d_inner": 32},
}
HEADS = {
    "bert": "classifier",
    "roberta": "classifier.out_proj",
    "llama": "score",
    "distilbert": "classifier",
    "modernbert": "classifier",
    "electra": "classifier.out_proj",
    "deberta-v2": "classifier",
    "gpt2": "score",
}
ABOVE_THE_BODY = {
    "bert": {"bert.pooler.dense", "classifier"},
    "roberta": {"classifier.dense", "classifier.out_proj"},
    "llama": {"score"},
    "distilbert": {"pre_classifier", "classifier"},
    "modernbert": {"head.dense", "head.norm", "classifier"},
    "electra": {"classifier.dense", "classifier.out_proj"},
    "deberta-v2": {"pooler.dense", "classifier"},
    "gpt2": {"score"},
}
POSITIONS = {
    "bert": 512,
    "roberta": 64,
    "llama": None,
    "distilbert": 512,
    "modernbert": None,
    "electra": 512,
    "deberta-v2": 512,
    "gpt2": 64,
}
EVERY = pytest.mark.parametrize("kind", HEADS)


@functools.cache
def network_of(kind: str) -> PreTrainedModel:
    config = AutoConfig.for_model(kind, vocab_size=50, num_labels=3, **SETTINGS[kind])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_config(config).eval()


def logits_of(network: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        return network(input_ids=torch.tensor([[3, 4, 5, 6]])).logits


@EVERY
def test_the_head_is_the_last_linear_layer(kind: str) -> None:
    network = network_of(kind)
    assert head_name(network) == HEADS[kind]
    assert head_of(network).out_features == 3


@EVERY
def test_the_heads_output_is_the_logits(kind: str) -> None:
    network, seen = network_of(kind), []
    hook = head_of(network).register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    logits = logits_of(network)
    hook.remove()
    torch.testing.assert_close(seen[0].reshape(-1, 3)[-1:], logits)


@EVERY
def test_scaling_the_head_scales_the_logits(kind: str) -> None:
    network = copy.deepcopy(network_of(kind))
    before = logits_of(network)
    scale_head(network, 0.25)
    torch.testing.assert_close(logits_of(network), before / 4)


@EVERY
def test_what_lies_above_the_body_belongs_to_the_head(kind: str) -> None:
    network = network_of(kind)
    mine = {name.rpartition(".")[0] for name, _ in network.named_parameters() if is_head_parameter(name, network)}
    assert mine == ABOVE_THE_BODY[kind]


@EVERY
def test_the_reach_of_the_positions_is_known(kind: str) -> None:
    network, room = network_of(kind), POSITIONS[kind]
    assert position_room(network) == room
    if room is not None:
        ids = torch.full((1, room), 3)
        assert network(input_ids=ids).logits.shape == (1, 3)


def test_an_architecture_without_a_known_head_is_named() -> None:
    with pytest.raises(ModelError, match="XLNetForSequenceClassification has no linear head"):
        head_name(network_of("xlnet"))


def test_a_head_is_written_in_place() -> None:
    network, weight, bias = copy.deepcopy(network_of("bert")), torch.randn(3, 16), torch.randn(3)
    set_head(network, weight, bias)
    torch.testing.assert_close(head_of(network).weight.data, weight)
    torch.testing.assert_close(head_of(network).bias.data, bias)


def test_a_head_without_bias_clears_the_old_bias() -> None:
    network = copy.deepcopy(network_of("bert"))
    torch.nn.init.ones_(head_of(network).bias)
    set_head(network, torch.zeros(3, 16))
    assert head_of(network).bias.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("kind", "weight", "bias"),
    [
        ("bert", (2, 16), None),
        ("bert", (3, 15), (3,)),
        ("bert", (3, 16), (2,)),
        ("bert", (3, 16), (1,)),
        ("llama", (3, 16), (3,)),
    ],
)
def test_a_head_that_does_not_fit_is_refused(kind: str, weight: tuple, bias: tuple | None) -> None:
    with pytest.raises(ModelError, match="does not fit"):
        set_head(network_of(kind), torch.zeros(weight), None if bias is None else torch.zeros(bias))


def test_a_missing_pooler_starts_by_passing_its_input_on() -> None:
    network = copy.deepcopy(network_of("bert"))
    settle_pooler(network, ["bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight"])
    first = torch.full((1, 1, 16), 0.1)
    torch.testing.assert_close(network.bert.pooler(first), torch.tanh(first[:, 0] / 2))


def test_a_pooler_of_the_checkpoint_is_kept() -> None:
    network = copy.deepcopy(network_of("bert"))
    before = network.bert.pooler.dense.weight.clone()
    settle_pooler(network, ["classifier.weight"])
    torch.testing.assert_close(network.bert.pooler.dense.weight, before)

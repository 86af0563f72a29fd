"""Norms and feed-forward parts that run lean: the same numbers, only where tried, and put back afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_networks import DECODERS, ENCODERS, tiny_network
from torch import nn
from transformers import AutoTokenizer, PreTrainedModel

from darl.model.inference import lean
from darl.model.inference.lean import lean_modules


@pytest.fixture(scope="module")
def networks(tiny_decoder: Path) -> dict[str, PreTrainedModel]:
    tokenizer = AutoTokenizer.from_pretrained(tiny_decoder)
    return {kind: tiny_network(kind, tokenizer) for kind in [*DECODERS, *ENCODERS]}


def replaced(network: nn.Module) -> set[str]:
    return {
        type(module).__name__ for module in network.modules() if {"forward", "feed_forward_chunk"} & vars(module).keys()
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", [*DECODERS, *ENCODERS])
def test_every_network_gives_its_own_numbers(
    networks: dict[str, PreTrainedModel], kind: str, dtype: torch.dtype
) -> None:
    network = tiny = networks[kind]
    if dtype != torch.float32:
        network = type(tiny)(tiny.config).to(dtype).eval()
        network.load_state_dict(tiny.state_dict())
    tokens = torch.arange(3, 40).unsqueeze(0)
    with torch.inference_mode():
        own = network(tokens).logits
        with lean_modules(network):
            found = network(tokens).logits
    assert not replaced(network)
    torch.testing.assert_close(found, own, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.02)


def test_what_runs_lean_is_found_by_its_parts(networks: dict[str, PreTrainedModel]) -> None:
    bert = {"BertLayer", "BertIntermediate", "BertOutput", "BertSelfOutput"}
    expected = {
        "llama": {"LlamaRMSNorm", "LlamaMLP"},
        "qwen3": {"Qwen3RMSNorm", "Qwen3MLP"},
        "gpt2": set(),
        "bert": bert,
        "roberta": {name.replace("Bert", "Roberta") for name in bert},
    }
    with torch.inference_mode():
        for kind, names in expected.items():
            with lean_modules(networks[kind]):
                assert replaced(networks[kind]) == names
        with lean_modules(networks["gemma"]):  # its norm multiplies by 1 + w
            assert replaced(networks["gemma"]) == {"GemmaMLP"}


def test_a_wide_middle_is_made_of_some_tokens_at_a_time(
    networks: dict[str, PreTrainedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = next(m for m in networks["bert"].modules() if type(m).__name__ == "BertLayer")
    monkeypatch.setattr(lean, "PART", 8)
    for count in (1, 8, 9, 40):
        tokens, seen = torch.randn(1, count, 32), []
        hook = layer.intermediate.register_forward_pre_hook(
            lambda _module, args, seen=seen: seen.append(args[0].shape[1])
        )
        with torch.inference_mode():
            torch.testing.assert_close(
                lean.in_parts(layer, tokens), layer.feed_forward_chunk(tokens), rtol=0, atol=1e-5
            )
        hook.remove()
        assert max(seen[:-1]) <= 8
        assert sum(seen[:-1]) == count


def test_a_sum_of_two_precisions_is_not_rounded_to_the_lower(networks: dict[str, PreTrainedModel]) -> None:
    """As under autocast, where the product comes in half precision and what it is added to does not."""
    output = next(m for m in networks["bert"].modules() if type(m).__name__ == "BertOutput")
    tokens, residual = torch.randn(1, 5, output.dense.in_features), torch.randn(1, 5, 32)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(lean.added(output, tokens, residual), output(tokens, residual), rtol=0, atol=0)


def test_with_gradients_nothing_changes(networks: dict[str, PreTrainedModel]) -> None:
    with lean_modules(networks["llama"]):
        assert not replaced(networks["llama"])


def test_a_failure_within_puts_all_back(networks: dict[str, PreTrainedModel]) -> None:
    with pytest.raises(RuntimeError, match="on purpose"), torch.inference_mode(), lean_modules(networks["llama"]):
        raise RuntimeError("on purpose")
    assert not replaced(networks["llama"])


def test_a_norm_of_other_precision_than_its_tokens_runs_as_it_was_made(networks: dict[str, PreTrainedModel]) -> None:
    norm = next(m for m in networks["llama"].modules() if type(m).__name__ == "LlamaRMSNorm")
    tokens = torch.randn(1, 5, 32).bfloat16()
    torch.testing.assert_close(lean.rms_norm(norm, tokens), norm(tokens), rtol=0, atol=0)


class OddMLP(nn.Module):
    """Named like a gated part, but it adds."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_proj, self.up_proj, self.down_proj = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)
        self.act_fn = nn.SiLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(self.act_fn(self.gate_proj(x)) + self.up_proj(x))


def test_a_module_that_only_looks_right_is_left_alone() -> None:
    network = nn.Sequential(OddMLP())
    with torch.inference_mode(), lean_modules(network):
        assert not replaced(network)

"""Backbones: where they are found, what is a decoder, and what is said when one cannot be loaded."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path

import pytest
import torch
from small_models import make_model
from transformers import AutoConfig

from darl.errors import BackboneError
from darl.model import backbones
from darl.model.backbones import (
    Backbone,
    is_decoder,
    load_backbone,
    load_body,
    load_causal_lm,
    load_tokenizer,
    resolve_backbone,
)

NAMES = ("bad", "fair", "good")


def resolved(folder: Path) -> Backbone:
    return resolve_backbone(str(folder))


# --------------------------------------------------------------------- finding


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~/no-such-folder", "a/b/c"])
def test_a_folder_that_is_not_there_is_named_with_the_embedded_choices(name: str) -> None:
    with pytest.raises(BackboneError, match="no such folder") as caught:
        resolve_backbone(name)
    assert caught.value.where == name
    assert "minilm-l6" in (caught.value.mend or "")


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"no config\.json"):
        resolved(tmp_path)


def test_a_file_is_no_backbone(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("")
    with pytest.raises(BackboneError, match="this is a file"):
        resolved(tmp_path / "model.safetensors")


def test_a_relative_folder_is_found_from_anywhere_later(tiny_encoder: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tiny_encoder.parent)
    found = resolve_backbone("encoder")
    monkeypatch.chdir(tmp_path)
    assert load_body(found).config.model_type == "bert"


def test_a_hub_name_keeps_revision_and_trust() -> None:
    found = resolve_backbone("somebody/model", revision="v2", trust_remote_code=True)
    assert found == Backbone("somebody/model", "somebody/model", "v2", True)
    assert found.options["revision"] == "v2"


def test_trust_is_off_by_default() -> None:
    assert not resolve_backbone("somebody/model").options["trust_remote_code"]


def test_an_embedded_name_wins_over_a_folder_beside_it(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "minilm-l6").mkdir()
    monkeypatch.chdir(tmp_path)
    assert not Backbone("minilm-l6", "minilm-l6").is_local


# --------------------------------------------------------------------- offline


@pytest.mark.parametrize("load", [load_tokenizer, is_decoder, load_body, lambda b: load_backbone(b, NAMES)])
def test_a_hub_name_without_the_hub_is_not_asked_for_and_fails_with_the_mend(load, monkeypatch) -> None:
    called = []
    monkeypatch.setattr(socket.socket, "connect", lambda *given: called.append(given))
    with pytest.raises(BackboneError, match="offline mode is on") as caught:
        load(resolve_backbone("somebody/model"))
    assert not called
    assert caught.value.where == "somebody/model"
    assert "smollm2-135m" in (caught.value.mend or "")


def test_a_hub_that_does_not_answer_is_not_asked_again_and_again(monkeypatch) -> None:
    monkeypatch.setattr(backbones.constants, "HF_HUB_OFFLINE", False)
    asked = []

    class Silent:
        def head(self, address: str, timeout: float) -> None:
            asked.append(timeout)
            raise TimeoutError

    monkeypatch.setattr(backbones, "get_session", Silent)
    assert resolve_backbone("somebody/model").options["local_files_only"]
    assert len(asked) == 1
    assert asked[0] <= 5


# -------------------------------------------------------------------- decoders


@pytest.mark.parametrize(
    ("kind", "architecture", "expected"),
    [
        ("llama", "LlamaForCausalLM", True),
        ("llama", "LlamaModel", True),
        ("llama", "LlamaForSequenceClassification", True),
        ("llama", None, True),
        ("qwen2", "Qwen2ForCausalLM", True),
        ("mistral", "MistralModel", True),
        ("gpt2", "GPT2LMHeadModel", True),
        ("gpt2", "GPT2Model", True),
        ("opt", None, True),
        ("bert", "BertModel", False),
        ("bert", "BertLMHeadModel", False),
        ("bert", None, False),
        ("roberta", "RobertaForMaskedLM", False),
        ("roberta", "RobertaForCausalLM", False),
        ("xlm-roberta", "XLMRobertaForCausalLM", False),
        ("distilbert", "DistilBertModel", False),
        ("modernbert", "ModernBertForMaskedLM", False),
        ("modernbert-decoder", "ModernBertDecoderForCausalLM", True),
        ("electra", "ElectraForCausalLM", False),
        ("deberta-v2", "DebertaV2Model", False),
        ("t5", "T5ForConditionalGeneration", False),
        ("bart", "BartForConditionalGeneration", False),
    ],
)
def test_what_is_a_decoder(tmp_path: Path, kind: str, architecture: str | None, expected: bool) -> None:
    AutoConfig.for_model(kind, architectures=[architecture] if architecture else None).save_pretrained(tmp_path)
    assert is_decoder(resolved(tmp_path)) is expected


# --------------------------------------------------------------------- loading


def test_the_fresh_head_depends_on_the_seed_alone(tiny_backbone: Path) -> None:
    first, again, other = (load_backbone(resolved(tiny_backbone), NAMES, seed=seed) for seed in (1, 1, 2))
    state = again.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.state_dict().items())
    assert any(not torch.equal(value, state[name]) for name, value in other.state_dict().items())


def test_loading_leaves_the_random_state_alone(tiny_encoder: Path) -> None:
    before = torch.random.get_rng_state()
    load_backbone(resolved(tiny_encoder), NAMES)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_verbalizer_refuses_an_encoder(tiny_encoder: Path) -> None:
    with pytest.raises(BackboneError, match="causal language model"):
        load_causal_lm(resolved(tiny_encoder))


@pytest.fixture
def copied(tiny_backbone: Path, tmp_path: Path) -> Path:
    """A backbone that the test may break."""
    return shutil.copytree(tiny_backbone, tmp_path / "backbone")


@pytest.mark.parametrize("broken", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_corrupt_file_names_the_backbone(copied: Path, broken: str) -> None:
    (copied / broken).write_text("{")
    with pytest.raises(BackboneError) as caught:
        make_model(copied)
    assert caught.value.where == str(copied)


def test_a_missing_tokenizer_is_not_made_up(copied: Path) -> None:
    (copied / "tokenizer.json").unlink()
    (copied / "tokenizer_config.json").unlink()
    with pytest.raises(BackboneError, match="tokenizer"):
        make_model(copied)


def test_a_backbone_without_pad_token_pads_with_its_end(copied: Path) -> None:
    set_tokens(copied, pad_token=None, eos_token="e", unk_token=None)
    assert load_tokenizer(resolved(copied)).pad_token == "e"


def test_a_tokenizer_that_cannot_pad_is_refused(copied: Path) -> None:
    set_tokens(copied, pad_token=None, eos_token=None, unk_token=None)
    with pytest.raises(BackboneError, match="no token that can pad"):
        load_tokenizer(resolved(copied))


def test_padding_is_on_the_right(copied: Path) -> None:
    set_tokens(copied, padding_side="left")
    assert load_tokenizer(resolved(copied)).padding_side == "right"


def set_tokens(folder: Path, **changes: object) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_backbone_with_its_own_code_needs_the_users_word(copied: Path, tmp_path: Path) -> None:
    (copied / "theirs.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    config = json.loads((copied / "config.json").read_text())
    names = {"AutoConfig": "theirs.Config", "AutoModel": "theirs.Model"}
    (copied / "config.json").write_text(json.dumps(config | {"model_type": "theirs", "auto_map": names}))
    with pytest.raises(BackboneError, match="brings its own code") as caught:
        make_model(copied)
    assert "trust_remote_code: true" in (caught.value.mend or "")
    assert not (tmp_path / "ran").exists()

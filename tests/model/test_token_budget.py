"""How many tokens a forward pass takes: by the device, and fewer where memory does not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from darl.grades import GradeScale
from darl.model import RelevanceModel
from darl.model.encoding import TOKENS_PER_BATCH, TOKENS_PER_BATCH_GPU
from darl.model.inference import run

PAIRS = {"queries": ["pet insurance", "travel"] * 60, "items": [f"cover for {n} dogs" for n in range(120)]}


@pytest.fixture
def model(tiny_decoder: Path) -> RelevanceModel:
    return RelevanceModel.from_backbone(str(tiny_decoder), GradeScale(("bad", "fair", "good")), max_length=64)


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The budgets that were tried; memory holds 600 tokens, and breaks off after the first batch of a larger one."""
    budgets: list[int] = []
    real = run._reads

    def reads(network: Any, encoder: Any, encoded: Any, wanted: Any, budget: int) -> Iterator[Any]:
        budgets.append(budget)
        for number, found in enumerate(real(network, encoder, encoded, wanted, min(budget, 600))):
            if budget > 600 and number == 1:
                raise torch.OutOfMemoryError("no room")
            yield found

    monkeypatch.setattr(run, "_reads", reads)
    return budgets


def test_a_budget_that_does_not_fit_is_halved_and_no_pair_is_lost_or_scored_twice(
    model: RelevanceModel, tried: list[int]
) -> None:
    encoded = model.encode(**PAIRS)
    done: list[int] = []
    logits = model.logits(encoded, progress=done.append)
    assert sum(done) == len(encoded)
    assert tried == [4096, 2048, 1024, 512]
    again = model.logits(encoded)
    assert tried[4:] == [512]  # what fits is remembered
    np.testing.assert_allclose(logits, again, atol=1e-5)


def test_without_memory_for_anything_it_says_so(model: RelevanceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_fits(*_: Any) -> Iterator[Any]:
        raise torch.OutOfMemoryError("no room")
        yield

    monkeypatch.setattr(run, "_reads", nothing_fits)
    with pytest.raises(torch.OutOfMemoryError):
        model.score(**PAIRS, ood=False)


@pytest.mark.parametrize(("device", "budget"), [("cpu", TOKENS_PER_BATCH), ("cuda", TOKENS_PER_BATCH_GPU)])
def test_the_default_is_the_devices(device: str, budget: int) -> None:
    assert run.default_budget(SimpleNamespace(device=torch.device(device))) == budget  # type: ignore[arg-type]
